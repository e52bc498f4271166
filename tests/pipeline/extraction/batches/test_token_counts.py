"""Lengths that are counted before anything is decoded, against those that the processor makes."""

import threading

import pytest
from PIL import Image

from savs.pipeline.extraction.batches.jobs import (
    LEAST_IMAGE_TOKENS,
    MOST_IMAGE_TOKENS,
    TokenCounter,
)
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions

SIZES = [(56, 56), (140, 84), (90, 200), (333, 61)]


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_a_processor_that_tells_is_believed(tiny_model, family):
    encoder = load_encoder(ModelOptions(model=str(tiny_model(family))))
    counter = TokenCounter(encoder)
    text = ("a b",)
    bare = encoder.encode([text])["input_ids"].shape[1]
    apart = set()
    for size in SIZES:
        made = encoder.encode([(Image.new("RGB", size), *text)])["input_ids"].shape[1]
        apart.add(made - bare - counter.image(*size))
    assert len(apart) == 1  # the marks around an image, whatever its size
    assert 0 <= apart.pop() <= 3


def test_others_are_estimated_within_bounds(tiny_model, monkeypatch):
    encoder = load_encoder(ModelOptions(model=str(tiny_model("qwen2_vl"))))
    monkeypatch.delattr(type(encoder.processor), "_get_num_multimodal_tokens")
    counter = TokenCounter(encoder)
    assert counter.image(0, 0) == LEAST_IMAGE_TOKENS
    assert (
        LEAST_IMAGE_TOKENS < counter.image(448, 448) < counter.image(900, 900) < MOST_IMAGE_TOKENS
    )
    assert counter.image(40_000, 40_000) == MOST_IMAGE_TOKENS


def test_text_is_counted_by_the_tokenizer(tiny_model):
    counter = TokenCounter(load_encoder(ModelOptions(model=str(tiny_model("qwen2_vl")))))
    short, long = counter.text(["a", "a b c d e f"])
    assert 0 < short < long


def test_counting_in_another_thread_leaves_padding_alone(tiny_model):
    encoder = load_encoder(ModelOptions(model=str(tiny_model("qwen2_vl"))))
    counter, prompts = TokenCounter(encoder), [("a",), ("a b c d e f",)]
    expected = encoder.encode(prompts)["input_ids"]
    done = threading.Event()

    def count():
        while not done.is_set():
            counter.text(["a b", "c"])

    other = threading.Thread(target=count)
    other.start()
    try:
        for _ in range(300):
            assert encoder.encode(prompts)["input_ids"].equal(expected)
    finally:
        done.set()
        other.join()
