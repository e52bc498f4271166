"""Two systems on the same units: how far apart they are, and whether chance explains it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.metrics.metrics import Scale
from savs.foundation.arrays import Array
from savs.pipeline.statistics.intervals import Mean, ends_of_difference, estimate, student_quantile

EXACT_BELOW = 25
"""McNemar's test is the exact one below this number of units on which the systems disagree."""
FLIPS = 9_999
"""Random sign flips of the permutation test; it counts all flips if there are no more."""
SEED = 0
"""Seed of the random sign flips: a comparison gives the same p each time."""
_TIE = 1e-9
"""Sums of flipped differences closer than this, relative to the largest, are equal."""


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The p value of no difference, and what gave it."""

    name: str
    """E.g. `McNemar, exact`."""
    p: float
    """Two-sided."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of a system B less that of a system A, on the same units."""

    value: float
    """Mean over strata of the mean of B - A in each."""
    error: float | None
    """Clustered standard error; None if there is one cluster."""
    low: float | None
    """Lower end of the 95 % interval; None if there is one cluster."""
    high: float | None
    units: int
    clusters: int
    test: PairedTest | None
    """None if there is no interval over draws."""

    def row(self, of: str = "") -> dict[str, Any]:
        """Return the columns of a table; the ends of the interval are `{of}low` and `{of}high`."""
        return {
            "difference": self.value,
            "error": self.error,
            f"{of}low": self.low,
            f"{of}high": self.high,
            "test": self.test and self.test.name,
            "p": self.test and self.test.p,
        }


def subtract(a: pl.DataFrame, b: pl.DataFrame, *, scale: Scale = "share") -> Difference:
    """Return the mean paired difference B - A with its interval and its test.

    The difference is a metric like any other, whose unit scores are those of B less those of A:
    weights, clustered standard error and t interval are those of `summarise` (Miller, arXiv
    2411.00640), so a stratum without any difference has the width of Wilson's interval for none of
    its clusters. The test is McNemar's where units are 0 or 1, independent and of equal weight,
    else `sign_flip` over clusters. Of another `scale` than a share, a difference without any spread
    has no interval: it is not known how much others could vary.

    `a` and `b` have a row a unit, the same units in the same order, with `score`, `cluster` and
    `stratum`. ValueError if there are none, or clusters or strata differ.

    >>> units = {"cluster": list("abcdefgh"), "stratum": "all"}
    >>> a = pl.DataFrame({"score": [1.0, 0, 0, 0, 0, 0, 1, 1], **units})
    >>> b = pl.DataFrame({"score": [1.0, 1, 1, 1, 1, 1, 1, 1], **units})
    >>> paired = subtract(a, b)
    >>> paired.value, paired.test
    (0.625, PairedTest(name='McNemar, exact', p=0.0625))
    """
    if not a.height or not a.select("cluster", "stratum").equals(b.select("cluster", "stratum")):
        raise ValueError("expected the same units, at least one, with equal clusters and strata")
    scores = a.with_columns(score=b["score"] - a["score"])
    paired = estimate(scores, scale=scale)
    reach, is_plain = paired.reach(), paired.clusters == scores.height
    if is_plain and scores["stratum"].n_unique() == 1 and _binary(a) and _binary(b):
        signs = scores["score"].to_numpy()
        test = mcnemar(int((signs < 0).sum()), int((signs > 0).sum()))
    else:
        test = sign_flip(_cluster_sums(scores))
    low, high = (None, None) if reach is None else ends_of_difference(scale, paired.value, reach)
    return Difference(
        value=paired.value,
        error=paired.error,
        low=low,
        high=high,
        units=scores.height,
        clusters=paired.clusters,
        test=test,
    )


def _binary(scores: pl.DataFrame) -> bool:
    return bool(scores["score"].is_in([0.0, 1.0]).all())


def _cluster_sums(scores: pl.DataFrame) -> Array:
    """Return the weighted sum of each cluster's scores, in order of first appearance.

    The weights make the mean over strata of the mean in each.
    """
    weight = 1 / (pl.col("stratum").n_unique() * pl.len().over("stratum"))
    weighted = scores.with_columns(weight=weight).group_by("cluster", maintain_order=True)
    return weighted.agg(sum=(pl.col("weight") * pl.col("score")).sum())["sum"].to_numpy()


def mcnemar(only_a: int, only_b: int) -> PairedTest:
    """Test whether two systems are right equally often, on independent units.

    Given the n units on which they disagree, those that A alone has right are binomial (n, 1/2):
    the exact test doubles the smaller tail. From n = 25 on it is the mid-p form, which counts the
    probability of what was seen half: it rejects a true hypothesis in 4.8 to 5.0 % of samples with
    some 40 to 200 such units, where the exact test and the chi-square with continuity correction do
    in 3.3 to 4.2 % (scripts/check_intervals.py). p is 1 where both numbers are equal.

    Source: McNemar, Psychometrika 12 (1947); mid-p: Fagerland et al., BMC Medical Research
    Methodology 13:91 (2013).

    `only_a` and `only_b` are the units that one system has right and the other wrong.

    >>> mcnemar(0, 5)  # 2 / 2 ** 5
    PairedTest(name='McNemar, exact', p=0.0625)
    """
    from scipy.special import bdtr

    n, fewer = only_a + only_b, min(only_a, only_b)
    name = "McNemar, exact" if n < EXACT_BELOW else "McNemar, mid-p"
    if only_a == only_b:
        return PairedTest(name, 1.0)
    tail = float(bdtr(fewer, n, 0.5))
    if n < EXACT_BELOW:
        return PairedTest(name, 2 * tail)
    below = float(bdtr(fewer - 1, n, 0.5)) if fewer else 0.0
    return PairedTest(name, tail + below)


def sign_flip(sums: Array, *, seed: int = SEED, flips: int = FLIPS) -> PairedTest:
    """Test whether differences lie symmetrically about 0, cluster by cluster.

    If the systems are alike, A and B could change names in any cluster: the p value is the share of
    all flips of the clusters' signs whose sum is as far from 0 as the one seen, equal ones
    included. Where there are more flips than `flips`, it is (b + 1) / (m + 1) of m random ones
    (Phipson & Smyth 2010, arXiv 1603.05766). Clusters without a difference do not matter.

    `sums` are the `(clusters,)` weighted sums of the differences of each cluster's units, `flips`
    is how many random ones to draw.

    >>> sign_flip(np.array([0.3, 0.2, 0.0, 0.1]))  # two of eight flips: all signs alike
    PairedTest(name='sign flip, exact', p=0.25)
    """
    # A cluster without a difference adds nothing under either sign: leaving it out halves the flips
    # and keeps their distribution. Flips are of clusters, because their units depend on each other.
    sizes = np.abs(sums[sums != 0])
    limit = abs(float(sums.sum())) - _TIE * float(sizes.sum())
    if 2 ** len(sizes) <= flips:
        signs = np.arange(2 ** len(sizes))[:, None] >> np.arange(len(sizes)) & 1
        return PairedTest("sign flip, exact", float(np.mean(_as_far(signs, sizes, limit))))
    rng = np.random.default_rng(seed)
    hits = sum(
        int(_as_far(rng.integers(0, 2, (rows, len(sizes)), np.int8), sizes, limit).sum())
        for rows in np.diff([*range(0, flips, 1000), flips])
    )
    return PairedTest("sign flip", (hits + 1) / (flips + 1))


def _as_far(signs: Array, sizes: Array, limit: float) -> Array:
    """Return whether sums with the signs `(flips, clusters)` of 0 and 1 reach the limit."""
    return np.abs((2.0 * signs - 1) @ sizes) >= limit


def holm(ps: Sequence[float]) -> list[float]:
    """Return p values corrected for being several: below 5 %, no more than 5 % are wrong at all.

    The k-th smallest of m is multiplied by m - k + 1, made no smaller than the one before it and no
    larger than 1. Source: Holm, Scandinavian Journal of Statistics 6 (1979).

    >>> holm([0.04, 0.01, 0.03])
    [0.06, 0.03, 0.06]
    """
    # A hypothesis is rejected only if all with a smaller p are, so a corrected p is never below
    # that of a smaller one: the running maximum.
    order = np.argsort(ps, kind="stable")
    factors = np.arange(len(ps), 0, -1)
    steps = np.minimum(1.0, np.maximum.accumulate(np.asarray(ps, float)[order] * factors))
    corrected = np.empty(len(ps))
    corrected[order] = steps
    return corrected.tolist()


def correct(rows: Sequence[dict[str, Any]]) -> None:
    """Add `p_holm` to the rows that have a `p`, corrected for all of them."""
    tested = [row for row in rows if row.get("p") is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p


@dataclass(frozen=True, slots=True)
class DataSetDifference:
    """A mean paired difference over data sets, and how often it goes which way."""

    mean: Mean
    """Each data set has the same weight."""
    p: float | None
    """P value of the sign-flip test over data sets; None for one data set."""
    wins: int
    """Data sets whose own interval lies above 0."""
    ties: int
    """Data sets whose interval holds 0, or that have none."""
    losses: int
    """Data sets whose own interval lies below 0."""

    def row(self, of: str = "") -> dict[str, Any]:
        """Return the columns of a table; the ends of the interval are `{of}low` and `{of}high`."""
        return {
            "difference": self.mean.value,
            f"{of}low": self.mean.low,
            f"{of}high": self.mean.high,
            "p": self.p,
            "wins": self.wins,
            "ties": self.ties,
            "losses": self.losses,
        }


def mean_over_data_sets(values: Sequence[float]) -> Mean:
    """Return the mean of one value a data set, with Student's t interval over data sets.

    One data set has no interval.
    The values differ by what data sets, their draws and their test examples are: the spread that is
    seen has all three. The interval is for other data sets of the same kind.

    >>> overall = mean_over_data_sets([0.5, 0.7])  # SD .1414, standard error .1, t(1) = 12.706
    >>> round(overall.value, 4), round(overall.low, 4), round(overall.high, 4)
    (0.6, -0.6706, 1.8706)
    """
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return Mean(mean, None, None)
    error = float(np.std(values, ddof=1)) / count**0.5
    reach = student_quantile(count - 1) * error
    return Mean(mean, mean - reach, mean + reach)


def difference_over_data_sets(
    differences: Sequence[float], intervals: Sequence[tuple[float | None, float | None]]
) -> DataSetDifference:
    """Return the mean of one paired difference a data set, its test, and wins, ties and losses.

    `intervals` are the ends of each one's own 95 % interval; None if it has none.
    """
    signs = [
        0 if low is None or high is None else (low > 0) - (high < 0) for low, high in intervals
    ]
    return DataSetDifference(
        mean=mean_over_data_sets(differences),
        p=sign_flip(np.asarray(differences)).p if len(differences) > 1 else None,
        wins=signs.count(1),
        ties=signs.count(0),
        losses=signs.count(-1),
    )
