"""The GPU check on the CPU: the whole of its speed part, and the checks with tiny sizes."""

import json
import sys
from contextlib import contextmanager

import check_gpu
import fake_flash
import pytest
import torch
from check_gpu import keep, main, make_page, parse, read_cells, run_child, shapes_of
from estimate_cost import DECODER
from gpu_check.correctness import check_dtypes, check_pixels, check_runs
from gpu_check.models import NARROW, QWEN2_5_VL_7B, build_model, work_of, write_folder
from gpu_check.shapes import SHAPES, Shape, narrowed, write_shape
from gpu_check.speed import FLASH_ROW, METHODS, VLLM, measure

from savs.pipeline.extraction.model.loaded_model import LoadedModel

pytestmark = pytest.mark.costly


def test_without_a_gpu_nothing_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    page, work = tmp_path / "gpu.md", tmp_path / "work"
    assert main(["--work", str(work), "--page", str(page)]) == 0
    assert capsys.readouterr().out.startswith("torch sees no GPU: nothing is checked")
    assert not page.exists()
    assert not work.exists()


def test_the_narrow_run_fills_the_page_and_goes_on_after_an_interruption(tmp_path, monkeypatch):
    command = ["--work", str(tmp_path), "--narrow"]
    assert main(command) == 0
    page = (tmp_path / "gpu.md").read_text()
    for shape in SHAPES:
        part = page.partition(f"## {shape.name}\n")[2].partition("## ")[0]
        rows = [line.split("|") for line in part.splitlines() if line.startswith("| ")][2:]
        methods = [method for method in METHODS if shape.batch > 1 or "batched" not in method]
        assert [row[1].strip() for row in rows] == methods
        assert all(float(row[2]) > 0 for row in rows[:-2]), part
        assert "needs a CUDA GPU" in rows[-2][2]
        assert "not run" in rows[-1][2]
    assert "these figures say nothing" in page

    path = tmp_path / "cells.jsonl"
    cut = (SHAPES[-1].name, FLASH_ROW)
    lines = path.read_text().splitlines()
    last = next(
        n for n, line in enumerate(lines) if line.startswith(json.dumps({"cell": cut})[:-1])
    )
    path.write_text("\n".join(lines[:last]) + "\n" + lines[last][:40])  # interrupted in a line
    asked = []
    monkeypatch.setattr(
        check_gpu,
        "run_child",
        lambda cells, options: asked.append(cells) or keep(options.work, cells[0], {"reason": "x"}),
    )
    assert main(command) == 0
    assert asked == [[cut]]
    assert f"| {FLASH_ROW} | not run: x |" in (tmp_path / "gpu.md").read_text()


def test_a_cell_in_which_the_process_ends_is_a_row_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "false")
    cells = [(SHAPES[0].name, method) for method in METHODS[:2]]
    run_child(cells, parse(["--work", str(tmp_path), "--narrow"]))
    assert read_cells(tmp_path) == {cells[0]: {"reason": "the process ended with status 1: "}}


def test_flash_attention_is_measured_where_it_runs(tmp_path, monkeypatch):
    fake = fake_flash.install(monkeypatch)
    shape = narrowed(SHAPES[0])
    folder = write_shape(shape, tmp_path)
    model = build_model(write_folder(tmp_path / "model", NARROW), "cpu")
    found = measure(FLASH_ROW, shape, folder, str(tmp_path / "model"), model)
    assert found["examples_s"] > 0
    assert fake.calls > fake.chunks > 0


def test_the_random_model_has_the_shape_of_qwen2_5_vl_7b(tmp_path):
    model = build_model(write_folder(tmp_path, QWEN2_5_VL_7B), "meta")
    assert sum(weight.numel() for weight in model.model.parameters()) == 8_292_166_656
    assert [(len(grid.heads), grid.head_dim) for grid in model.grid] == [(28, 128)] * 28
    text = {"attention_mask": torch.ones(1, 100), "pixel_values": []}
    assert work_of(model, text).tflop == pytest.approx(100 * DECODER, rel=1e-3)


def test_the_page():
    """10 examples of 8 images a second, 500 tokens and 20 TFLOP each, on an H100 for $3.60."""
    shape = Shape("eight", (9, 9), images=8, published="by others")
    figures = {"examples_s": 10.0, "tokens": 500, "tflop": 20.0, "busy": 0.94, "memory_mib": 20480}
    check = {"name": "bits", "passed": False, "what": "none"}
    cells = {
        ("machine", ""): {"gpu": "NVIDIA H100 80GB HBM3", "versions": {"torch": "2.13.0"}},
        ("checks", ""): {"checks": [check]},
        ("eight", METHODS[2]): figures,
        ("eight", VLLM): {"examples_s": 5.0},
        ("eight", FLASH_ROW): {"reason": "out of memory"},
    }
    options = parse(["--work", "x", "--dollars-per-hour", "3.6"])
    page = make_page(cells, [shape], options)
    assert "gpu NVIDIA H100 80GB HBM3, driver None" in page
    for line in (
        "| bits | **no** | none |",
        "Published: by others.",
        # 80 images a second; 200 TFLOP/s of 989; a million images in 12,500 s, at $.001 a second
        "| savs, sdpa | 100.0 | 80.0 | 5,000 | 94% | 20.0 GiB | 20.2% | 12.50 |",
        "| vLLM, max_tokens=1 | 200.0 | 40.0 | 2,500 | - | - | 10.1% | 25.00 |",
        "| savs, FlashAttention | not run: out of memory | | | | | | |",
    ):
        assert f"\n{line}\n" in page


def test_eight_photos_of_a_prompt_and_questions_about_one_are_written(tmp_path):
    options = parse(["--work", "x", "--narrow"])
    shapes = {shape.name: shape for shape in shapes_of(options)}
    several, asked = (
        shapes["8 x 224 x 224 in a prompt"],
        shapes["448 x 448, ten questions an image"],
    )
    rows = {}
    for shape in (several, asked):
        file = write_shape(shape, tmp_path) / "test.jsonl"
        rows[shape.name] = [json.loads(line) for line in file.read_text().splitlines()]
    assert [len(set(row["images"])) for row in rows[several.name]] == [8] * 8
    assert len({row["images"][0] for row in rows[asked.name]}) == 1
    assert len({row["question"] for row in rows[asked.name]}) == 8


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    shape = Shape("64 x 48", (64, 48), rows=12)
    return write_shape(shape, tmp_path_factory.mktemp("check-gpu"))


def test_pixels_are_compared(photos, monkeypatch):
    assert check_pixels("cpu", photos).passed
    monkeypatch.setattr("gpu_check.correctness.find_scale", lambda encoder, prompts: None)
    assert not check_pixels("cpu", photos).passed


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


def test_runs_are_compared(photos):
    found = check_runs("cpu", photos, 4, few_rows_fit())
    assert [check.passed for check in found] == [True] * 4
    assert found[0].what.endswith(" 0.0e+00")
    assert found[3].what == "as a shard records"  # what follows has half the rows at once
