"""Each site is what hooks read that know nothing of savs: modules by their names in each family."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_parts import picture

from savs.foundation.errors import ParameterError
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.hook_points import (
    decoder_layers,
    find_site_points,
    missing_sites,
)
from savs.pipeline.extraction.model.sites import KNOWN, parse_site, parse_sites
from savs.stores.format.layout import HEADS_SITE

ONE = (picture(60, 40), "What is it?")
OTHER = (picture(40, 80), "What may that be, in some more words?")
PLAIN = ("self_attn.o_proj", "mlp")
SANDWICH = ("post_attention_layernorm", "post_feedforward_layernorm")
ADDED = {
    "qwen2_vl": PLAIN,
    "qwen3_5": PLAIN,  # half of its layers have linear attention
    "qwen3_vl_moe": PLAIN,
    "gemma3": SANDWICH,
    "gemma4": SANDWICH,
    "glm4v": ("post_self_attn_layernorm", "post_mlp_layernorm"),
    "lfm2_vl": ("self_attn.out_proj", "feed_forward"),  # and some are convolutions
    "mllama": PLAIN,  # a layer of cross-attention has no heads
    "cohere2_vision": PLAIN,  # both blocks side by side
    "exaone4_5": SANDWICH,
    "hyperclovax_vision_v2": ("post_norm1", "post_norm2"),
    "llama4": ("self_attn.o_proj", "feed_forward"),
    "blip-2": ("self_attn.out_proj", "fc2"),  # all tokens of a batch in one row
}
"""Family -> the modules of a layer whose output is added to the stream."""
QUICK = ("qwen2_vl",)
SLOW = ("cohere2_vision", "exaone4_5", "hyperclovax_vision_v2", "llama4", "blip-2")
NO_SUM = "gemma4"
"""Its layers also add an embedding of the token, and scale what they pass on."""
SITES = ("heads", "residual", "attention", "mlp", "norm", "residual-image-mean")


pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # GLM-4V's processor
)


def mark(family):
    marks = (
        [] if family in QUICK else [pytest.mark.slow if family in SLOW else pytest.mark.thorough]
    )
    return pytest.param(family, marks=marks)


def sited(model, *labels):
    sites = [KNOWN[label] for label in labels]
    return replace(model, hook_points=find_site_points(model.model, model.hook_points, sites))


def read(model, prompts, *labels):
    """Return site -> layer -> `(batch, values)`."""
    model = sited(model, *labels)
    found = {label: {} for label in labels}
    for point, heads in zip(
        model.hook_points, model.read(model.inputs(prompts)).heads, strict=True
    ):
        found[point.site.label][point.grid.layer] = np.concatenate(heads, axis=1)
    return found


def ordinary_pass(model, inputs, names):
    """Return what enters and leaves each layer, what modules of these names give, and the norm."""
    layers = decoder_layers(model.model)
    prefix = next(name for name, part in model.model.named_modules() if part is layers)
    seen = {"in": {}, "out": {}, **{name: {} for name in names}}

    def keep(kind, layer, values):
        values = values[0] if isinstance(values, tuple) else values
        width = values.shape[-1]
        seen[kind][layer] = values.reshape(-1, width).numpy()  # one prompt: rows are its tokens

    def watch(kind, layer):
        return lambda _module, _given, output: keep(kind, layer, output)

    def entered(layer):
        return lambda _module, given, named: keep("in", layer, [*given, *named.values()][0])

    handles = []
    for name, part in model.model.named_modules():
        if found := re.fullmatch(rf"{re.escape(prefix)}\.(\d+)(?:\.(.+))?", name):
            layer, child = int(found[1]), found[2]
            if child is None:
                handles.append(part.register_forward_pre_hook(entered(layer), with_kwargs=True))
            if child is None or child in names:
                handles.append(part.register_forward_hook(watch(child or "out", layer)))
    with torch.inference_mode():
        model.model(**model.placed(inputs), use_cache=False)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("family", [mark(family) for family in ADDED])
def test_sites_are_what_named_modules_give_and_add_up(tiny_model, family):
    model = load_model(str(tiny_model(family)), dtype="float32")
    inputs = model.inputs([ONE])
    ours = read(model, [ONE], *SITES)
    attention, mlp = ADDED[family]
    seen = ordinary_pass(model, inputs, ADDED[family])
    assert len(seen["out"]) == model.model.config.get_text_config().num_hidden_layers
    for site, kind in (("residual", "out"), ("mlp", mlp)):
        assert ours[site].keys() == seen[kind].keys()
        for layer, values in seen[kind].items():
            np.testing.assert_array_equal(ours[site][layer][0], values[-1])
    assert ours["attention"].keys() == ours["heads"].keys()
    for layer, values in ours["attention"].items():
        np.testing.assert_array_equal(values[0], seen[attention][layer][-1])
        if family != NO_SUM:
            added = seen["in"][layer][-1] + values[0] + ours["mlp"][layer][0]
            apart = np.linalg.norm(added - ours["residual"][layer][0])
            assert apart <= 2e-7 * np.linalg.norm(ours["residual"][layer][0])
    tokens = inputs["input_ids"][0].numpy()
    config = model.model.config
    token = getattr(config, "image_token_id", None) or config.image_token_index
    for layer, values in seen["out"].items():
        mean = values[tokens == token].astype(float).mean(axis=0)
        apart = np.linalg.norm(ours["residual-image-mean"][layer][0] - mean)
        assert apart <= 1e-6 * np.linalg.norm(mean)


def test_the_norm_is_the_last_hidden_state_of_transformers(tiny_model):
    model = load_model(str(tiny_model("qwen2_vl")), dtype="float32")
    found = read(model, [ONE], "norm", "residual")
    with torch.inference_mode():
        states = model.model(**model.inputs([ONE]), output_hidden_states=True).hidden_states
    assert [*found["norm"]] == [3]  # counted after the layers
    np.testing.assert_array_equal(found["norm"][3][0], states[-1][0, -1].numpy())
    np.testing.assert_array_equal(found["residual"][0][0], states[1][0, -1].numpy())


@pytest.mark.parametrize("family", ["qwen2_vl", pytest.param("gemma3", marks=pytest.mark.thorough)])
def test_a_padded_batch_has_the_sites_of_single_prompts(tiny_model, family):
    model = load_model(str(tiny_model(family)), dtype="float32")
    batch = read(model, [ONE, OTHER], *SITES, "heads-image-mean")
    for place, prompt in enumerate((ONE, OTHER)):
        for site, layers in read(model, [prompt], *batch).items():
            for layer, values in layers.items():
                apart = np.linalg.norm(batch[site][layer][place] - values[0])
                assert apart < 1e-5 * np.linalg.norm(values[0])


def test_slices_are_the_vector_cut_at_the_width_of_a_head(tiny_model):
    model = load_model(str(tiny_model("qwen2_vl")), dtype="float32")
    cut = sited(model, "residual-slices")
    assert {(len(g.heads), g.head_dim) for g in cut.grid} == {(4, 12)}  # hidden width 48
    sliced, whole = (read(model, [ONE], site) for site in ("residual-slices", "residual"))
    for layer, values in whole["residual"].items():
        np.testing.assert_array_equal(sliced["residual-slices"][layer], values)


@pytest.mark.thorough
def test_a_width_that_heads_do_not_divide_is_refused(tiny_model):
    model = load_model(str(tiny_model("gemma3")), dtype="float32")
    with pytest.raises(ModelError, match=r"hidden width, 48, is no multiple of a head's, 20"):
        sited(model, "residual-slices")


@pytest.mark.thorough
def test_a_pass_ends_at_the_deepest_place_that_is_read(tiny_model):
    model = load_model(str(tiny_model("qwen2_vl")))
    calls = []
    decoder = model.model.get_decoder()
    model.model.lm_head.register_forward_hook(lambda *_: calls.append("logits"))
    decoder.norm.register_forward_hook(lambda *_: calls.append("norm"))
    decoder.layers[-1].mlp.register_forward_hook(lambda *_: calls.append("mlp"))
    for site, expected in (("attention", []), ("residual", ["mlp"]), ("norm", ["mlp", "norm"])):
        calls.clear()
        read(model, [ONE], site)
        assert calls == expected


@pytest.mark.slow
def test_a_model_of_several_streams_has_no_residual_and_says_so(tiny_model):
    model = load_model(str(tiny_model("gemma3n")), dtype="float32")
    missing = missing_sites(model.model, model.hook_points)
    assert [*missing] == ["residual"]
    assert "keeps several residual streams (AltUp)" in missing["residual"]
    assert read(model, [ONE], "attention", "norm")["norm"][3].shape == (1, 48)


def test_a_model_without_a_final_norm_lacks_that_site_alone(tiny_model):
    model = load_model(str(tiny_model("qwen2_vl")))
    model.model.get_decoder().norm = torch.nn.Identity()
    missing = missing_sites(model.model, model.hook_points)
    assert [*missing] == ["norm"]
    assert missing["norm"].endswith(
        "has no norm with weights after its layers; leave out the site norm"
    )


def test_a_site_is_found_by_its_label():
    assert [parse_site(label).label for label in KNOWN] == [*KNOWN]
    assert next(iter(KNOWN)) == HEADS_SITE  # stores of heads have no site


@pytest.mark.parametrize(
    ("site", "options", "labels"),
    [
        (None, {}, []),
        ("heads", {}, ["heads"]),
        ("norm,heads, residual", {}, ["heads", "residual", "norm"]),
        ("heads,residual", {"slices": True}, ["heads", "residual-slices"]),
        ("residual,residual-slices", {}, ["residual", "residual-slices"]),
        (None, {"pooling": "image-mean"}, ["heads-image-mean"]),
        ("mlp", {"slices": True, "pooling": "image-mean"}, ["mlp-slices-image-mean"]),
    ],
)
def test_options_name_sites_in_one_order(site, options, labels):
    found = parse_sites(site, **{"slices": False, "pooling": "last"} | options)
    assert [one.label for one in found] == labels


@pytest.mark.parametrize(
    ("site", "options", "message"),
    [
        ("hedas", {}, "`site` is 'hedas', expected one of heads, residual, attention, mlp, norm"),
        ("heads,,mlp", {}, "`site` is ''"),
        ("mlp,mlp", {}, "expected each name once"),
        ("mlp,mlp-slices", {"slices": True}, "expected each name once"),
        (None, {"slices": True}, "`slices` cuts wide vectors, and heads are not"),
        ("heads", {"pooling": "mean"}, "`pooling` is 'mean', expected last or image-mean"),
    ],
)
def test_what_is_no_site_is_refused(site, options, message):
    with pytest.raises(ParameterError, match=message):
        parse_sites(site, **{"slices": False, "pooling": "last"} | options)
