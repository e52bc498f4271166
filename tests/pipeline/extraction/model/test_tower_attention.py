"""Vision towers in runs: the features of the loop, in one call a layer, or a refusal."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from tiny_models import BUILDERS, LIMITED, marked, taken
from tiny_parts import picture
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks import decisions, trial
from savs.pipeline.extraction.checks.decisions import LOOP, require_runs, tower_ways
from savs.pipeline.extraction.checks.trial import Trial, choose, read_in_batches, run_single
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model import tower_attention
from savs.pipeline.extraction.model.tower_attention import (
    NAME,
    RUNS,
    RunsAttention,
    attention_names,
    find_runs,
    set_runs,
)
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.reports.explain.maps import look

IN_RUNS = {
    *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"),
    *("cosmos3_edge", "cosmos3_omni", "hyperclovax_vision_v2", "video_llama_3", "exaone4_5"),
    *("ernie4_5_vl_moe", "paddleocr_vl", "lfm3_vl", "qwen2_5_omni_thinker"),
    *("qwen3_omni_moe_thinker", "minicpmv4_6", "minicpmv4_7", "minicpm_ocr"),
    *("glm4v", "glm4v_moe", "glm46v", "glmga", "glm_ocr"),
}
"""Families whose towers run in runs and keep every bit."""
MASKED = {"pixtral", "mistral3", "lighton_ocr"}
"""Families whose towers mask the attention between images: runs leave out what is masked."""
OTHERWISE = {"fast_vlm", "gemma3n", "perception_lm"}
"""Families whose towers are timm's."""
PADDED = ("gemma4", "idefics2", "lfm2_vl")
"""Families whose towers drop the mask of their padding where an implementation is named flash."""

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # GLM-4V's processor
)
PROMPTS = [
    (picture(60, 40), "What is it?"),
    (picture(60, 40, 1), "And that?"),
    (picture(56, 56, 2), "What?"),
    (picture(100, 60, 3), "Hm, what is it really?"),
]
TWO = (picture(30, 90), " and ", picture(56, 56), "?")


def loaded(tiny_model, family):
    return load_model(str(tiny_model(family)), dtype="float32")


def tried(model, asked, prompts=PROMPTS):
    trial = Trial(model, prompts)
    found = choose(LOOP, tower_ways(trial, asked, len(prompts)))
    require_runs(trial, asked, found)
    return found


@pytest.mark.parametrize(
    "family", [marked(family, ("qwen2_5_vl",)) for family in BUILDERS | LIMITED]
)
def test_runs_keep_features_or_are_refused_and_the_model_is_left_as_it_was(tiny_model, family):
    model = loaded(tiny_model, family)
    prompts = taken(family, PROMPTS[:2] if family == "perception_lm" else [*PROMPTS, TWO])
    before = attention_names(model.model.config)
    found = choose(LOOP, tower_ways(Trial(model, prompts), "runs", len(prompts)))
    assert (found.name == "runs") == (family in IN_RUNS | MASKED), found.seen
    if family in IN_RUNS:
        assert found.seen == "features keep every bit"
    elif family in OTHERWISE:
        assert found.seen == "the tower computes its attention in another way"
    elif family not in MASKED and family != "fuyu":  # Fuyu has no tower
        assert "does not say where the patches of an image end" in found.seen
    set_runs(model.model, runs=False)
    assert attention_names(model.model.config) == before


@pytest.mark.thorough
@pytest.mark.parametrize("family", PADDED)
def test_towers_that_would_drop_a_mask_stay_as_they_are(tiny_model, family):
    model = loaded(tiny_model, family)
    before = read_in_batches(model, PROMPTS, len(PROMPTS))
    with pytest.raises(ModelError, match=r"cannot: \w+ does not say where the patches"):
        tried(model, "runs")
    np.testing.assert_array_equal(read_in_batches(model, PROMPTS, len(PROMPTS)), before)
    set_runs(model.model, runs=True)
    with pytest.raises(ModelError, match="set `tower_attention` loop"):
        model.read(model.inputs(PROMPTS[:1]))


@pytest.fixture
def sdpa_calls(monkeypatch):
    """Return the shapes of the queries that a tower in runs gives to sdpa."""
    shapes = []
    attend = tower_attention.sdpa_attention_forward

    def counted(module, query, *rest, **options):
        shapes.append(tuple(query.shape))
        return attend(module, query, *rest, **options)

    monkeypatch.setattr(tower_attention, "sdpa_attention_forward", counted)
    return shapes


def test_neighbouring_images_of_one_size_are_one_call_a_layer(tiny_model, sdpa_calls):
    model = loaded(tiny_model, "qwen2_vl")
    set_runs(model.model, runs=True)
    sizes = [(56, 56), (56, 56), (28, 56), (56, 56)]
    images = [(picture(*size, seed), "?") for seed, size in enumerate(sizes)]
    model.read(model.inputs(images))
    depth = model.model.config.vision_config.depth
    heads, width = 2, 16
    patches = [(2, 16), (1, 8), (1, 16)]  # of 14 x 14 px: images of a run, and patches of each
    assert sdpa_calls == depth * [(count, heads, length, width) for count, length in patches]


def test_chunks_whose_lengths_alternate_are_gathered_by_length():
    ends = torch.tensor([0, 2, 5, 7, 10, 12, 15, 17, 20])  # 2, 3, 2, 3 ...
    runs = find_runs(ends.tolist(), torch.device("cpu"))
    assert runs.groups == [(4, 2), (4, 3)]
    assert runs.order.tolist()[:6] == [0, 1, 5, 6, 10, 11]
    assert runs.order[runs.back].tolist() == list(range(20))
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 20, 4, generator=generator)
    module = torch.nn.Module()
    found, _ = RUNS(module, query, key, value, None, cu_seq_lens_q=ends, is_causal=False)
    for start, stop in pairwise(ends.tolist()):
        one = [states[:, :, start:stop] for states in (query, key, value)]
        expected, _ = sdpa_attention_forward(module, *one, None, is_causal=False)
        torch.testing.assert_close(found[:, start:stop], expected, rtol=0, atol=0)


def test_lengths_are_read_once_for_all_layers(monkeypatch):
    ends = torch.tensor([0, 2, 4, 7])
    reads = []
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda t: reads.append(1) or tolist(t))
    attend = RunsAttention()
    states = torch.randn(1, 2, 7, 4)
    found = [
        attend(torch.nn.Module(), states, states, states, None, cu_seq_lens_q=ends, is_causal=False)
        for _ in range(3)
    ]
    assert len(reads) == 1
    softmax = torch.softmax(states[0, 1, 4:7] @ states[0, 1, 4:7].T / 4**0.5, dim=1)
    expected = softmax @ states[0, 1, 4:7]  # the last chunk, second head, by hand
    for values, _ in found:
        torch.testing.assert_close(values[0, 4:7, 1], expected)


def test_ends_that_the_host_knows_are_not_read_back(monkeypatch):
    on_host = torch.tensor([0, 2, 4, 7])
    ends = on_host.clone()  # as on a device
    attend = RunsAttention()
    attend.tell(ends, on_host)
    monkeypatch.setattr(torch.Tensor, "tolist", lambda _: pytest.fail("they were read back"))
    states = torch.randn(1, 2, 7, 4)
    attend(torch.nn.Module(), states, states, states, None, cu_seq_lens_q=ends, is_causal=False)


def test_a_mask_or_a_batch_of_padded_images_is_refused():
    states, ends = torch.randn(1, 2, 4, 4), torch.tensor([0, 4])
    for query, mask, given in (
        (states, torch.ones(1, 1, 4, 4), ends),
        (states.expand(2, -1, -1, -1), None, ends),
        (states, None, None),
    ):
        with pytest.raises(ModelError, match="Module does not say where"):
            RUNS(torch.nn.Module(), query, query, query, mask, cu_seq_lens_q=given)


@pytest.mark.parametrize(
    ("family", "asked", "way", "seen"),
    [
        ("qwen2_vl", "auto", "loop", "on a CPU it saves no time"),
        ("qwen2_vl", "runs", "runs", "features keep every bit"),
        ("qwen2_vl", "loop", "loop", "nothing was compared"),
        pytest.param("pixtral", "auto", "runs", "0.0% of the heads", marks=pytest.mark.thorough),
        pytest.param("llava", "auto", "loop", "on a CPU", marks=pytest.mark.thorough),
    ],
)
def test_what_is_taken_is_set(tiny_model, family, asked, way, seen):
    model = loaded(tiny_model, family)
    found = tried(model, asked)
    assert (found.name, found.seen[: len(seen)]) == (way, seen)
    expected = NAME if way == "runs" else "sdpa"
    assert model.model.config.vision_config._attn_implementation == expected


def test_runs_that_move_features_are_not_taken(tiny_model, monkeypatch):
    model = loaded(tiny_model, "qwen2_vl")
    attend = tower_attention.sdpa_attention_forward

    def other(module, query, *rest, **options):
        values, weights = attend(module, query, *rest, **options)
        return values.roll(1, 0), weights

    monkeypatch.setattr(tower_attention, "sdpa_attention_forward", other)
    with pytest.raises(ModelError, match="cannot: features would not keep every bit; set it to"):
        tried(model, "runs")
    assert model.model.config.vision_config._attn_implementation == "sdpa"


@pytest.mark.parametrize("tower_attention", ["loop", "runs"])
def test_prompts_alone_run_as_transformers_runs_them(tiny_model, monkeypatch, tower_attention):
    """They are what batches are compared with, so that a fault of runs is seen."""
    model = loaded(tiny_model, "qwen2_vl")
    calls_alone = []

    def counted(*given):
        before = RUNS.calls
        single = run_single(*given)
        calls_alone.append(RUNS.calls - before)
        return single

    monkeypatch.setattr(trial, "run_single", counted)
    options = RunOptions(tower_attention=tower_attention)
    batching = decisions.preflight(model, PROMPTS, None, options, shared=False)
    assert batching.tower.name == tower_attention
    assert batching.batches.name == "together"
    assert calls_alone == [0] * len(PROMPTS)
    calls = RUNS.calls
    model.read(model.inputs(PROMPTS[:1]))
    assert (RUNS.calls > calls) == (tower_attention == "runs")


def test_prompts_without_images_try_nothing(tiny_model):
    model = loaded(tiny_model, "qwen2_vl")
    found = tried(model, "runs", [("Is the sky blue?",), ("Is it?",)])
    assert (found.name, found.seen) == ("loop", "no prompt with an image was tried")


@pytest.mark.thorough
def test_a_look_at_the_heads_leaves_the_tower_in_runs(tiny_model):
    model = loaded(tiny_model, "qwen2_vl")
    set_runs(model.model, runs=True)
    before, calls = attention_names(model.model.config), RUNS.calls
    look(model, PROMPTS[0], [(0, 1)])
    assert RUNS.calls > calls
    assert attention_names(model.model.config) == before
