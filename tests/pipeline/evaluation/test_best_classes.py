import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from savs.pipeline.evaluation.predictions import best_classes

SCORES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 12)),
    elements=st.sampled_from([-2.5, -0.0, 0.0, 0.5, 1.0, 3.0]),
)


@settings(deadline=None)
@given(SCORES, st.integers(1, 6))
def test_best_first_and_of_equal_ones_the_first(scores, count):
    classes = range(scores.shape[1])
    expected = [sorted(classes, key=lambda c: (-row[c], c))[:count] for row in scores]
    assert best_classes(scores, count).tolist() == expected


@pytest.mark.parametrize("levels", [2, 5, 10_000], ids=lambda n: f"{n} levels")
def test_many_classes(levels):
    scores = np.random.default_rng(levels).integers(0, levels, (30, 500)).astype(np.float32)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :20]
    assert (best_classes(scores, 20) == expected).all()
