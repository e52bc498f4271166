"""Where heads look: weights that give the heads' own values, and features that keep their bits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_parts import picture
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.attention_rows import keep_last_rows
from savs.pipeline.extraction.model.hook_points import HookPoint, decoder_layers
from savs.pipeline.reports.explain.maps import (
    head_words,
    heads_at_last_token,
    look,
    mask_patches,
    token_texts,
)
from savs.stores import LayerGrid

QUERYING = ("blip-2", "instructblip", "kosmos-2", "idefics2")
"""Families whose image tokens are no patches."""
PROMPT = ("Is ", picture(84, 140), " like ", picture(140, 84, 1), "?")


@pytest.fixture(scope="module")
def demo():
    return load_model("demo", dtype="float32")


def every_head(model):
    return [(point.grid.layer, head) for point in model.hook_points for head in point.grid.heads]


def test_features_keep_their_bits_and_the_model_is_left_as_it_was(demo):
    heads, inputs = every_head(demo), demo.inputs([PROMPT])
    before = heads_at_last_token(demo, inputs, heads)
    found = look(demo, PROMPT, heads)
    after = heads_at_last_token(demo, inputs, heads)
    assert demo.model.config._attn_implementation == "sdpa"
    for a, b, c in zip(before, found.features, after, strict=True):
        np.testing.assert_array_equal(a[0], b, strict=True)
        np.testing.assert_array_equal(a, c, strict=True)


def test_weights_are_those_of_the_models_own_eager_attention(demo):
    inputs = demo.placed(demo.inputs([PROMPT]))
    with keep_last_rows(demo.model, demo.hook_points) as rows, torch.inference_mode():
        demo.model(**inputs, use_cache=False)
    demo.model.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            slow = demo.model(**inputs, use_cache=False, output_attentions=True).attentions
    finally:
        demo.model.set_attn_implementation("sdpa")
    assert len(slow) == len(rows) == len(demo.hook_points)
    for layer, attention in enumerate(slow):
        torch.testing.assert_close(
            torch.as_tensor(rows[layer].weights), attention[0, :, -1].float(), atol=2e-6, rtol=1e-4
        )


def test_all_attention_is_on_patches_and_tokens_of_each_image(demo):
    heads = every_head(demo)[::3]
    found = look(demo, PROMPT, heads)
    assert [own.shape for own in found.on_images] == [(len(heads), 3, 5), (len(heads), 5, 3)]
    total = sum(own.sum((1, 2)) for own in found.on_images) + found.on_tokens.sum(1)
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert len(found.tokens) == found.on_tokens.shape[1]
    assert " like " in "".join(found.tokens)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 3), (0, 3)])
def test_a_patch_of_the_map_is_the_patch_of_the_image(demo, row, column):
    image = Image.new("RGB", (112, 112), "white")  # 4 x 4 patches of 28 pixels
    image.paste((255, 0, 0), (28 * column + 4, 28 * row + 4, 28 * column + 24, 28 * row + 24))
    (maps,) = look(demo, (image, "What color is the square?"), every_head(demo)).on_images
    assert maps.shape[1:] == (4, 4)
    strong = maps[maps.sum((1, 2)) > 0.9]  # heads that read the image and little else
    assert len(strong) >= 3
    found = [divmod(int(own.argmax()), 4) for own in strong]
    assert np.mean([place == (row, column) for place in found]) > 0.5


def test_masked_patches_have_the_mean_colour_and_others_stay():
    image = picture(60, 90)
    hidden = np.zeros((2, 3), bool)
    hidden[1, 2] = True
    _, changed, text = mask_patches(("a", image, "b"), [hidden])
    assert text == "b"
    pixels, before = np.asarray(changed), np.asarray(image)
    mean = before.reshape(-1, 3).mean(axis=0)
    assert np.abs(pixels[30:, 60:] - mean).max() < 1
    same = np.ones((60, 90), bool)
    same[30:, 60:] = False
    np.testing.assert_array_equal(pixels[same], before[same])


def test_words_are_those_of_the_logits_of_one_head_alone(demo):
    point = demo.hook_points[3]
    feature = np.random.default_rng(0).normal(size=point.grid.head_dim).astype(np.float32)
    alone = torch.zeros(len(point.grid.heads) * point.grid.head_dim)
    alone[2 * point.grid.head_dim : 3 * point.grid.head_dim] = torch.as_tensor(feature)
    with torch.inference_mode():
        written = point.module(alone) * demo.model.get_decoder().norm.weight
        logits = demo.model.lm_head(written)
    best = logits.argsort(descending=True)[:10]
    decoded = [demo.encoder.tokenizer.decode([token]) for token in best.tolist()]
    expected = tuple("(part of a character)" if "\ufffd" in text else text for text in decoded)
    assert head_words(demo, (point.grid.layer, 2), feature) == expected


def test_layers_that_only_a_users_code_finds_have_words_too(demo):
    sizes = {"hidden_size": 48, "num_attention_heads": 4, "num_hidden_layers": 2}
    config = GPTNeoXConfig(**sizes, intermediate_size=64, vocab_size=300)
    model = GPTNeoXForCausalLM(config).eval()
    assert decoder_layers(model) is None
    points = tuple(
        HookPoint(LayerGrid(number, (0, 1, 2, 3), 12), layer.attention.dense)
        for number, layer in enumerate(model.gpt_neox.layers)
    )
    loaded = replace(demo, model=model, hook_points=points)
    assert len(head_words(loaded, (1, 2), np.ones(12, np.float32))) == 10


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of GLM-4V
@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "glm4v", "gemma3"])
def test_families_whose_images_are_grids(tiny_model, family):
    model = load_model(str(tiny_model(family)), dtype="float32")
    heads = every_head(model)
    prompt = (picture(56, 84), "What is it?")
    before = heads_at_last_token(model, model.inputs([prompt]), heads)
    found = look(model, prompt, heads)
    for a, b in zip(before, found.features, strict=True):
        np.testing.assert_array_equal(a[0], b)
    total = found.on_images[0].sum((1, 2)) + found.on_tokens.sum(1)
    np.testing.assert_allclose(total, 1, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("llava", "not known to be one grid of patches"),  # the centre is cut out
        ("llava_onevision", "not known to be one grid of patches"),  # tiles
        ("internvl", "not known to be one grid of patches"),  # tiles
        ("idefics3", "not known to be one grid of patches"),  # tiles
        ("qwen3_5", "is not its attention times its values"),  # gated afterwards
        *((f, "tokens are learned queries, .* no maps to draw") for f in QUERYING),
    ],
)
def test_families_without_an_honest_map_are_refused(tiny_model, family, message):
    model = load_model(str(tiny_model(family)), dtype="float32")
    with pytest.raises(ModelError, match=message):
        look(model, (picture(56, 84), "What is it?"), every_head(model))
    assert model.model.config._attn_implementation == "sdpa"


def test_a_token_that_is_a_part_of_a_character_is_shown_as_the_character():
    class Bytes:
        """A tokenizer of single bytes."""

        def decode(self, ids):
            return bytes(ids).decode("utf-8", "replace")

    assert token_texts(Bytes(), list("aé€😀b".encode())) == tuple("aéé€€€😀😀😀😀b")
    assert token_texts(Bytes(), list("€".encode())[:2]) == ("(part of a character)",) * 2
