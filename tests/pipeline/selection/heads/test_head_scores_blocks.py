"""Scoring holds a bounded table of cosines: the numbers do not depend on where it is cut."""

import numpy as np
import pytest
from readout_cases import draw

from savs.pipeline.selection.heads import head_scores as scoring
from savs.pipeline.selection.heads.centroids import class_centroids
from savs.pipeline.selection.readouts.calm import CALM

TABLES = (1, 3 * 8, 5 * 3 * 8, 11 * 3 * 8)
"""Cosines at a time: of one example, and of 1, 5 and 11 (heads x the greater of classes, width)."""
CASE = draw(5, 3, (6, 5, 8, 4), 8)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", scoring.SCORINGS)
def test_scores_and_margins_do_not_depend_on_the_blocks(monkeypatch, name, table):
    def score() -> scoring.HeadScores:
        return scoring.SCORINGS[name](CASE.train, CASE.labels, CASE.classes)

    whole = score()
    monkeypatch.setattr(scoring, "TABLE", table)
    blocked = score()
    assert blocked.score.tolist() == whole.score.tolist()
    np.testing.assert_allclose(blocked.margin, whole.margin, atol=1e-6)
    assert np.ptp(whole.margin) > 0.1


@pytest.mark.parametrize("table", TABLES)
def test_the_weights_of_calm_do_not_depend_on_the_blocks(monkeypatch, table):
    whole = CALM.fit(CASE.train, CASE.labels, CASE.classes, CASE.widths).weights
    monkeypatch.setattr(scoring, "TABLE", table)
    blocked = CALM.fit(CASE.train, CASE.labels, CASE.classes, CASE.widths).weights
    np.testing.assert_allclose(blocked, whole, atol=1e-6)


@pytest.mark.parametrize(
    ("counts", "width"), [((6, 5, 8, 4), 8), ((2,) * 30, 4)], ids=["wide", "many classes"]
)
def test_a_block_is_no_larger_than_the_table(monkeypatch, counts, width):
    case = draw(1, 3, counts, width)
    n, size = len(case.labels), max(width, len(counts))
    for values, shapes in [
        (2 * n * size + 1, [(2, n), (1, n)]),  # two heads at a time
        (n * size - 1, [(1, n - 1), (1, 1)] * 3),  # no head whole
        (1, [(1, 1)] * 3 * n),
    ]:
        monkeypatch.setattr(scoring, "TABLE", values)
        met = np.zeros((3, n), int)
        for heads, rows, table in scoring.held_out_cosines(case.train, case.labels, len(counts)):
            met[heads, rows] += 1
            assert table.shape == (*shapes.pop(0), len(counts))
        assert (met == 1).all()


def test_centroids_of_a_thousand_classes_are_plain_means():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.concatenate([np.arange(1000), rng.integers(0, 1000, 500)]))
    features = rng.normal(size=(2, 1500, 3)).astype(np.float32)
    found = class_centroids(features, labels, 1000)
    slow = np.stack([features[:, labels == c].mean(axis=1, dtype=np.float64) for c in range(1000)])
    np.testing.assert_array_equal(found, slow.transpose(1, 0, 2).astype(np.float32))


def test_centroids_are_summed_in_float64():
    # 1e8 + 1 - 1e8 is 0 in float32, whose step is 8 there; the mean is 1 / 3
    features = np.float32([[[1e8], [1], [-1e8], [5]]])
    found = class_centroids(features, np.array([0, 0, 0, 1]), 2)
    assert found.tolist() == [[[np.float32(1 / 3)], [5.0]]]
