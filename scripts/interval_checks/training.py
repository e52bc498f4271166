"""Variance of the training examples: draws from a small pool, and the folds of a cross-validation.

Features are normal, classes differ by a shift of the first coordinate, and a head is the nearest of
two centroids. The truth is the mean accuracy over training sets of the same size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from interval_checks.clusters import Shares, holds, make_design
from savs.foundation.arrays import Array
from savs.pipeline.evaluation.cross_validation import INFLATION
from savs.pipeline.evaluation.sweep.draws import pool_variance
from savs.pipeline.readouts.answers import fit_next_to_heads
from savs.pipeline.selection.training_data import TrainingTask
from savs.pipeline.statistics.intervals import Estimate, estimate_over_draws

TRUTH_SETS = 800
"""Training sets that the true means are taken over."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A sweep of two readouts: draws of some examples of each class from a pool."""

    size: int
    """Examples of each class."""
    shots: int
    draws: int
    heads: int
    chosen: int
    width: int
    shift: float
    """Greatest difference between the classes, of the better two fifths of the heads."""
    units: int = 500
    """Test examples."""

    @property
    def name(self) -> str:
        """The heading of a row."""
        return (
            f"{self.shots} of {self.size}, {self.draws} draws, {self.chosen} of {self.heads} heads"
        )


POOLS = (
    Pool(size=8, shots=4, draws=10, heads=50, chosen=9, width=16, shift=3.0),
    Pool(size=8, shots=4, draws=10, heads=100, chosen=9, width=8, shift=2.0),
    Pool(size=8, shots=4, draws=3, heads=50, chosen=9, width=16, shift=3.0),
    Pool(size=8, shots=1, draws=10, heads=50, chosen=9, width=16, shift=4.0),
    Pool(size=20, shots=16, draws=10, heads=50, chosen=9, width=16, shift=2.5),
    Pool(size=60, shots=20, draws=20, heads=50, chosen=9, width=16, shift=2.0),
    Pool(size=8, shots=4, draws=10, heads=1, chosen=1, width=20, shift=2.0),
)


def pool_coverage(
    rng: np.random.Generator, pool: Pool, samples: int
) -> tuple[Shares, Shares | str]:
    """Return how often intervals of a sweep hold the truth over all training sets of so many shots.

    That is the accuracy of the vote, and the difference of the summed margins from it. The plain
    interval is the one about the given pool.
    """
    whole = replace(pool, size=pool.shots, draws=1)
    truths = np.mean([_readouts(rng, whole).mean(axis=(1, 2)) for _ in range(TRUTH_SETS)], axis=0)
    weights = make_design("1", pool.units).weights
    task = TrainingTask(
        subtask=None,
        classes=("a", "b"),
        rows=np.arange(2 * pool.size),
        labels=np.repeat([0, 1], pool.size),
        question=None,
        media=None,
    )
    ratio, hits = pool_variance([task], pool.shots), np.zeros((2, 2))
    for _ in range(samples):
        vote, margins = _readouts(rng, pool)
        for place, more in enumerate((ratio, 0.0)):
            accuracy = estimate_over_draws(weights, vote, pool_variance=more)
            hits[0, place] += holds(accuracy.interval(), truths[0])
            apart = estimate_over_draws(weights, margins - vote, pool_variance=more)
            hits[1, place] += holds(apart.difference_interval(), truths[1] - truths[0])
    of_vote, of_difference = (Shares(*(row / samples)) for row in hits)
    return of_vote, of_difference if pool.chosen > 1 else "-"  # one head: the readouts are equal


def _readouts(rng: np.random.Generator, pool: Pool) -> Array:
    """Return `(readouts, draws, units)` whether test examples are right: votes, summed margins."""
    good = max(1, 2 * pool.heads // 5)
    shift = np.zeros(pool.heads)
    shift[:good] = pool.shift * np.linspace(1, 0.5, good)
    features, label = _draw(rng, pool, pool.size, shift)
    test, truth = _draw(rng, pool, pool.units // 2, shift)
    right = []
    for _ in range(pool.draws):
        rows = [rng.permutation(np.flatnonzero(label == y))[: pool.shots] for y in (0, 1)]
        means = [features[:, of].mean(axis=1)[:, None] for of in rows]
        drawn = np.concatenate(rows)
        margins = _lead(features[:, drawn], means) * (2 * label[drawn] - 1)
        order = np.lexsort((-margins.mean(axis=1), -(margins > 0).sum(axis=1)))[: pool.chosen]
        leads = _lead(test[order], [of[order] for of in means])
        votes = (leads > 0).mean(axis=0) > 0.5, leads.sum(axis=0) > 0
        right.append([answer == truth for answer in votes])
    return np.swapaxes(np.array(right, float), 0, 1)


def _draw(rng: np.random.Generator, pool: Pool, each: int, shift: Array) -> tuple[Array, Array]:
    """Return `(heads, examples, width)` features, and the labels, of so many of each class."""
    label = np.arange(2 * each) % 2
    features = rng.normal(size=(pool.heads, 2 * each, pool.width))
    features[:, :, 0] += shift[:, None] * label
    return features, label


def _lead(features: Array, means: Sequence[Array]) -> Array:
    """Return how much nearer the second mean is than the first."""
    apart = [((features - mean) ** 2).sum(axis=-1) for mean in means]
    return apart[0] - apart[1]


@dataclass(frozen=True, slots=True)
class Folds:
    """A cross-validation of the choice of heads."""

    examples: int
    heads: int
    good: int
    """Heads whose classes differ."""
    width: int
    shift: float
    chosen: int
    folds: int = 5
    told: float | None = None
    """Nats by which the model's own answers prefer the right class, with a deviation of 1; the
    readout is then `answers-lda`."""

    @property
    def name(self) -> str:
        """The heading of a row."""
        return (
            f"{self.examples} examples, {self.chosen} of {self.heads} heads, {self.good} with a"
            f" shift of {self.shift:g}, {self.folds} folds"
            + ("" if self.told is None else f", own answers of {self.told:g} nats")
        )


FOLDS = (
    Folds(examples=40, heads=30, good=10, width=4, shift=1.0, chosen=5),
    Folds(examples=100, heads=30, good=10, width=4, shift=1.0, chosen=5),
    Folds(examples=40, heads=100, good=10, width=8, shift=1.5, chosen=9),
    Folds(examples=80, heads=200, good=20, width=16, shift=1.2, chosen=20),
    Folds(examples=40, heads=10, good=10, width=4, shift=1.0, chosen=1),
    Folds(examples=40, heads=30, good=0, width=4, shift=0.0, chosen=5),
    Folds(examples=40, heads=30, good=10, width=4, shift=1.0, chosen=5, folds=20),
    Folds(examples=40, heads=30, good=0, width=4, shift=0.0, chosen=5, told=0.0),
    Folds(examples=40, heads=30, good=10, width=4, shift=1.0, chosen=5, told=1.0),
    Folds(examples=40, heads=100, good=10, width=8, shift=1.5, chosen=9, told=0.5),
)


def fold_coverage(rng: np.random.Generator, case: Folds, samples: int) -> tuple[Shares, float]:
    """Return how often a cross-validated interval holds its mean over samples; and the inflation.

    The inflation is the variance of the cross-validated accuracy over samples, divided by that of
    as many independent examples. The plain interval is Wilson's.
    """
    weights = make_design("1", case.examples).weights
    flags = [cross_validate(rng, case) for _ in range(samples)]
    means = np.array([of.mean() for of in flags])
    truth = float(means.mean())  # unbiased for classifiers of the examples outside of a fold
    hits = np.zeros(2)
    for of in flags:
        for place, inflation in enumerate((INFLATION, 1.0)):
            hits[place] += holds(Estimate.of(of, weights, inflation=inflation).interval(), truth)
    ratio = float(means.var(ddof=1)) * case.examples / (truth * (1 - truth))
    return Shares(*(hits / samples)), ratio


def cross_validate(rng: np.random.Generator, case: Folds) -> Array:
    """Return whether each example of a drawn training set is right when its fold is left out."""
    label = np.arange(case.examples) % 2
    features = rng.normal(size=(case.heads, case.examples, case.width))
    features[: case.good, :, 0] += case.shift * label
    answers = np.zeros((1, case.examples, case.width))
    if case.told is not None:
        answers[0, :, :2] = rng.normal(size=(case.examples, 2)) + case.told * np.eye(2)[label]
    fold = np.arange(case.examples) // 2 % case.folds
    right = np.empty(case.examples)
    for out in (fold == number for number in range(case.folds)):
        means = [features[:, ~out & (label == y)].mean(axis=1)[:, None] for y in (0, 1)]
        votes = ((features - means[1]) ** 2).sum(-1) < ((features - means[0]) ** 2).sum(-1)
        scores = (votes[:, ~out] == label[~out]).mean(axis=1)
        best = np.argsort(-scores, kind="stable")[: case.chosen]
        if case.told is None:
            right[out] = (votes[best][:, out].mean(axis=0) > 0.5) == label[out]
            continue
        both, widths = np.concatenate([features[best], answers]), [case.width] * len(best) + [2]
        fit = fit_next_to_heads(both[:, ~out], label[~out], "ab", widths)
        right[out] = fit.scores(both[:, out]).choice == label[out]
    return right
