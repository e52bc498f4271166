"""Pixels as bytes, normalised on the device, against the processor's own."""

import dataclasses

import pytest
import torch
from PIL import Image

from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.pixel_scale import CLOSE, find_scale
from savs.pipeline.extraction.model.prompt_encoder import RAW_IMAGES
from savs.pipeline.prompts.input_names import PIXELS


def prompts():
    sizes = [(64, 48), (90, 120)]
    return [
        (
            Image.effect_noise(size, 90)
            .convert("RGB")
            .point([v * 7 % 256 for v in range(256)] * 3),
            "?",
        )
        for size in sizes
    ]


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "llava_onevision", "gemma3"])
def test_what_is_found_equals_the_processors_own(tiny_model, family):
    encoder = load_encoder(ModelOptions(model=str(tiny_model(family))))
    scale = find_scale(encoder, prompts())
    assert scale is not None
    for batch in ([prompts()[0]], [prompts()[1]], prompts()):
        plain, raw = encoder.encode(batch), encoder.encode(batch, RAW_IMAGES)
        assert raw[PIXELS].dtype == torch.uint8
        assert (scale.apply(raw[PIXELS]) - plain[PIXELS]).abs().max() <= CLOSE


def test_text_alone_and_the_users_own_inputs_have_none(tiny_model):
    encoder = load_encoder(ModelOptions(model=str(tiny_model("qwen2_vl"))))
    assert find_scale(encoder, [("Is it?",)]) is None
    assert find_scale(encoder, []) is None
    code = dataclasses.replace(encoder.code, to_inputs=encoder.to_inputs)
    assert find_scale(dataclasses.replace(encoder, code=code), prompts()) is None


def sharpen(pixels, count):
    pixels *= 1.0001


def darken_last_of_a_batch(pixels, count):
    if count > 1:
        pixels[-1] = 0  # after it was normalised


@pytest.mark.parametrize("change", [sharpen, darken_last_of_a_batch])
def test_a_processor_that_does_more_than_it_says_is_left_alone(tiny_model, monkeypatch, change):
    encoder = load_encoder(ModelOptions(model=str(tiny_model("qwen2_vl"))))
    encode = type(encoder).encode

    def changed(self, batch, *options):
        found = encode(self, batch, *options)
        if RAW_IMAGES not in options:
            change(found[PIXELS], len(batch))
        return found

    monkeypatch.setattr(type(encoder), "encode", changed)
    assert find_scale(encoder, prompts()) is None
