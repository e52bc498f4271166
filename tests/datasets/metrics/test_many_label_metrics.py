"""Metrics of many labels against scikit-learn, with weights, ties, and what is not known."""

from itertools import permutations, product

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, f1_score

from savs.datasets.metrics.many_labels import METRICS, LabelPredictions, cooccurrence, label_metrics
from savs.pipeline.statistics.intervals import estimate


def drawn(seed, labels=20, n=60, unknown=0.2, levels=7):
    """Twenty labels with ties; some unknown, some of which nothing is known or all the same."""
    rng = np.random.default_rng(seed)
    states = (rng.random((labels, n)) < rng.uniform(0.1, 0.6, (labels, 1))).astype(np.int8)
    states[rng.random((labels, n)) < unknown] = -1
    states[0], states[1], states[2] = -1, np.where(states[1] == -1, -1, 0), 1
    logits = (rng.integers(0, levels, (labels, n)) + 2 * (states == 1)).astype(np.float32) - 4
    skipped = rng.random(n) < 0.1
    others = (rng.random(n) < 0.1).astype(np.int64)
    return LabelPredictions(logits, (logits >= 0) & ~skipped, states, others, skipped)


def ranked(of, label):
    known = of.states[label] != -1
    y, s = of.states[label, known] == 1, of.logits[label, known].astype(np.float64)
    s[of.skipped[known]] = np.where(y[of.skipped[known]], -1e9, 1e9)
    return known, y, s


def oracle(of, weights):
    """All metrics, by plain loops and scikit-learn, with a weight for each example."""
    precisions, pairs, f1s, hits, total = [], [], [], 0.0, float(of.others @ weights)
    for label in range(len(of.states)):
        known, y, s = ranked(of, label)
        w, p = weights[known], (of.predicted[label] & known)[known]
        pairs.append((y, s, w))
        if y.any() and not y.all():
            precisions.append(average_precision_score(y, s, sample_weight=w))
        hits += 2 * (w * (y & p)).sum()
        total += (w * y).sum() + (w * p).sum()
        if y.any() or p.any():
            f1s.append(f1_score(y, p, sample_weight=w))
    f1, exact = [], []
    for i in range(of.states.shape[1]):
        known = of.states[:, i] != -1
        y, p = of.states[known, i] == 1, of.predicted[known, i]
        sizes = y.sum() + p.sum() + of.others[i]
        right = (y & p).sum()
        f1.append(0 if of.skipped[i] else 2 * right / sizes if sizes else 1)
        exact.append(float(not of.skipped[i] and (y == p).all() and not of.others[i]))
    y, s, w = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return dict(
        zip(
            METRICS,
            (
                np.mean(precisions),
                average_precision_score(y, s, sample_weight=w),
                np.mean(f1s),
                hits / total,
                np.average(f1, weights=weights),
                np.average(exact, weights=weights),
            ),
            strict=True,
        )
    )


def measured(of):
    cluster = pl.Series("cluster", [str(i) for i in range(of.states.shape[1])])
    return label_metrics(of, cluster, lambda rows, values: (float(values.mean()), float(len(rows))))


@pytest.mark.parametrize("seed", range(4))
def test_values_are_those_of_an_oracle(seed):
    of = drawn(seed, levels=3 + 3 * seed)
    expected = oracle(of, np.ones(of.states.shape[1]))
    found = {units.name: units.scores["score"].mean() for units in measured(of).metrics}
    assert found == pytest.approx(expected, abs=1e-9)


def test_without_any_label_there_is_no_f1_and_with_unknown_ones_alone_no_macro_f1():
    none, logits = np.zeros((1, 3), np.int8), np.zeros((1, 3), np.float32)
    for others, names in (([0, 0, 0], []), ([1, 0, 0], [METRICS[3]])):
        of = LabelPredictions(logits, none > 0, none, np.array(others), none[0] > 0)
        assert [u.name for u in measured(of).metrics if u.name in METRICS[2:4]] == names


@pytest.mark.thorough
@pytest.mark.parametrize("block", [2**22, 2])
@pytest.mark.parametrize("seed", range(3))
def test_chance_of_average_precision_is_the_mean_over_all_permutations(monkeypatch, seed, block):
    # two labels of four examples, with ties, an unknown state and a skipped example, which stays
    monkeypatch.setattr("savs.datasets.metrics.many_labels.BLOCK", block)
    rng = np.random.default_rng(seed)
    states = np.array([[1, 0, 0, -1], [1, 1, 0, 0]], np.int8)
    logits = rng.integers(0, 3, (2, 4)).astype(np.float32)
    logits[1] += 1
    skipped, zeros = np.array([0, 0, seed == 1, seed == 2], bool), np.zeros(4, np.int64)
    of = LabelPredictions(logits, (logits > 1) & ~skipped, states, zeros, skipped)
    ways = []
    for label in range(2):
        known, y, s = ranked(of, label)
        dealt = ~skipped[known]
        ways.append([])
        for order in permutations(s[dealt]):
            s[dealt] = order
            ways[label].append((y, s.copy()))
    macro = [np.mean([average_precision_score(*one) for one in of_label]) for of_label in ways]
    joint = [map(np.concatenate, zip(*pair, strict=True)) for pair in product(*ways)]
    found = measured(of)
    assert found.table["chance"].to_numpy() == pytest.approx(macro)
    assert found.metrics[0].chance == pytest.approx(np.mean(macro))
    assert found.metrics[1].chance == pytest.approx(
        np.mean([average_precision_score(*one) for one in joint])
    )


@pytest.mark.thorough
def test_units_are_the_slopes_in_the_weights_of_examples():
    of = drawn(7)
    n, step = of.states.shape[1], 1e-5
    found = {units.name: units.scores["score"].to_numpy() for units in measured(of).metrics}
    expected = oracle(of, np.ones(n))
    for place in range(0, n, 7):
        nudge = step * (np.arange(n) == place)
        up, down = oracle(of, 1 + nudge), oracle(of, 1 - nudge)
        for name in METRICS[:4]:
            slope = (up[name] - down[name]) / (2 * step)
            assert found[name][place] == pytest.approx(expected[name] + n * slope, abs=1e-5), name


def test_the_table_has_what_is_known_of_each_label():
    of = drawn(3)
    table = measured(of).table
    known, y, s = ranked(of, 5)
    p = of.predicted[5][known]
    row = table.row(5, named=True)
    assert (row["n"], row["positive"], row["predicted"]) == (known.sum(), y.sum(), p.sum())
    assert row["average_precision"] == pytest.approx(average_precision_score(y, s))
    assert row["f1"] == pytest.approx(f1_score(y, p))
    assert row["low"] == pytest.approx(row["average_precision"])
    assert row["high"] == known.sum()
    # nothing is known of the first, the second is nowhere there, the third everywhere
    assert table["average_precision"][:3].to_list() == [None] * 3
    assert table["n"][0] == 0
    assert table["f1"][0] is None


def test_a_large_matrix_is_measured_as_its_parts_are(monkeypatch):
    of = drawn(2)
    whole = [units.scores["score"].to_numpy() for units in measured(of).metrics]
    monkeypatch.setattr("savs.datasets.metrics.many_labels.BLOCK", 1)
    parts = [units.scores["score"].to_numpy() for units in measured(of).metrics]
    assert np.stack(parts) == pytest.approx(np.stack(whole), abs=1e-9)
    there = of.states == 1
    together = (there[:, None] & there).sum(axis=2)
    assert (cooccurrence(of.states) == together).all()
    monkeypatch.undo()
    assert (cooccurrence(of.states) == together).all()


@pytest.mark.thorough
def test_noise_is_at_chance():
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(40):
        # few examples of rare labels, whose shares the logits know
        often = np.geomspace(0.04, 0.4, 10)[:, None]
        states = (rng.random((10, 100)) < often).astype(np.int8)
        logits = (rng.normal(size=states.shape) + np.log(often) + 2).astype(np.float32)
        zeros = np.zeros(100, np.int64)
        of = LabelPredictions(logits, logits > 0.5, states, zeros, zeros > 0)
        metrics = measured(of).metrics
        gaps.append([units.scores["score"].mean() - units.chance for units in metrics])
    apart, error = np.mean(gaps, axis=0), np.std(gaps, axis=0) / np.sqrt(40)
    assert (np.abs(apart) < 3.5 * error).all(), (apart, error)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3])
def test_intervals_cover_the_truth(size):
    """93 to 97 % of 95 % intervals have the mean over tests of as many clusters.

    That is what they are for: average precision is higher on small tests, see `many_labels.py`.
    """
    rng = np.random.default_rng(size)
    labels, clusters, repeats = 8, 150, 1500

    def population(n):
        whole = rng.normal(size=(labels, -(-n // size))).repeat(size, axis=1)[:, :n]
        z = 0.6 * whole + 0.8 * rng.normal(size=(labels, n))
        states = (z > 0.7).astype(np.int8)
        logits = (z + 1.0 * rng.normal(size=(labels, n)) - 0.6).astype(np.float32)
        zeros = np.zeros(n, np.int64)
        return LabelPredictions(logits, logits > 0, states, zeros, zeros > 0)

    found = {name: [] for name in METRICS}
    names = pl.Series(np.arange(clusters).repeat(size).astype(str))
    for _ in range(repeats):
        for units in measured(population(clusters * size)).metrics:
            made = estimate(units.scores.with_columns(cluster=names))
            found[units.name].append((made.value, *made.interval()))
    shares = {}
    for name, rows in found.items():
        values, low, high = np.array(rows).T
        shares[name] = ((low <= values.mean()) & (values.mean() <= high)).mean()
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares
