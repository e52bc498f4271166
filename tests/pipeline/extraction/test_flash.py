"""FlashAttention, which is taken where it is installed and keeps the features; here a fake one."""

import fake_flash
import numpy as np
import pytest
from settled_ways import ways_tried_each_time as ways_tried_each_time
from tiny_models import BUILDERS, LIMITED, marked, taken
from tiny_parts import picture

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks import flash
from savs.pipeline.extraction.checks.flash import lost_masks
from savs.pipeline.extraction.checks.trial import Trial, choose, distances, read_in_batches
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
    return found["name"], {run["attention"] for run in store.manifest.runs}


def test_auto_takes_what_is_installed_and_keeps_the_features(run, fake):
    options = {"dtype": "bfloat16", "family": "qwen2_5_vl"}
    sdpa = run("sdpa", **options, attention="sdpa").store
    assert ran(sdpa) == ("sdpa", {"sdpa"})
    assert fake.calls == 0
    said = []
    store = run("auto", **options, reporting=Reporting(said.append, detail=said.append)).store
    assert ran(store) == (fake_flash.NAME + "+tower", {fake_flash.NAME})
    assert fake.chunks  # the tower, too
    assert fake.calls > fake.chunks
    assert any(
        line.startswith("attention by flash_attention_2: 0.0% of the heads") for line in said
    )
    np.testing.assert_allclose(every_feature(store), every_feature(sdpa), rtol=0.1, atol=0.05)
    assert store.manifest.identity == sdpa.manifest.identity


def test_a_tower_that_the_user_wants_in_runs_stays_on_sdpa(run, fake):
    store = run(dtype="bfloat16", tower_attention="runs").store
    assert ran(store) == (fake_flash.NAME, {fake_flash.NAME})
    assert store.manifest.batching["tower"]["name"] == "runs"
    assert not fake.chunks


def test_what_moves_features_is_not_taken(run, fake):
    fake.shift = 1
    store = run(dtype="bfloat16").store
    assert ran(store) == ("sdpa", {"sdpa"})
    seen = store.manifest.batching["attention"]["seen"]
    assert seen.startswith("FlashAttention is not used: ")
    assert "of the heads move beyond rounding" in seen


PROMPTS = [
    (picture(60, 40), "What is it?"),
    (picture(60, 40, 1), "And that?"),
    (picture(100, 60, 2), " or ", picture(56, 56, 3), "? What do you think of it?"),
]
TEXTS = [("Is the sky blue?",), ("Is it?",)]
LOST = {"gemma3", "molmo2", "mllama", "llama4"}
"""Families whose decoder has a mask of images, or of chunks."""
PADDED = {"gemma4", "idefics2", "lfm2_vl", "mllama"}
"""Families whose tower masks what fills small images up."""


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # GLM-4V's
@pytest.mark.parametrize(
    "family", [marked(family, ("gemma3", "exaone4_5")) for family in BUILDERS | LIMITED]
)
def test_a_mask_is_lost_or_features_in_float32_keep_every_bit(tiny_model, fake, family):
    model = load_model(str(tiny_model(family)), dtype="float32")
    prompts = taken(family, PROMPTS)
    before = attention_names(model.model.config)
    lost = lost_masks(model, taken(family, TEXTS) or prompts[:1], 3)  # no prompt need show it
    assert attention_names(model.model.config) == before
    assert bool(lost.decoder) == (family in LOST), lost
    assert bool(lost.tower) == (family in PADDED), lost
    if lost.decoder:
        return
    alone = read_in_batches(model, prompts, 1)
    flash.set_flash(model.model, fake_flash.NAME, with_tower=not lost.tower)
    by_flash = read_in_batches(model, prompts, 1)
    assert fake.calls
    np.testing.assert_array_equal(by_flash, alone, strict=True)


def test_what_gemma_3_would_lose_is_rounding_in_bfloat16(tiny_model, fake):
    """Why masks are compared, and not features of 16 bits: these pass as rounding."""
    model = load_model(str(tiny_model("gemma3")), dtype="bfloat16")
    trial = Trial(model, PROMPTS[:2])
    assert trial.singles
    flash.set_flash(model.model, fake_flash.NAME)
    by_flash = read_in_batches(model, PROMPTS[:2], 2)
    assert trial.compare(by_flash).same
    in_float32 = load_model(str(tiny_model("gemma3")), dtype="float32")
    alone = read_in_batches(in_float32, PROMPTS[:2], 1)
    flash.set_flash(in_float32.model, fake_flash.NAME)
    assert distances(alone, read_in_batches(in_float32, PROMPTS[:2], 1)).max() > 0.01


@pytest.mark.parametrize("family", ["gemma3", "mllama"])
@pytest.mark.parametrize("prompts", [PROMPTS[:2], TEXTS])
def test_a_mask_that_it_cannot_express_leaves_the_model_as_it_was(
    tiny_model, fake, family, prompts
):
    """Gemma 3 masks by image, and Mllama text from images of other prompts."""
    model = load_model(str(tiny_model(family)), dtype="bfloat16")
    before = attention_names(model.model.config)
    found = choose("sdpa", flash.flash_ways(Trial(model, prompts), 3, with_tower=True))
    assert found.name == "sdpa"
    assert "Attention has a mask that FlashAttention would drop" in found.seen
    assert not fake.calls
    assert attention_names(model.model.config) == before


def test_a_user_who_names_it_is_told_of_a_mask_that_it_drops(run, fake):
    line = "`attention` is flash_attention_2, and gemma3 would give wrong .*; give `attention` auto"
    with pytest.raises(ModelError, match=line):
        run(family="gemma3", dtype="bfloat16", attention=fake_flash.NAME)


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
    assert ran(elsewhere.store)[1] == {"sdpa", fake_flash.NAME}
    np.testing.assert_allclose(every_feature(elsewhere.store), features, rtol=0.1, atol=0.05)

    asked = run(**options, append=True, attention="sdpa")  # no other identity
    assert not asked.rows


def test_one_that_the_user_names_is_used_without_a_comparison(run, fake):
    store = run(dtype="bfloat16", attention=fake_flash.NAME).store
    assert ran(store) == (fake_flash.NAME, {fake_flash.NAME})
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
        ("qwen2_vl", "flash", "not supported.*; give `attention` one of these values, or auto"),
    ],
)
def test_what_is_not_there_is_one_line(tiny_model, family, name, line):
    with pytest.raises(ModelError, match=line) as caught:
        load_model(str(tiny_model(family)), dtype="bfloat16", attention=name)
    assert len(str(caught.value).splitlines()) == 1
