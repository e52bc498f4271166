"""The gate before a run in batches: by how many heads move, and whether that changes votes."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from tiny_parts import save

from savs.datasets.media_kinds.images import IMAGES
from savs.pipeline.extraction.check_model import (
    Check,
    Checkup,
    check_batches,
    check_media,
    check_reading,
    check_values,
)
from savs.pipeline.extraction.checks.decisions import Batching, is_valid, preflight
from savs.pipeline.extraction.checks.trial import (
    Choice,
    Single,
    Trial,
    compare,
    distances,
    run_single,
    votes_lost,
)
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.answers import Answers
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.run_options import RunOptions


def prompts():
    return [
        (Image.effect_noise((56 + 28 * n, 56), 80).convert("RGB"), f"What is in it{'?' * n}")
        for n in range(4)
    ]


def checked(model):
    given = prompts()
    return check_batches(Trial(model, given), 4)


@pytest.fixture
def model(tiny_model):
    return load_model(str(tiny_model("qwen2_vl")), dtype="float32")


@pytest.mark.parametrize("scale", [0.02, 0.1, 0.3])
def test_right_batches_pass_whatever_the_weights_scale(model, scale):
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, scale)
    check = checked(model)
    assert check.passed, check.what


@pytest.fixture(scope="session")
def many_heads(tiny_model, tmp_path_factory):
    """Return the folder of a model of 96 heads: of 12, one is more than may move."""
    config = hf.AutoConfig.from_pretrained(tiny_model("qwen2_vl"))
    text = config.get_text_config()
    config.vision_config.hidden_size = text.hidden_size = 4 * text.hidden_size
    text.num_attention_heads, text.num_key_value_heads, text.num_hidden_layers = 16, 8, 6
    text.layer_types = ["full_attention"] * 6
    folder = tmp_path_factory.mktemp("many") / "heads"
    processor = hf.AutoProcessor.from_pretrained(tiny_model("qwen2_vl"))
    save(folder, hf.AutoModelForImageTextToText.from_config(config), processor)
    return folder


def chaotic(folder, dtype):
    """Return a model in which one bit of the first layer's input moves the last heads far."""
    model = load_model(str(folder), dtype=dtype)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 1)
    return model


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_bit_that_the_shape_of_a_batch_changes_does_not_decide(many_heads, dtype):
    """As kernels do that take another way from some number of rows on, such as split products."""
    model = chaotic(many_heads, dtype)

    def rounded(_, __, output):
        bit = torch.finfo(output.dtype).eps * (torch.rand(output.shape) < 0.5)
        return output * (1 + bit).to(output) if len(output) > 2 else None

    torch.manual_seed(1)
    model.model.get_input_embeddings().register_forward_hook(rounded)
    check = checked(model)
    assert check.passed, check.what


def test_a_chaotic_model_still_fails_with_padding_that_is_read_as_prompt(many_heads, spoil_inputs):
    spoil_inputs(lambda inputs, prompts: inputs["attention_mask"].fill_(1))
    check = checked(chaotic(many_heads, "float32"))
    assert not check.passed


def test_padding_that_is_read_as_prompt_fails(model, spoil_inputs):
    spoil_inputs(lambda inputs, prompts: inputs["attention_mask"].fill_(1))
    check = checked(model)
    assert not check.passed
    assert "% of the heads move beyond rounding (5% may" in check.what


def test_images_that_change_places_fail(model, spoil_inputs):
    same = [(piece.resize((84, 56)), "What is in it?") for piece, _ in prompts()]

    def mix(inputs, prompts):
        if len(prompts) == 4:
            inputs["pixel_values"] = inputs["pixel_values"].flip(0)

    spoil_inputs(mix)
    check = check_batches(Trial(model, same), 4)
    assert not check.passed


@pytest.mark.thorough
def test_one_head_that_moves_does_not_decide(model, monkeypatch):
    read = LoadedModel.read

    def one_off(self, inputs, *rest):
        found = read(self, inputs, *rest)
        if len(inputs["input_ids"]) == 4:
            found.heads[0][0] += 0.3 * np.abs(found.heads[0][0]).max()
        return found

    big = load_model("demo", dtype="float32")
    monkeypatch.setattr(LoadedModel, "read", one_off)
    check = checked(big)  # one of 48 heads
    assert check.passed, check.what
    assert "2.1% of the heads move" in check.what


def test_distances_and_lost_votes_by_hand():
    alone = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    same, swapped = alone.copy(), alone[::-1].copy()
    np.testing.assert_allclose(distances(alone, same), 0)
    np.testing.assert_allclose(distances(alone, swapped), np.sqrt(2))
    assert distances(np.zeros((1, 1, 2)), np.ones((1, 1, 2))).max() == 0  # a dead head
    assert np.isinf(distances(alone, np.full_like(alone, np.nan))).all()
    assert (votes_lost(alone, same), votes_lost(alone, swapped)) == (0, 1)


def test_heads_that_move_and_votes_that_change_each_decide():
    alone = np.array([[[1.0, 0.0]], [[1.0, 0.1]]])
    swapped = alone[::-1]  # a tenth apart, which is rounding in bfloat16
    verdict = compare(alone, alone, swapped, "bfloat16")
    assert not verdict.same
    assert verdict.seen.startswith("0.0% of the heads move beyond rounding")
    assert verdict.seen.endswith("100.0% of votes change")
    assert compare(alone, swapped, swapped, "bfloat16").same  # rounding alone changes them
    verdict = compare(alone, alone, 1.5 * alone, "bfloat16")
    assert not verdict.same
    assert verdict.seen.startswith("100.0% of the heads move beyond rounding")
    assert verdict.seen.endswith("0.0% of votes change")
    assert compare(alone, alone, alone, "float32").same


def single(*heads) -> Single:
    values = np.float32(heads)
    return Single(values, values, 9, np.zeros(0, np.float32))


def test_a_medium_that_moves_no_head_fails_and_dead_heads_are_counted():
    one, other = single([1, 0], [0, 0], [2, 2]), single([0, 1], [0, 0], [2, 2])
    assert check_media(IMAGES, one, other).passed
    assert check_media(IMAGES, one, one).passed is False
    assert check_media(IMAGES, one, None).passed is None
    finite, differ = check_values([one, other])
    assert (finite.passed, finite.what) == (True, "12 values")
    assert (differ.passed, differ.what) == (
        True,
        "3 heads, 1 dead, 2 the same for every prompt",
    )
    assert not check_values([one, one])[1].passed
    assert not check_values([one, single([np.nan, 1], [0, 0], [2, 2])])[0].passed


def test_one_head_that_is_read_elsewhere_is_told_in_any_layer(model):
    (pieces, *_) = prompts()
    alone = run_single(model, pieces)
    assert check_reading(model, pieces, alone).passed
    for head in range(len(alone.heads)):
        heads = alone.heads.copy()
        heads[head] *= 1.5
        check = check_reading(model, pieces, replace(alone, heads=heads))
        assert check.passed is False
        assert check.what == f"{len(heads)} heads, greatest distance 5.0e-01"


def test_a_verdict_on_batches_is_of_a_model_that_is_read_rightly():
    wrong, batches = "heads are the projection's input", "batches of 2 equal single examples"

    def verdict(**passed):
        checks = [Check(wrong, passed["read"], ""), Check(batches, passed["batched"], "")]
        return Checkup({}, tuple(checks), 1).verdict

    assert "--batch-size 1" in verdict(read=True, batched=False)
    told = verdict(read=False, batched=False)
    assert told == f"do not trust this model's features: {wrong}, {batches}"


def batching(batches="together", sharing="unneeded", **options):
    """Return how a run that began a store was decided."""
    asked = {"batch_check": "strict", "reuse": "auto", "tower_attention": "auto"} | options
    ways = {
        "attention": "sdpa",
        "tower": "loop",
        "host_inputs": "computed",
        "batches": batches,
        "answers": "none",
        "sharing": sharing,
        "tokens": "fixed",
    }
    seen = {name: Choice(way, "all moved") for name, way in ways.items()}
    return Batching(batch_size=8, batch_tokens=99, raw_pixels=False, **asked, **seen)


@pytest.mark.thorough
def test_what_follows_from_the_check(model, monkeypatch):
    found = {
        check: preflight(
            model, prompts(), None, RunOptions(batch_check=check, batch_size=8), shared=False
        )
        for check in ("strict", "warn", "off")
    }
    assert [b.batches.name for b in found.values()] == ["together", "together", "uncompared"]
    assert {b.limits.rows for b in found.values()} == {8}
    wrong = batching("alone")
    assert (wrong.limits.rows, wrong.is_warning) == (1, True)
    assert "(all moved): running single examples instead" in wrong.notes()[0]
    warned = batching("anyhow", batch_check="warn")
    assert (warned.limits.rows, warned.is_warning) == (8, True)
    assert "(all moved); going on anyhow" in warned.notes()[0]


@pytest.mark.thorough
def test_each_prompt_runs_by_itself_once_for_batches_and_answers(model, monkeypatch):
    """Four alone and nudged, for both; a batch for each; four whole answers, alone and nudged."""
    made = []
    inputs = LoadedModel.inputs
    monkeypatch.setattr(
        LoadedModel, "inputs", lambda self, given: made.append(len(given)) or inputs(self, given)
    )
    answers = Answers({"a": (5, 6)})
    found = preflight(model, prompts(), None, RunOptions(), answers, shared=False)
    assert (found.batches.name, found.answers.name) == ("together", "cached")
    assert made == [1, 2] * 4 + [4] + [1] * 4 + [2] * 4 + [4]


@pytest.mark.parametrize(
    ("sharing", "options", "shared", "counts"),
    [
        ("unneeded", {}, False, True),
        ("unneeded", {"batch_size": 8, "batch_check": "strict"}, False, True),
        ("unneeded", {"batch_size": 4}, False, False),
        ("unneeded", {"batch_tokens": 98}, False, False),
        ("unneeded", {"batch_check": "off"}, False, False),
        ("unneeded", {"tower_attention": "auto"}, False, True),
        ("unneeded", {"tower_attention": "runs"}, False, False),
        ("unneeded", {"attention": "sdpa"}, False, True),
        ("unneeded", {"attention": "eager"}, False, False),
        ("unneeded", {}, True, False),  # there was nothing to share when it was decided
        ("images", {}, True, True),
        ("images", {"reuse": "off"}, True, False),
    ],
)
def test_what_is_recorded_counts_unless_something_else_is_asked_for(
    sharing, options, shared, counts
):
    options = dict(options)
    begun = batching(sharing=sharing)
    attention = options.pop("attention", "auto")
    record = begun.to_json()
    assert is_valid(record, RunOptions(**options), attention, shared=shared) == counts
    assert msgspec.convert(record, Batching) == begun


OLD = {**batching().to_json(), "attention": {"name": "sdpa", "with_tower": False, "seen": ""}}
del OLD["batches"], OLD["tokens"]
OLD |= {"equal": True, "seen": "none moved", "tower": {"runs": False, "runs_seen": ""}}


NO_ROWS, NO_TOKENS = ({**batching().to_json(), f"batch_{of}": 0} for of in ("size", "tokens"))


@pytest.mark.parametrize(
    "facts",
    [{}, {"batch_size": 8}, OLD, NO_ROWS, NO_TOKENS],
    ids=["none", "few", "old", "no rows", "no tokens"],
)
def test_facts_that_say_too_little_or_are_impossible_do_not_count(facts):
    assert not is_valid(facts, RunOptions(), "auto", shared=False)
