"""The units of a metric as arrays: their weights, clusters and strata, for many sets of scores."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.pipeline.evaluation.statistics.wilson import Z, wilson_interval


@dataclass(frozen=True, slots=True)
class UnitWeights:
    """How the scores of units make a mean over strata of the mean in each."""

    cluster: Array
    """`(units,)` numbers."""
    stratum: Array
    """`(units,)` numbers."""
    clusters: int
    sizes: Array
    """`(strata,)` units in each."""
    stratum_clusters: Array
    """`(strata,)` clusters in each."""

    def value(self, scores: Array) -> float:
        """Return the mean over strata of the mean score in each."""
        return float(self._stratum_means(scores).mean())

    def variance(self, scores: Array) -> float | None:
        """Return the squared clustered standard error of `value`; None where there is one cluster.

        With weights w_i that make the mean over strata of the stratum means, it is the sum over
        clusters of (sum of f w_i (s_i - stratum mean))^2, where f^2 = K / (K - 1) for the K
        clusters of a unit's stratum: with one stratum the formula of Miller, arXiv 2411.00640, with
        the small-sample factor, and where clusters lie within strata that of stratified samples. A
        stratum of one cluster, or whose scores are all equal, shows no spread of its own: it adds
        that of Wilson's interval for its number of clusters.
        """
        if self.clusters < 2:
            return None
        means, strata = self._stratum_means(scores), len(self.sizes)
        factors = np.sqrt(self.stratum_clusters / np.maximum(self.stratum_clusters - 1, 1))
        weights = factors / (strata * self.sizes)
        apart = (scores - means[self.stratum]) * weights[self.stratum]
        spread = float((np.bincount(self.cluster, apart) ** 2).sum())
        return spread + self._unseen(scores, means) / strata**2

    def _stratum_means(self, scores: Array) -> Array:
        return np.bincount(self.stratum, scores) / self.sizes

    def _unseen(self, scores: Array, means: Array) -> float:
        """Return the sum of the variances of strata that show none."""
        greatest, least = np.full((2, len(means)), -np.inf)
        np.maximum.at(greatest, self.stratum, scores)
        np.maximum.at(least, self.stratum, -scores)
        total = 0.0
        for stratum in np.flatnonzero((greatest == -least) | (self.stratum_clusters == 1)):
            score = min(1.0, abs(float(means[stratum])))
            low, high = wilson_interval(score, int(self.stratum_clusters[stratum]))
            total += (max(score - low, high - score) / Z) ** 2
        return total


def weigh_units(units: pl.DataFrame) -> UnitWeights:
    """Return the weights of units, one row each with `cluster` and `stratum`."""
    cluster, stratum = (_numbers(units[name]) for name in ("cluster", "stratum"))
    clusters = int(cluster.max()) + 1
    pairs = pl.Series(stratum * clusters + cluster).unique()  # np.unique sorts: 30 times as long
    return UnitWeights(
        cluster=cluster,
        stratum=stratum,
        clusters=clusters,
        sizes=np.bincount(stratum),
        stratum_clusters=np.bincount(pairs.to_numpy() // clusters),
    )


def one_stratum(cluster: pl.Series) -> UnitWeights:
    """Return the weights of units whose plain mean is taken."""
    numbers = _numbers(cluster)
    clusters, units = int(numbers.max()) + 1, len(numbers)
    nothing = np.zeros(units, np.int64)
    return UnitWeights(numbers, nothing, clusters, np.array([units]), np.array([clusters]))


def _numbers(values: pl.Series) -> Array:
    return values.rank("dense").to_numpy().astype(np.int64) - 1
