"""FlashAttention, which is taken where it is installed and keeps the features; here a fake one."""

import fake_flash
import numpy as np
import pytest
from tiny_parts import picture

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks import flash
from savs.pipeline.extraction.checks.batch_equality import Trial
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.tower_attention import attention_names
from savs.pipeline.running.progress import Reporting

pytestmark = pytest.mark.thorough


@pytest.fixture
def fake(monkeypatch):
    return fake_flash.install(monkeypatch)


def every_feature(store):
    return np.concatenate([store.features(split) for split in ("train", "test")], axis=1)


def ran(store):
    """Return what the store records of its attention, and what its shards were run with."""
    found = store.manifest.batching["attention"]
    return found["name"], found["with_tower"], {run["attention"] for run in store.manifest.runs}


def test_auto_takes_what_is_installed_and_keeps_the_features(run, fake):
    options = {"dtype": "bfloat16", "family": "qwen2_5_vl"}
    sdpa = run("sdpa", **options, attention="sdpa").store
    assert ran(sdpa) == ("sdpa", False, {"sdpa"})
    assert fake.calls == 0
    said = []
    store = run("auto", **options, reporting=Reporting(said.append, detail=said.append)).store
    assert ran(store) == (fake_flash.NAME, True, {fake_flash.NAME})
    assert fake.chunks  # the tower, too
    assert fake.calls > fake.chunks
    assert any(
        line.startswith("attention by flash_attention_2: 0.0% of the heads") for line in said
    )
    np.testing.assert_allclose(every_feature(store), every_feature(sdpa), rtol=0.1, atol=0.05)
    assert store.manifest.identity == sdpa.manifest.identity


def test_a_tower_that_the_user_wants_in_runs_stays_on_sdpa(run, fake):
    store = run(dtype="bfloat16", tower_attention="runs").store
    assert ran(store) == (fake_flash.NAME, False, {fake_flash.NAME})
    assert store.manifest.batching["tower"]["runs"]
    assert not fake.chunks


def test_what_moves_features_is_not_taken(run, fake):
    fake.shift = 1
    store = run(dtype="bfloat16").store
    assert ran(store) == ("sdpa", False, {"sdpa"})
    seen = store.manifest.batching["attention"]["seen"]
    assert seen.startswith("FlashAttention is not used: ")
    assert "of the heads move beyond rounding" in seen


@pytest.mark.parametrize("family", ["gemma3", "mllama"])
def test_a_mask_that_it_cannot_express_leaves_the_model_as_it_was(tiny_model, fake, family):
    """Gemma 3 masks by sliding windows and by image, Mllama text from images of other prompts."""
    model = load_model(str(tiny_model(family)), dtype="bfloat16")
    prompts = [(picture(56, 56, seed), "What" + "?" * seed) for seed in range(3)]
    before = attention_names(model.model.config)
    found = flash.find_attention(Trial(model, prompts), 3, with_tower=True)
    assert found.name == "sdpa"
    assert "is not used" in found.seen
    assert fake.calls
    assert attention_names(model.model.config) == before


def test_a_store_goes_on_elsewhere_and_is_appended_to(run, fake, monkeypatch, tmp_path):
    options = {"dtype": "bfloat16", "shard_rows": 2}
    features = every_feature(run(**options).store)
    (tmp_path / "store" / "test-00000.h5").unlink()
    calls = fake.calls
    again = run(**options)
    assert again.rows
    assert fake.calls > calls
    np.testing.assert_array_equal(every_feature(again.store), features, strict=True)

    (tmp_path / "store" / "test-00000.h5").unlink()
    monkeypatch.setitem(flash.FLASH, fake_flash.NAME, lambda: False)
    said, calls = [], fake.calls
    elsewhere = run(**options, reporting=Reporting(said.append))
    assert fake.calls == calls
    assert any(
        line.startswith("the store was begun with flash_attention_2, and this process goes on with")
        for line in said
    )
    assert ran(elsewhere.store)[2] == {"sdpa", fake_flash.NAME}
    np.testing.assert_allclose(every_feature(elsewhere.store), features, rtol=0.1, atol=0.05)

    asked = run(**options, append=True, attention="sdpa")  # no other identity
    assert not asked.rows


def test_one_that_the_user_names_is_used_without_a_comparison(run, fake):
    store = run(dtype="bfloat16", attention=fake_flash.NAME).store
    assert ran(store) == (fake_flash.NAME, False, {fake_flash.NAME})
    assert fake.chunks
    assert store.manifest.batching["attention"]["seen"] == ""


@pytest.mark.parametrize(
    ("dtype", "why"),
    [("float32", "computes in bfloat16 and float16"), ("bfloat16", "no FlashAttention is")],
)
def test_why_none_is_tried(run, fake, monkeypatch, dtype, why):
    if dtype == "bfloat16":
        monkeypatch.setitem(flash.FLASH, fake_flash.NAME, lambda: False)
    store = run(dtype=dtype).store
    assert why in store.manifest.batching["attention"]["seen"]
    assert not fake.calls


def test_a_type_that_it_cannot_compute_in_stops_before_a_row(tiny_model, fake):
    with pytest.raises(ModelError, match=r"computes in bfloat16 and float16, .*give `dtype` bfl"):
        load_model(str(tiny_model("qwen2_vl")), dtype="float32", attention=fake_flash.NAME)


@pytest.mark.parametrize(
    ("family", "name", "line"),
    [
        ("qwen2_vl", "flash_attention_2", "package .* pip install flash-attn .*`attention` auto"),
        ("qwen2_vl", "flash", "not supported.*; give `attention` one of these, or auto"),
    ],
)
def test_what_is_not_there_is_one_line(tiny_model, family, name, line):
    with pytest.raises(ModelError, match=line) as caught:
        load_model(str(tiny_model(family)), dtype="bfloat16", attention=name)
    assert len(str(caught.value).splitlines()) == 1
