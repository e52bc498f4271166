import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs.foundation.errors import ParameterError
from savs.pipeline.extraction.batches.jobs import (
    MOST_PIXELS,
    BatchLimits,
    Request,
    make_batches,
    make_shared_batches,
)

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


@pytest.mark.parametrize("limits", [(0, 9), (9, 0)])
def test_a_limit_below_one_is_refused(limits):
    with pytest.raises(ParameterError, match="expected at least 1"):
        BatchLimits(*limits)


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
    batches = make_shared_batches(asked, BatchLimits(32, 99999))
    assert [len(batch) for batch in batches] == [10, 5]
