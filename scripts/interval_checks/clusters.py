"""Means over units in clusters: single metrics, paired differences, classes, rank metrics.

Clusters have a rate of their own, from a beta distribution with an intra-cluster correlation of .3.
Each share of samples is given for the intervals of savs, and for the plain ones that most tools
have: Student's t with C - 1 degrees of freedom and C / (C - 1) in the variance; Wilson's interval
for C trials if all scores are equal.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from savs.datasets.metrics.ranking import (
    TPR,
    average_precision_units,
    false_positive_units,
    roc_auc_units,
)
from savs.foundation.arrays import Array
from savs.pipeline.statistics.intervals import (
    Estimate,
    UnitWeights,
    estimate_share,
    student_quantile,
    weigh_units,
    wilson_interval,
)

CORRELATION = 0.3
KINDS = {"1": (1,), "4": (4,), "16": (16,), "1/4/16": (1, 4, 16)}
"""Sizes of clusters, in turn."""
UNITS = (50, 200, 500, 2000)
FEWEST = 20
"""Clusters of a design that is measured."""
RATES = (0.5, 0.8, 0.9, 0.95, 0.99)
CLASS_SHARES = {"a": 0.6, "b": 0.3, "c": 0.1}
"""Shares of the examples, which a cluster does not change."""
RANKED = {
    "average precision": average_precision_units,
    "ROC-AUC": roc_auc_units,
    "FPR at 95 % TPR": false_positive_units,
}
Interval = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Design:
    """Units in clusters, the same in all samples."""

    kind: str
    """Key of `KINDS`."""
    cluster: Array
    """`(units,)` numbers."""
    weights: UnitWeights
    """Of the units in one stratum."""

    @property
    def name(self) -> str:
        """The heading of a column."""
        return f"{self.kind}, n = {len(self.cluster):,}"


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of samples."""

    savs: float
    plain: float

    def __str__(self) -> str:
        """Return per cent, of the plain intervals in brackets."""
        return f"{100 * self.savs:.1f} ({100 * self.plain:.1f})"


def make_design(kind: str, units: int) -> Design:
    """Return clusters of the sizes of a kind in turn, the last of which reaches `units`."""
    sizes = np.resize(KINDS[kind], units)
    count = int(np.searchsorted(sizes.cumsum(), units)) + 1
    cluster = np.repeat(np.arange(count), sizes[:count])
    return Design(kind, cluster, weigh_units(pl.DataFrame({"cluster": cluster, "stratum": 0})))


def all_designs() -> list[Design]:
    """Return the designs of the table: those with at least `FEWEST` clusters."""
    designs = [make_design(kind, units) for kind in KINDS for units in UNITS]
    return [design for design in designs if design.weights.clusters >= FEWEST]


def draw_flags(rng: np.random.Generator, design: Design, rate: float) -> Array:
    """Return whether each unit is right, as 0 and 1."""
    strength = (1 - CORRELATION) / CORRELATION
    rates = rng.beta(rate * strength, (1 - rate) * strength, design.weights.clusters)
    return (rng.random(len(design.cluster)) < rates[design.cluster]).astype(float)


def plain_interval(scores: Array, cluster: Array) -> Interval:
    """Return Student's interval with C - 1 degrees of freedom, Wilson's for equal scores."""
    mean, clusters = float(scores.mean()), int(cluster.max()) + 1
    if (scores == scores[0]).all() and mean in (0, 1):
        return wilson_interval(mean, clusters)
    sums = np.bincount(cluster, scores - mean)
    error = math.sqrt(clusters / (clusters - 1) * float((sums**2).sum())) / len(scores)
    reach = student_quantile(clusters - 1) * error
    return mean - reach, mean + reach


def holds(interval: Interval, truth: float) -> bool:
    """Return whether an interval contains the truth."""
    low, high = interval
    return low is not None and high is not None and low <= truth <= high


def rate_coverage(rng: np.random.Generator, design: Design, rate: float, samples: int) -> Shares:
    """Return how often the interval of an accuracy contains the rate.

    For clusters of one unit, the plain interval is the one that savs has, Wilson's.
    """
    hits = np.zeros(2)
    for _ in range(samples):
        scores = draw_flags(rng, design, rate)
        ours = Estimate.of(scores, design.weights).interval()
        plain = ours if design.kind == "1" else plain_interval(scores, design.cluster)
        hits += holds(ours, rate), holds(plain, rate)
    return Shares(*(hits / samples))


def null_rejections(rng: np.random.Generator, design: Design, rate: float, samples: int) -> Shares:
    """Return how often the interval of a difference excludes 0 for equally good systems.

    Each system has its own rates of the clusters.
    """
    return _differences(
        rng,
        design,
        samples,
        draw=lambda: draw_flags(rng, design, rate) - draw_flags(rng, design, rate),
        counts=lambda interval: not holds(interval, 0.0),
    )


def gain_coverage(rng: np.random.Generator, design: Design, gain: float, samples: int) -> Shares:
    """Return how often the interval of a difference contains a gain in one direction.

    B is right wherever A is, and on the further share `gain` of units, which clusters share: no
    loss is ever seen, so that this is the most skewed case.
    """
    return _differences(
        rng,
        design,
        samples,
        draw=lambda: draw_flags(rng, design, gain),
        counts=lambda interval: holds(interval, gain),
    )


def _differences(
    rng: np.random.Generator,
    design: Design,
    samples: int,
    *,
    draw: Callable[[], Array],
    counts: Callable[[Interval], bool],
) -> Shares:
    hits = np.zeros(2)
    for _ in range(samples):
        scores = draw()
        ours = Estimate.of(scores, design.weights)
        reach = ours.reach() or 0.0
        around = (ours.value - reach, ours.value + reach)
        is_known = design.kind == "1" or not scores.any()
        plain = around if is_known else plain_interval(scores, design.cluster)
        hits += counts(around), counts(plain)
    return Shares(*(hits / samples))


def class_coverage(
    rng: np.random.Generator, design: Design, rate: float, samples: int
) -> dict[str, Shares]:
    """Return how often intervals contain the recall of each class, and the balanced accuracy.

    The recalls are all `rate`. A class that is in fewer than `FEWEST` clusters on average is left
    out. The plain interval of the balanced accuracy is Student's with the standard error of savs.
    """
    names = list(CLASS_SHARES)
    hits: dict[str, list[tuple[bool, bool]]] = {}
    clusters = dict.fromkeys(names, 0)
    for _ in range(samples):
        flags = draw_flags(rng, design, rate)
        label = rng.choice(len(names), len(flags), p=list(CLASS_SHARES.values()))
        for number, name in enumerate(names):
            scores, cluster = flags[label == number], design.cluster[label == number]
            if len(scores) < 2:
                continue
            recall = estimate_share(pl.Series(scores), pl.Series(cluster))
            clusters[name] += recall.clusters
            dense = np.unique(cluster, return_inverse=True)[1]
            plain = (None, None) if dense.max() == 0 else plain_interval(scores, dense)
            plain = recall.interval() if design.kind == "1" else plain
            pair = holds(recall.interval(), rate), holds(plain, rate)
            hits.setdefault(name, []).append(pair)
        units = weigh_units(pl.DataFrame({"cluster": design.cluster, "stratum": label}))
        balanced = Estimate.of(flags, units)
        reach = student_quantile(units.clusters - 1) * (balanced.error or 0.0)
        plain = (balanced.value - reach, balanced.value + reach)
        pair = holds(balanced.interval(), rate), holds(plain, rate)
        hits.setdefault("balanced accuracy", []).append(pair)
    few = [name for name in names if clusters[name] < FEWEST * samples]
    return {name: Shares(*np.mean(of, axis=0)) for name, of in hits.items() if name not in few}


def rank_coverage(
    rng: np.random.Generator, design: Design, share: float, shift: float, samples: int
) -> dict[str, Shares]:
    """Return how often the intervals of `RANKED` contain what an endless test set would have.

    Scores are normal, those of positive examples `shift` standard deviations higher. Half of the
    variance is between clusters; labels do not depend on them.
    """
    truths, units = rank_truths(share, shift), len(design.cluster)
    hits = {name: np.zeros(2) for name in RANKED}
    for _ in range(samples):
        positive = rng.random(units) < share
        positive[:2] = True, False  # no metric without both
        between = rng.normal(size=design.weights.clusters)[design.cluster]
        scores = math.sqrt(0.5) * (between + rng.normal(size=units)) + shift * positive
        for name, values_of in RANKED.items():
            values = values_of(scores, positive)
            ours = Estimate.of(values, design.weights).interval()
            plain = plain_interval(values, design.cluster)
            hits[name] += holds(ours, truths[name]), holds(plain, truths[name])
    return {name: Shares(*(count / samples)) for name, count in hits.items()}


def rank_truths(share: float, shift: float) -> dict[str, float]:
    """Return the metrics of endlessly many normal scores, by numerical integration."""
    from scipy.stats import norm

    grid = np.linspace(-8, 8 + shift, 100_001)
    true, false = norm.sf(grid, shift), norm.sf(grid)
    precision = share * true / (share * true + (1 - share) * false)
    return {
        "average precision": float(np.trapezoid(norm.pdf(grid, shift) * precision, grid)),
        "ROC-AUC": float(norm.cdf(shift / np.sqrt(2))),
        "FPR at 95 % TPR": float(norm.sf(norm.isf(TPR) + shift)),
    }
