"""Every model family that has a tiny checkpoint, through its own processor and chat template."""

import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from oracle import likelihood
from tiny_models import AUDIO, BUILDERS, DUAL, HEAD_DIM, LIMITED, VISION, marked, taken
from tiny_parts import picture

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.check_model import prove
from savs.pipeline.extraction.checks.decisions import cache_ways
from savs.pipeline.extraction.checks.trial import Trial, choose
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.answers import Answers, label_tokens

ALWAYS = ("qwen3_vl", "llava", "gemma3")
"""Families of `just check`; the others are thorough."""
WIDTHS = {
    "qwen3_vl": {16},
    "qwen3_5": {16},
    "gemma3": {20},
    "gemma4": {12, 24},
    "mistral3": {20},
    "pixtral": {20},
    "qwen3_vl_moe": {16},
    "qwen3_5_moe": {16},
    "qwen3_omni_moe_thinker": {16},
    "cosmos3_omni": {16},
    "lighton_ocr": {20},
    "qianfan_ocr": {20},
    "minicpmv4_6": {16},
    "minicpmv4_7": {16},
    "minicpm_ocr": {16},
}
"""Widths of heads where they are configured, and are not hidden size / heads."""
REFUSING = (
    *("llava", "llava_next", "vipllava", "idefics2", "idefics3", "lfm2_vl", "internvl", "janus"),
    *("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker", "cosmos3_edge"),
    *("minicpmv4_6", "minicpmv4_7", "minicpm_ocr"),
)
"""Their processors refuse some prompts whose text holds a control token."""
TOLERANCE = 1e-5
"""Relative L2 a head, in float32."""
ROUNDING = {"minicpmv4_6": 1e-4, "minicpmv4_7": 1e-4, "minicpm_ocr": 1e-4, "gemma3n": 1e-4}
"""Larger ones: linear attention always computes in float32 (MiniCPM; in float64 it is 6e-6), or
norms do (Gemma 3n: up to 1.1e-5, and 8e-15 with them in float64, too)."""

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # GLM-4V's processor
)


TEXT = ("No image at all.",)
ONE = (picture(60, 40), "What is it?")
TWO = ("Compare ", picture(30, 90), " with ", picture(56, 56), ", please, at some length.")
LARGE = (picture(100, 100), "?")
OTHER = (picture(40, 80), "What may that be, in some more words?")
PROMPTS = {"text": TEXT, "one": ONE, "two": TWO, "large": LARGE}


@pytest.fixture(scope="module", params=[marked(family, ALWAYS) for family in BUILDERS])
def model(request, tiny_model):
    """Return a loaded model of each family; its name is the family's."""
    return load_model(str(tiny_model(request.param)), dtype="float32")


def features(model, prompts):
    """Return layer -> `(heads, batch, head_dim)`."""
    heads = model.read(model.inputs(prompts)).heads
    return {p.grid.layer: own for p, own in zip(model.hook_points, heads, strict=True)}


def gap(ours, theirs):
    """Return the greatest relative L2 distance of two `(heads, head_dim)` arrays."""
    return (np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)).max()


def ordinary_pass(model, inputs):
    """Return the last logits of a whole pass and, layer -> what last entered its projection.

    Modules are found by their names in the whole model, towers and connectors left out, without
    what the hooks do.
    """
    seen, handles = {}, []
    for name, module in model.model.named_modules():
        found = re.search(r"\blayers\.(\d+)\.self_attn\.(o_proj|out_proj)$", name)
        if found is None or re.search(r"\b(vision|visual|audio|connector)", name):
            continue
        handles.append(
            module.register_forward_hook(
                lambda _m, args, _out, layer=int(found[1]): seen.update({layer: args[0][0, -1]})
            )
        )
    with torch.inference_mode():
        logits = model.model(**inputs).logits[0, -1]
    for handle in handles:
        handle.remove()
    return logits, seen


@pytest.mark.parametrize("prompt", PROMPTS)
def test_features_are_what_enters_the_output_projection(model, prompt):
    _, seen = ordinary_pass(model, model.inputs([PROMPTS[prompt]]))
    heads = features(model, [PROMPTS[prompt]])
    assert sorted(heads) == sorted(seen)
    for layer, values in seen.items():
        np.testing.assert_array_equal(heads[layer][:, 0].ravel(), values.numpy())


BATCHES = {
    "text first": [*PROMPTS.values()],
    "text last": [*PROMPTS.values()][::-1],
    "one shape": [(picture(56, 56, seed), f"Number {seed}?") for seed in range(3)],
}


@pytest.mark.parametrize("prompts", BATCHES.values(), ids=BATCHES)
def test_a_batch_says_what_single_prompts_say(model, prompts):
    inputs = model.inputs(prompts)
    lengths = set(inputs["attention_mask"].sum(1).tolist())
    assert len(lengths) > 2 or prompts is BATCHES["one shape"]
    batch = features(model, prompts)
    for place, prompt in enumerate(prompts):
        for layer, values in features(model, [prompt]).items():
            assert gap(batch[layer][:, place], values[:, 0]) < ROUNDING.get(model.name, TOLERANCE)


@pytest.mark.parametrize("place", [1, 3], ids=["first image", "second image"])
def test_another_image_changes_every_head_of_the_last_layer(model, place):
    width, height = TWO[place].size
    other = (*TWO[:place], picture(height, width, seed=1), *TWO[place + 1 :])
    before, after = features(model, [TWO]), features(model, [other])
    last = max(before)
    moved = np.linalg.norm(before[last] - after[last], axis=-1)
    assert (moved > 1e-3 * np.linalg.norm(before[last], axis=-1)).all()


def test_the_grid_is_the_configured_one(model):
    config = model.model.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    assert [point.grid.layer for point in model.hook_points] == [
        number for number, kind in enumerate(kinds) if kind not in ("conv", "linear_attention")
    ]
    assert {point.grid.head_dim for point in model.hook_points} == WIDTHS.get(
        model.name, {HEAD_DIM}
    )
    for point in model.hook_points:
        assert len(point.grid.heads) == config.num_attention_heads
        assert len(point.grid.heads) * point.grid.head_dim == point.module.in_features
        assert point.module.out_features == config.hidden_size


def test_prompts_go_through_the_template_and_begin_once(model):
    tokenizer = model.encoder.processor.tokenizer
    turn = [{"role": "user", "content": [{"type": "text", "text": TEXT[0]}]}]
    rendered = model.encoder.processor.apply_chat_template(turn, add_generation_prompt=True)
    assert TEXT[0] in rendered != TEXT[0]
    bos = tokenizer.decode(tokenizer("")["input_ids"])  # what it begins every text with
    if model.name == "molmo2":  # its processor puts that before every prompt
        bos = tokenizer.eos_token
    ids = model.inputs([TEXT])["input_ids"][0]
    assert tokenizer.decode(ids) == bos + rendered.removeprefix(bos)


@pytest.mark.parametrize("kind", ["end of turn", "image"])
def test_a_control_token_in_the_text_is_plain_text_or_refused(model, kind):
    tokenizer = model.encoder.processor.tokenizer
    token = tokenizer.eos_token if kind == "end of turn" else model.encoder.processor.image_token
    usual = model.inputs([(ONE[0], "Say it!")])["input_ids"][0].tolist()
    prompt = (ONE[0], f"Say {token}!")
    try:
        ids = model.inputs([prompt])["input_ids"][0].tolist()
    except (ValueError, StopIteration):
        assert model.name in REFUSING
        return
    number = tokenizer.convert_tokens_to_ids(token)
    assert ids.count(number) == usual.count(number)
    assert prompt[1] in tokenizer.decode(ids)


WHOLE = {"minicpmv4_7"}
"""Their answers do not run after a cache: each label runs with its prompt."""


@pytest.mark.thorough
def test_answers_behind_a_cache_are_those_of_whole_passes(model):
    answers = Answers(label_tokens(model.encoder, ["a", "ab", "b c d"]))
    prompts = [ONE, LARGE]
    found = choose("whole", cache_ways(Trial(model, prompts), answers, together=True))
    whole = found.name == "whole"
    assert whole == (model.name in WHOLE), found.seen
    answers = replace(answers, whole=whole)
    read = model.read(model.inputs(prompts), answers.query([(0, 1, 2), (0, 2)]))
    kept = read.outputs["answers"]
    assert np.isnan(kept).tolist() == [[False] * 3, [False, True, False]]
    for row, prompt in enumerate(prompts):
        for place, tokens in enumerate(answers.tokens.values()):
            if not np.isnan(kept[row, place]):
                expected = likelihood(model.model, model.inputs([prompt]), tokens)
                np.testing.assert_allclose(kept[row, place], expected, rtol=1e-5)


def test_identity_is_the_same_after_loading_again(model, tiny_model):
    again = load_model(str(tiny_model(model.name)), dtype="float32")
    assert model.identity({}) == again.identity({})


TWO_ALIKE = (picture(60, 40), " and ", picture(60, 40, 1), ", please, at some length.")
ALIKE = (TWO_ALIKE, ONE, (picture(60, 40, 2), "?"), TEXT)
"""Prompts whose images are cut into as many tiles each."""


@pytest.mark.parametrize("family", [marked(family, ()) for family in LIMITED])
def test_limited_families_are_right_in_the_batches_that_they_take(tiny_model, family):
    model = load_model(str(tiny_model(family)), dtype="float32")
    prompts = ALIKE if family == "perception_lm" else taken(family, (ONE, TWO, LARGE, OTHER, TEXT))
    checks = prove(model, prompts, [2])
    assert [check.passed for check in checks] == [True] * len(checks)


WHOLE_LIMITED = {"blip-2", "instructblip", "kosmos-2", "mllama"}
"""Their forward pass needs the image again, or its mask of images does (Llama 3.2 Vision)."""
ANSWERING = sorted(LIMITED.keys() - {"perception_lm"})


@pytest.mark.parametrize("family", [marked(family, ()) for family in ANSWERING])
def test_limited_families_answer_too(tiny_model, family):
    model = load_model(str(tiny_model(family)), dtype="float32")
    tokens = label_tokens(model.encoder, ["a", "b c d"])
    found = choose("whole", cache_ways(Trial(model, [ONE]), Answers(tokens), together=False))
    whole = found.name == "whole"
    assert whole == (family in WHOLE_LIMITED), found.seen
    kept = model.read(model.inputs([ONE]), Answers(tokens, whole=whole).tried(1)).outputs["answers"]
    inputs = model.placed(model.inputs([ONE]))
    expected = [likelihood(model.model, inputs, own) for own in tokens.values()]
    np.testing.assert_allclose(kept[0], expected, rtol=1e-5)


@pytest.mark.thorough
def test_a_model_without_logits_is_refused(tiny_model):
    model = load_model(str(tiny_model("qwen2_vl")), dtype="float32")
    model.model.lm_head.register_forward_pre_hook(lambda *_: 1 / 0)
    answers = Answers(label_tokens(model.encoder, ["a"]))
    with pytest.raises(ModelError, match=r"no logits for its own answers .*leave out `answers`"):
        choose("whole", cache_ways(Trial(model, [ONE]), answers, together=False))


@pytest.mark.thorough
def test_every_tiny_checkpoint_is_listed():
    builders = BUILDERS | LIMITED | AUDIO | DUAL | VISION
    listed = {(module, name.replace("-", "_")) for name, module in builders.items()}
    modules = {path.stem for path in Path(tiny_models.__file__).parent.glob("tiny_*.py")}
    found = {
        (module, name.removeprefix("build_"))
        for module in modules - {"tiny_models", "tiny_text"}
        for name in vars(import_module(module))
        if name.startswith("build_")
    }
    assert found == listed
