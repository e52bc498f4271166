"""Which prompts run together, by lengths that are counted before anything is decoded."""

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from savs.pipeline.extraction.line.jobs import (
    LEAST_IMAGE_TOKENS,
    MOST_IMAGE_TOKENS,
    MOST_PIXELS,
    BatchLimits,
    Request,
    TokenCounter,
    make_batches,
)
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions

REQUESTS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3000)), max_size=60).map(
    lambda found: [Request(n, "", "", (), i, t) for n, (i, t) in enumerate(found)]
)


@given(REQUESTS, st.integers(1, 40), st.integers(1, 9000))
def test_batches_hold_every_request_once_within_the_limits(requests, rows, tokens):
    batches = make_batches(requests, BatchLimits(rows, tokens))
    assert sorted(r.number for batch in batches for r in batch) == list(range(len(requests)))
    for batch in batches:
        assert len({r.images for r in batch}) == 1
        assert len(batch) <= rows
        assert len(batch) == 1 or len(batch) * max(r.tokens for r in batch) <= tokens


@pytest.mark.thorough
@given(REQUESTS, st.randoms())
def test_the_order_of_the_requests_does_not_matter(requests, rng):
    limits = BatchLimits(8, 4096)
    mixed = list(requests)
    rng.shuffle(mixed)
    assert make_batches(requests, limits) == make_batches(mixed, limits)


def test_half_small_and_half_large_images_are_hardly_padded():
    rng = random.Random(0)
    tokens = [rng.choice((64, 256)) + rng.randrange(20, 60) for _ in range(512)]
    requests = [Request(n, "", "", (), 1, t) for n, t in enumerate(tokens)]
    batches = make_batches(requests, BatchLimits(8, 4096))
    padded = sum(len(batch) * max(r.tokens for r in batch) for batch in batches)
    assert padded <= 1.05 * sum(tokens)


def test_large_photos_make_small_batches():
    large = [Request(n, "", "", (str(n),), 1, 64, MOST_PIXELS // 4) for n in range(10)]
    huge = Request(10, "", "", ("10",), 1, 64, 2 * MOST_PIXELS)
    batches = make_batches([*large, huge], BatchLimits(32, 99999))
    assert [[r.number for r in batch] for batch in batches] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
        [10],
    ]


def test_questions_about_one_photo_decode_it_once():
    asked = [Request(n, "", "", (str(n // 5),), 1, 64, MOST_PIXELS // 2) for n in range(15)]
    batches = make_batches(asked, BatchLimits(32, 99999), shared=True)
    assert [len(batch) for batch in batches] == [10, 5]


def test_questions_about_one_photo_are_ordered_by_the_longest_of_them():
    tokens = {"a": (10, 90), "b": (20,), "c": (20,), "d": (15, 30)}
    asked = [
        Request(n, "", "", (name,), 1, t) for name in tokens for n, t in enumerate(tokens[name])
    ]
    batches = make_batches(asked, BatchLimits(2, 100), shared=True)
    # b and c need 2 * 20; d is longer; 10 and 90 would need 180
    names = [[(request.media[0], request.tokens) for request in batch] for batch in batches]
    assert names == [[("b", 20), ("c", 20)], [("d", 15), ("d", 30)], [("a", 10)], [("a", 90)]]


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


def test_others_are_estimated_within_bounds(encoder, monkeypatch):
    monkeypatch.delattr(type(encoder.processor), "_get_num_multimodal_tokens")
    counter = TokenCounter(encoder)
    assert counter.image(0, 0) == LEAST_IMAGE_TOKENS
    assert (
        LEAST_IMAGE_TOKENS < counter.image(448, 448) < counter.image(900, 900) < MOST_IMAGE_TOKENS
    )
    assert counter.image(40_000, 40_000) == MOST_IMAGE_TOKENS


def test_text_is_counted_by_the_tokenizer(encoder):
    counter = TokenCounter(encoder)
    short, long = counter.encoder.count_tokens(["a", "a b c d e f"])
    assert 0 < short < long


@pytest.mark.thorough
def test_counting_in_another_thread_leaves_padding_alone(encoder):
    counter, prompts = TokenCounter(encoder), [("a",), ("a b c d e f",)]
    expected = encoder.encode(prompts)["input_ids"]
    done = threading.Event()

    def count():
        while not done.is_set():
            counter.encoder.count_tokens(["a b", "c"])

    other = threading.Thread(target=count)
    other.start()
    try:
        for _ in range(300):
            assert encoder.encode(prompts)["input_ids"].equal(expected)
    finally:
        done.set()
        other.join()
