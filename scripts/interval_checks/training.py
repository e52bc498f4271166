"""Variance of the training examples: draws from a small pool, and the folds of a cross-validation.

Features are normal, classes differ by a shift of the first coordinate, and a head is the nearest of
two centroids. The truth is the mean accuracy over training sets of the same size.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from interval_checks.clusters import Shares, holds, make_design
from savs.foundation.arrays import Array
from savs.pipeline.evaluation.cross_validation import INFLATION
from savs.pipeline.evaluation.statistics.intervals import (
    Estimate,
    UnitWeights,
    estimate_over_draws,
)
from savs.pipeline.evaluation.sweep.draws import pool_variance
from savs.pipeline.selection.training_data import TrainingTask

TRUTH_SETS = 4000
"""Training sets that the true mean accuracy is taken over."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A sweep: draws of some examples of each class from a pool."""

    size: int
    """Examples of each class."""
    shots: int
    draws: int
    width: int
    """Dimensions of a feature."""
    shift: float
    """Standard deviations between the classes."""
    units: int = 1000
    """Test examples."""

    @property
    def name(self) -> str:
        """The heading of a row."""
        return f"{self.shots} of {self.size}, {self.draws} draws, {self.width} dimensions"


POOLS = (
    Pool(size=8, shots=4, draws=10, width=20, shift=2.0),
    Pool(size=8, shots=4, draws=10, width=5, shift=3.0),
    Pool(size=8, shots=4, draws=3, width=20, shift=2.0),
    Pool(size=8, shots=1, draws=10, width=20, shift=2.0),
    Pool(size=20, shots=16, draws=10, width=20, shift=2.0),
    Pool(size=200, shots=4, draws=10, width=20, shift=2.0),
)


def pool_coverage(rng: np.random.Generator, pool: Pool, samples: int) -> Shares:
    """Return how often the interval of a sweep holds the accuracy over all sets of so many shots.

    The plain interval is the one about the given pool.
    """
    truth = true_accuracy(rng, pool)
    weights = make_design("1", pool.units).weights
    task = TrainingTask(
        subtask=None,
        classes=("a", "b"),
        rows=np.arange(2 * pool.size),
        labels=np.repeat([0, 1], pool.size),
        question=None,
        media=None,
    )
    ratio, hits = pool_variance([task], pool.shots), np.zeros(2)
    for _ in range(samples):
        scores = sweep_scores(rng, pool)
        for place, more in enumerate((ratio, 0.0)):
            found = estimate_over_draws(weights, scores, pool_variance=more)
            hits[place] += holds(found.share_interval(), truth)
    return Shares(*(hits / samples))


def sweep_scores(rng: np.random.Generator, pool: Pool) -> Array:
    """Return `(draws, units)` whether each test example is right, by the nearest centroid."""
    shift = pool.shift * np.eye(pool.width)[0]
    classes = [rng.normal(size=(pool.size, pool.width)) + y * shift for y in (0, 1)]
    label = np.arange(pool.units) % 2
    test = rng.normal(size=(pool.units, pool.width)) + label[:, None] * shift
    rows = []
    for _ in range(pool.draws):
        means = [of[rng.permutation(pool.size)[: pool.shots]].mean(axis=0) for of in classes]
        apart = [((test - mean) ** 2).sum(axis=1) for mean in means]
        rows.append((apart[1] < apart[0]) == label)
    return np.array(rows, float)


def true_accuracy(rng: np.random.Generator, pool: Pool) -> float:
    """Return the mean accuracy over training sets, each on endlessly many test examples."""
    noise = rng.normal(size=(2, TRUTH_SETS, pool.width)) / pool.shots**0.5
    noise[1, :, 0] += pool.shift
    direction = noise[1] - noise[0]
    threshold = ((noise[1] ** 2).sum(axis=1) - (noise[0] ** 2).sum(axis=1)) / 2
    length = np.linalg.norm(direction, axis=1)
    right = (
        norm.cdf(threshold / length),
        norm.cdf((direction[:, 0] * pool.shift - threshold) / length),
    )
    return float(np.mean(right))


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

    @property
    def name(self) -> str:
        """The heading of a row."""
        return (
            f"{self.examples} examples, {self.chosen} of {self.heads} heads, {self.good} with a"
            f" shift of {self.shift:g}, {self.folds} folds"
        )


FOLDS = (
    Folds(examples=40, heads=30, good=10, width=4, shift=1.0, chosen=5),
    Folds(examples=100, heads=30, good=10, width=4, shift=1.0, chosen=5),
    Folds(examples=40, heads=100, good=10, width=8, shift=1.5, chosen=9),
    Folds(examples=80, heads=200, good=20, width=16, shift=1.2, chosen=20),
    Folds(examples=40, heads=10, good=10, width=4, shift=1.0, chosen=1),
    Folds(examples=40, heads=30, good=0, width=4, shift=0.0, chosen=5),
    Folds(examples=40, heads=30, good=10, width=4, shift=1.0, chosen=5, folds=20),
)


def fold_coverage(rng: np.random.Generator, case: Folds, samples: int) -> tuple[Shares, float]:
    """Return how often a cross-validated interval holds its mean over samples; and the inflation.

    The inflation is the variance of the cross-validated accuracy over samples, divided by that of
    as many independent examples. The plain interval is Wilson's.
    """
    weights: UnitWeights = make_design("1", case.examples).weights
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
    fold = np.arange(case.examples) // 2 % case.folds
    right = np.empty(case.examples)
    for out in (fold == number for number in range(case.folds)):
        means = [features[:, ~out & (label == y)].mean(axis=1)[:, None] for y in (0, 1)]
        votes = ((features - means[1]) ** 2).sum(-1) < ((features - means[0]) ** 2).sum(-1)
        scores = (votes[:, ~out] == label[~out]).mean(axis=1)
        best = np.argsort(-scores, kind="stable")[: case.chosen]
        right[out] = (votes[best][:, out].mean(axis=0) > 0.5) == label[out]
    return right
