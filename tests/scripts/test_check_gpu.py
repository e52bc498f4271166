"""The parts of the GPU check, on the CPU and with tiny sizes."""

from contextlib import contextmanager

import pytest
import torch
from check_gpu import (
    QWEN2_VL_7B,
    build_model,
    check_dtypes,
    check_pixels,
    check_runs,
    main,
    make_page,
    measure_speed,
    write_photos,
)

from savs.pipeline.extraction.checks.batch_equality import Check
from savs.pipeline.extraction.model.loaded_model import LoadedModel

TINY = (
    {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 1024,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]},
    },
    {"hidden_size": 64, "embed_dim": 32, "depth": 1, "num_heads": 2, "mlp_ratio": 2},
)
RECORD = {"gpu": "NVIDIA H100", "versions": {"savs": "0.1.0", "torch": "2.13.0"}}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("check-gpu"), (64, 48), 12)


def test_without_a_gpu_nothing_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    page, work = tmp_path / "gpu.md", tmp_path / "work"
    assert main(["--work", str(work)], page) == 0
    assert capsys.readouterr().out.startswith("torch sees no GPU: nothing is checked")
    assert not page.exists()
    assert not work.exists()


@pytest.mark.thorough
def test_the_random_model_has_the_shape_of_qwen2_vl_7b():
    model = build_model(*QWEN2_VL_7B, "meta")
    assert sum(weight.numel() for weight in model.model.parameters()) == 8_291_375_616
    assert [(len(grid.heads), grid.head_dim) for grid in model.grid] == [(28, 128)] * 28


def test_the_page():
    checks = [Check("bits", True, "all"), Check("pixels", False, "none"), Check("x", None, "-")]
    page = make_page(RECORD, checks, {"HD": (90.0, 100.0)})
    assert "gpu NVIDIA H100, driver None" in page
    for line in (
        "| bits | yes | all |",
        "| pixels | **no** | none |",
        "| x | does not apply | - |",
        "| HD | 90.0 | 100.0 | 90% |",
    ):
        assert f"\n{line}\n" in page


def test_pixels_are_compared(photos, monkeypatch):
    assert check_pixels("cpu", photos).passed
    monkeypatch.setattr("check_gpu.find_scale", lambda encoder, prompts: None)
    assert not check_pixels("cpu", photos).passed


@pytest.mark.thorough
def test_each_dtype_is_checked():
    found = list(check_dtypes("cpu", ["float32", "bfloat16"]))
    assert {check.name.split(":")[0] for check in found} == {"float32", "bfloat16"}
    assert all(check.passed for check in found)


@contextmanager
def few_rows_fit():
    launch = LoadedModel.launch

    def refuse(self, inputs, *given):
        if len(inputs["input_ids"]) > 2:
            raise torch.OutOfMemoryError
        return launch(self, inputs, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoadedModel, "launch", refuse)
        yield


@pytest.mark.thorough
def test_runs_are_compared(photos):
    found = check_runs("cpu", photos, 4, few_rows_fit())
    assert [check.passed for check in found] == [True] * 4
    assert found[0].what.endswith(" 0.0e+00")
    assert found[3].what == "as a shard records"  # what follows has half the rows at once


@pytest.mark.thorough
def test_the_speed_is_that_of_the_engines_batches(photos):
    model = build_model(*TINY, "cpu")
    engine, bare = measure_speed(model, photos, workers=0, batch_size=3)
    assert engine > 0
    assert bare > 0
