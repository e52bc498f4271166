import shutil

import numpy as np
import pytest
from PIL import Image
from tiny_models import HEAD_DIM, HEADS, LAYERS

from savs.pipeline import load_model
from savs.pipeline.errors import ModelError
from savs.stores.format.layout import to_float32

FAMILIES = ["qwen2_vl", "qwen2_5_vl", "llava_onevision"]  # all are in test_families
TOLERANCE = {"float32": 1e-5, "float16": 5e-3, "bfloat16": 4e-2}
"""Relative L2 a head. Random heads 12 wide are the hard case: up to 2.8e-2 was seen in bfloat16."""


def picture(height: int, width: int) -> Image.Image:
    pixels = np.random.default_rng(height * 1000 + width).integers(0, 255, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def heads_of(model, inputs):
    return model.read(inputs).heads


PROMPTS = [
    (picture(60, 40), "What is it?"),
    ("No image at all.",),
    ("Compare ", picture(30, 90), " with ", picture(56, 56), ", please, at some length."),
    (picture(100, 100), "A literal <image> and <|im_end|> in the text"),
]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("family", FAMILIES)
def test_batched_features_equal_single_ones(tiny_model, family, dtype):
    model = load_model(str(tiny_model(family)), dtype=dtype)
    batch = heads_of(model, model.inputs(PROMPTS))
    for place, prompt in enumerate(PROMPTS):
        alone = heads_of(model, model.inputs([prompt]))
        for layer in range(LAYERS):
            ours = to_float32(batch[layer][:, place], dtype)
            theirs = to_float32(alone[layer][:, 0], dtype)
            assert ours.shape == (HEADS, HEAD_DIM)
            error = np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)
            assert error.max() < TOLERANCE[dtype]


def test_nothing_is_computed_after_the_last_attention(tiny_model):
    model = load_model(str(tiny_model("qwen2_vl")))
    calls = []
    model.model.lm_head.register_forward_hook(lambda *_: calls.append("head"))
    last = model.model.get_decoder().layers[-1]
    last.mlp.register_forward_hook(lambda *_: calls.append("mlp"))
    heads_of(model, model.inputs(PROMPTS))
    assert calls == []


def test_bfloat16_bits_are_kept(tiny_model):
    model = load_model(str(tiny_model("qwen2_vl")), dtype="bfloat16")
    found = heads_of(model, model.inputs(PROMPTS[:1]))
    assert model.dtype == "bfloat16"
    assert found[0].dtype == np.uint16
    assert np.isfinite(to_float32(found[0], "bfloat16")).all()


def test_pixel_limits_reach_the_processor(tiny_model):
    few = load_model(str(tiny_model("qwen2_vl")), min_pixels=28, max_pixels=28 * 28)
    many = load_model(str(tiny_model("qwen2_vl")), max_pixels=112 * 112)
    prompt = [(picture(112, 112), "?")]
    patches = [len(model.inputs(prompt)["pixel_values"]) for model in (few, many)]
    assert patches == [4, 64]  # of 14 x 14 px
    facts = few.identity({}).processor, many.identity({}).processor
    limits = [(own["min_pixels"], own["max_pixels"]) for own in facts]
    assert limits == [(28, 784), (None, 12544)]


def test_pixel_limits_that_the_processor_does_not_have_are_refused(tiny_model):
    with pytest.raises(ModelError, match="no pixel limits; drop --max-pixels"):
        load_model(str(tiny_model("llava_onevision")), max_pixels=784)


def test_an_unknown_dtype():
    with pytest.raises(ModelError, match="no dtype is called 'int8'"):
        load_model("demo", dtype="int8")


def test_a_checkpoint_that_lacks_weights_is_refused(tiny_model, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_model("qwen2_vl"), tmp_path / "holes")
    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in weights if name.endswith("layers.1.self_attn.q_proj.weight"))
    del weights[gone]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights of .* are not in its files"):
        load_model(str(folder))


def test_weights_that_cannot_be_read_are_one_line(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model("qwen2_vl"), tmp_path / "cut")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(folder))


def test_pixel_limits_the_wrong_way_round():
    with pytest.raises(ModelError, match="min_pixels is 900, more than max_pixels, 800"):
        load_model("demo", min_pixels=900, max_pixels=800)
