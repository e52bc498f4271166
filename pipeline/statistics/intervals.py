"""Means with error bars, from one score a unit and the clusters that the units fall into.

A share of independent trials has Wilson's interval (`wilson_interval`). Units have weights,
clusters and strata (`UnitWeights`), which make an `Estimate` and the `Metric` that is reported. A
`DrawEstimate`, of several few-shot draws, has the draws as a second source of variance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from savs.datasets import Units
from savs.datasets.metrics.metrics import Scale
from savs.foundation.arrays import Array

LEVEL = 0.95
"""Coverage of every interval."""
Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""
TRIALS_FACTOR = 1.5
"""Degrees of freedom for each effective cluster, of right and wrong units; see `spread`."""
CLOSE = 1e-12
"""A metric that is this close to its bound lies on it but for rounding."""
ROUNDING = 1e-20
"""A variance between clusters below this share of that between units is zero but for rounding."""


def wilson_interval(share: float, n: float, z: float = Z) -> tuple[float, float]:
    """Return Wilson's score interval of a share among n independent trials.

    `n` is a fraction for trials that are not independent, `z` the quantile that sets the level.

    >>> [round(end, 4) for end in wilson_interval(0.5, 10)]
    [0.2366, 0.7634]
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def student_quantile(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit  # scipy.stats takes five times as long to import

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


class Spread(NamedTuple):
    """How much a mean varies between samples of clusters, and how well that is known."""

    variance: float
    """Squared clustered standard error."""
    freedom: float
    """Degrees of freedom of the variance."""


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
    weights: Array
    """`(units,)` weight of a unit's deviation in the clustered standard error: its weight in the
    mean, times the correction of its cluster for small samples, see `spread`."""
    stratum_trials: Array
    """`(strata,)` Kish's effective number of clusters: n^2 / sum of squared cluster sizes. It is
    the number of clusters if they have equal sizes, and less otherwise."""
    trials: float
    """Kish's effective number of clusters for the mean over strata; the number of units where each
    is its own cluster."""

    @property
    def are_independent(self) -> bool:
        """Whether each unit is its own cluster."""
        return self.clusters == len(self.cluster)

    def value(self, scores: Array) -> float:
        """Return the mean over strata of the mean score in each."""
        return float(self._stratum_means(scores).mean())

    def spread(self, scores: Array, *, are_trials: bool, scale: Scale = "share") -> Spread | None:
        """Return the squared clustered standard error of `value`; None if there is one cluster.

        `are_trials` is whether scores are 0 or 1, differences of these, or means of them over
        draws. Of another `scale` than a share, None also if no cluster deviates.

        The variance is the sum over clusters of q_c^2, where q_c sums f w_i (s_i - stratum mean)
        over the cluster's units, with the weights w_i that make the mean over strata of their means
        (Miller, arXiv 2411.00640). f^2 = k / (k - 1), where 1 / k is the share of the stratum's
        units that the cluster has: the bias-reduced variance CR2 of Bell and McCaffrey (Survey
        Methodology 28, 2002; in strata, that of Pustejovsky and Tipton, JBES 36, 2018), for which
        clusters of equal size have k clusters, the usual factor.

        A stratum of one cluster, or whose scores are all equal, shows no spread of its own: it adds
        that of Wilson's interval for Kish's effective number of its clusters. So do all strata if
        no cluster deviates, such as where each has one right and one wrong unit.

        Degrees of freedom are Satterthwaite's, 2 V^2 / Var(V) for V = sum of q_c^2, where Var(V) is
        estimated from the sum of q_c^4 (as by Pan and Wall, Statistics in Medicine 21, 2002), and
        at most C - 1 for C clusters. So they fall where few large clusters, or the few with a wrong
        unit, make the variance. 2 V^2 / sum of q_c^4 is a bound for heavy tails, but a sample shows
        too few of them: simulations (scripts/check_intervals.py) need 1.5 V^2 / sum of q_c^4 for
        trials, and V^2 / sum of q_c^4, the effective number of clusters in V, for influence values
        of rank metrics. For trials that are independent they are C - 1.
        """
        if self.clusters < 2:
            return None
        means, strata = self._stratum_means(scores), len(self.sizes)
        # Units of a cluster move together: their deviations are added before they are squared, so
        # that they do not average out as independent ones would. The factor in the weights corrects
        # for taking deviations from a mean that these same clusters gave: a cluster with half of
        # the units has pulled the mean half of the way to its own.
        apart = (scores - means[self.stratum]) * self.weights
        squares = np.bincount(self.cluster, apart) ** 2
        between = float(squares.sum())
        is_flat = between <= ROUNDING * float(apart @ apart)
        if scale != "share":
            if is_flat:
                return None  # nothing bounds how much other samples deviate
            effective = between**2 / float((squares**2).sum())
            return Spread(between, min(float(self.clusters - 1), effective))
        unseen = self._unseen(scores, means, every=is_flat)
        variance = between + float(unseen.sum()) / strata**2
        # What strata without spread add is an upper bound, which counts as known.
        most = float(self.clusters - 1)
        if is_flat or (self.are_independent and are_trials):
            return Spread(variance, most)
        effective = variance**2 / float((squares**2).sum())
        factor = TRIALS_FACTOR if are_trials else 1.0
        return Spread(variance, min(most, factor * effective))

    def _stratum_means(self, scores: Array) -> Array:
        return np.bincount(self.stratum, scores) / self.sizes

    def _unseen(self, scores: Array, means: Array, *, every: bool) -> Array:
        """Return the variance of each stratum that shows none, 0 for the others."""
        # Scores that are all equal would have an error of 0, however few they are. The longer side
        # of Wilson's interval, in standard errors, is what so few clusters leave open.
        greatest, least = np.full((2, len(means)), -np.inf)
        np.maximum.at(greatest, self.stratum, scores)
        np.maximum.at(least, self.stratum, -scores)
        variances = np.zeros(len(means))
        for stratum in np.flatnonzero(every | (greatest == -least) | (self.stratum_trials == 1)):
            score = min(1.0, abs(float(means[stratum])))
            low, high = wilson_interval(score, float(self.stratum_trials[stratum]))
            variances[stratum] = (max(score - low, high - score) / Z) ** 2
        return variances


def weigh_units(units: pl.DataFrame) -> UnitWeights:
    """Return the weights of units, one row each with `cluster` and `stratum`."""
    return _weights(*(_numbers(units[name]) for name in ("cluster", "stratum")))


def one_stratum(cluster: pl.Series) -> UnitWeights:
    """Return the weights of units whose plain mean is taken."""
    numbers = _numbers(cluster)
    return _weights(numbers, np.zeros(len(numbers), np.int64))


def _weights(cluster: Array, stratum: Array) -> UnitWeights:
    clusters, sizes = int(cluster.max()) + 1, np.bincount(stratum)
    strata = len(sizes)
    if clusters == len(cluster):
        together = np.ones(len(cluster), np.int64)  # units of a cluster in a stratum, for each
    elif strata == 1:
        together = np.bincount(cluster)[cluster]
    else:
        pairs = pl.DataFrame({"pair": stratum * clusters + cluster})  # np.unique sorts: it is slow
        together = pairs.select(pl.len().over("pair")).to_series().to_numpy()
    in_stratum = sizes[stratum]
    # A part that is its whole stratum deviates from the mean by nothing: any factor does.
    shares = np.where(together < in_stratum, in_stratum / together, 2.0)
    trials = sizes**2 / np.bincount(stratum, together)  # a part of m units adds m to each of m
    if clusters == len(cluster):
        whole = float(clusters)
    elif strata == 1:
        whole = float(trials[0])
    else:
        whole = 1 / float((np.bincount(cluster, 1 / (strata * in_stratum)) ** 2).sum())
    return UnitWeights(
        cluster=cluster,
        stratum=stratum,
        clusters=clusters,
        sizes=sizes,
        weights=np.sqrt(shares / (shares - 1)) / (strata * in_stratum),
        stratum_trials=trials,
        trials=whole,
    )


def _numbers(values: pl.Series) -> Array:
    return values.rank("dense").to_numpy().astype(np.int64) - 1


def _are_trials(scores: Array) -> bool:
    """Return whether all scores are 0 or 1, or differences of these."""
    return bool(((scores == 0) | (np.abs(scores) == 1)).all())


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over strata of stratum means, and how well it is known."""

    value: float
    error: float | None
    """Clustered standard error; None if there is one cluster."""
    freedom: float
    """Degrees of freedom of the standard error; 0 without one."""
    clusters: int
    trials: float | None
    """Independent trials of one share that have the same information or less, for scores from 0 to
    1 in one stratum: Kish's effective number of clusters, whose units then count as one."""
    are_counted: bool
    """Whether they have the same: scores are 0 or 1, and independent or all equal."""
    is_plain: bool
    """Whether units are independent and all scores 0 or 1, so that `interval` keeps Student's t for
    the mean of several strata."""

    @classmethod
    def of(
        cls, scores: Array, units: UnitWeights, *, inflation: float = 1.0, scale: Scale = "share"
    ) -> "Estimate":
        """Return the estimate of `(units,)` scores; see `UnitWeights.spread`.

        `inflation` multiplies the variance, for scores that depend on each other beyond clusters.
        """
        are_trials = _are_trials(scores)
        spread = units.spread(scores, are_trials=are_trials, scale=scale)
        is_share = len(units.sizes) == 1 and bool(((scores >= 0) & (scores <= 1)).all())
        alike = units.are_independent or bool((scores == scores[0]).all())
        value = units.value(scores)
        if scale == "share" and abs(value - round(value)) < CLOSE:
            value = float(round(value))
        return cls(
            value=value,
            error=None if spread is None else math.sqrt(spread.variance * inflation),
            freedom=0.0 if spread is None else spread.freedom,
            clusters=units.clusters,
            trials=units.trials / inflation if is_share else None,
            are_counted=is_share and are_trials and alike,
            is_plain=units.are_independent and are_trials,
        )

    def interval(self) -> tuple[float | None, float | None]:
        """Return the ends of the 95 % interval of scores from 0 to 1, not of a difference.

        None if one cluster tells nothing of the spread. It is Wilson's. Independent units of one
        stratum that are right or wrong are its trials; where all scores are equal, Kish's effective
        number of clusters is that of the trials. Otherwise it is Wilson's for as many trials as
        have the clustered standard error, p (1 - p) / SE^2 (Kott and Carr, Journal of Official
        Statistics 13, 1997; compared with others by Dean and Pagano, Journal of Survey Statistics
        and Methodology 3, 2015), with the quantile of Student's t, see `UnitWeights.spread`. It
        needs never be wider than for Kish's effective number of clusters, which assumes that the
        units of a cluster are all right or all wrong.

        For several strata of independent units that are right or wrong it is Student's t with
        C - 1 degrees of freedom, clipped to [0, 1], as for a mean of 0 or 1 without trials.
        """
        if self.trials is not None and self.are_counted:
            return wilson_interval(self.value, self.trials)
        reach = self.reach()
        if self.error is None or reach is None:
            return None, None
        if 0 < self.value < 1 and not self.is_plain:
            trials = self.value * (1 - self.value) / self.error**2
            ends = wilson_interval(self.value, trials, student_quantile(self.freedom))
            least = ends if self.trials is None else wilson_interval(self.value, self.trials)
            return min(ends, least, key=lambda pair: pair[1] - pair[0])
        return max(0.0, self.value - reach), min(1.0, self.value + reach)

    def reach(self) -> float | None:
        """Return half the width of the 95 % interval by Student's t; None without an error."""
        return None if self.error is None else student_quantile(self.freedom) * self.error


def ends_of(
    scale: Scale, value: float, reach: float | None
) -> tuple[float, float] | tuple[None, None]:
    """Return the ends of the 95 % interval of a metric of another scale than `share`.

    It is Student's t on a scale where the metric has no bounds, and back: the logarithm of an
    error, and of 1 - the fit, Fisher's z of a correlation. None without a reach, and where the
    metric lies on its bound, where every sample like this one has it.
    """
    bound = {"error": value, "fit": 1 - value, "correlation": 1 - abs(value)}[scale]
    if not reach or bound <= (0 if scale == "error" else CLOSE):
        return None, None
    if scale == "correlation":
        apart = reach / (1 - value**2)
        return math.tanh(math.atanh(value) - apart), math.tanh(math.atanh(value) + apart)
    left = 1 - value if scale == "fit" else value
    low, high = left * math.exp(-reach / left), left * math.exp(reach / left)
    return (1 - high, 1 - low) if scale == "fit" else (low, high)


def ends_of_difference(scale: Scale, value: float, reach: float) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a difference of two metrics of a scale."""
    low, high = value - reach, value + reach
    return (max(-1.0, low), min(1.0, high)) if scale == "share" else (low, high)


def estimate(scores: pl.DataFrame, *, inflation: float = 1.0, scale: Scale = "share") -> Estimate:
    """Return the mean of units and its clustered standard error; see `UnitWeights.spread`.

    `scores` has a row a unit: `score` (of a share 0 to 1, or -1 to 1 for a difference of two),
    `cluster` and `stratum`; `inflation` multiplies the variance.
    """
    values = scores["score"].cast(pl.Float64).to_numpy()
    return Estimate.of(values, weigh_units(scores), inflation=inflation, scale=scale)


def estimate_share(flags: pl.Series, cluster: pl.Series, *, inflation: float = 1.0) -> Estimate:
    """Return the share of flags that are set; dependent ones belong to the same cluster.

    `inflation` multiplies the variance.
    """
    values = flags.cast(pl.Float64).to_numpy()
    return Estimate.of(values, one_stratum(cluster), inflation=inflation)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its 95 % interval, whose ends are None where nothing tells the spread."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One number with its uncertainty."""

    name: str
    value: float
    """Mean over strata of the mean score in each, 0 to 1."""
    low: float | None
    """Lower end of the 95 % interval; None if one cluster alone tells nothing of the spread."""
    high: float | None
    chance: float
    """What a guess that knows nothing but the classes is expected to reach."""
    majority: float | None
    """What always naming the most frequent test class reaches, where that makes sense."""
    units: int
    clusters: int
    scale: Scale
    """See `Units`; `value` and `chance` of another one than `share` are not confined to 0 to 1."""

    def to_json(self) -> dict[str, Any]:
        """Return the form that metrics.json holds."""
        return {name: getattr(self, name) for name in self.__slots__}


def summarise(units: Units, *, inflation: float = 1.0) -> Metric:
    """Return the mean of a metric's units and its 95 % interval, see `Estimate.interval`.

    `inflation` multiplies the variance.

    >>> frame = pl.DataFrame({"score": [1.0] * 8, "cluster": list("abcdefgh"), "stratum": "all"})
    >>> metric = summarise(Units("accuracy", frame, chance=0.5))
    >>> metric.value, round(metric.low, 3), metric.high
    (1.0, 0.676, 1.0)
    """
    (metric,) = summarise_all([units], inflation=inflation)
    return metric


TOGETHER = 2**16
"""Units whose clusters and strata are numbered together, of several metrics."""


def summarise_all(units: Sequence[Units], *, inflation: float = 1.0) -> tuple[Metric, ...]:
    """Return what `summarise` does of each metric; of thousands of small ones in little time."""
    metrics: list[Metric] = []
    for _, alike in groupby(zip(_batches(units), units, strict=True), key=itemgetter(0)):
        part = [metric for _, metric in alike]
        ends = np.cumsum([metric.scores.height for metric in part])
        scores, cluster, stratum = _numbered([metric.scores for metric in part])
        for metric, end in zip(part, ends, strict=True):
            rows = slice(end - metric.scores.height, end)
            weights = _weights(cluster[rows], stratum[rows])
            estimated = Estimate.of(scores[rows], weights, inflation=inflation, scale=metric.scale)
            metrics.append(_metric(metric, estimated))
    return tuple(metrics)


def _batches(units: Sequence[Units]) -> list[int]:
    """Return the number of the batch of each metric, ascending; large ones are alone in theirs."""
    before = np.cumsum([0, *(metric.scores.height for metric in units)])[:-1]
    return [int(rows) // TOGETHER for rows in before]


def _numbered(tables: Sequence[pl.DataFrame]) -> tuple[Array, Array, Array]:
    """Return the scores of tables, and clusters and strata as numbers that begin anew in each."""
    sizes = [table.height for table in tables]
    rows = unit_rows(tables).with_columns(
        pl.col("score").cast(pl.Float64), table=np.repeat(np.arange(len(sizes)), sizes)
    )
    ranks = (pl.col("cluster", "stratum").rank("dense").over("table") - 1).cast(pl.Int64)
    numbered = rows.select("score", ranks)
    scores, cluster, stratum = (column.to_numpy() for column in numbered)
    return scores, cluster, stratum


def unit_rows(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return the units of one metric after the other; columns `score`, `cluster`, `stratum`."""
    names = ["score", "cluster", "stratum"]
    alike = [table if table.columns == names else table.select(names) for table in tables]
    return pl.concat(alike, how="vertical_relaxed")


def _metric(units: Units, estimated: Estimate) -> Metric:
    low, high = (
        estimated.interval()
        if units.scale == "share"
        else ends_of(units.scale, estimated.value, estimated.reach())
    )
    return Metric(
        name=units.name,
        value=estimated.value,
        low=low,
        high=high,
        chance=units.chance,
        majority=units.majority,
        units=units.scores.height,
        clusters=estimated.clusters,
        scale=units.scale,
    )


@dataclass(frozen=True, slots=True)
class DrawEstimate:
    """A mean over draws, and how well it is known."""

    value: float
    sd: float | None
    """Standard deviation over draws; None for one draw."""
    error: float | None
    """Standard error over draws and clusters; None for one draw or one cluster."""
    freedom: float
    """Satterthwaite's degrees of freedom; 0 without an error."""
    clusters: int
    trials: float
    """Kish's effective number of clusters."""
    scale: Scale = "share"

    def difference_interval(self) -> tuple[float, float] | tuple[None, None]:
        """Return the 95 % interval of a difference, of shares in -1 to 1; None without an error."""
        if self.error is None:
            return None, None
        return ends_of_difference(
            self.scale, self.value, student_quantile(self.freedom) * self.error
        )

    def interval(self) -> tuple[float, float] | tuple[None, None]:
        """Return the 95 % interval of a mean; None without an error.

        Of a share, in 0 to 1, it is Wilson's with Student's t, for as many independent trials as
        have this standard error. Where all scores are 0, or all are 1, the trials are the clusters,
        in Kish's effective number. A mean outside of 0 to 1 is no share: its interval is Student's.
        Of another scale see `ends_of`.
        """
        if self.error is None:
            return None, None
        if self.scale != "share":
            return ends_of(self.scale, self.value, student_quantile(self.freedom) * self.error)
        if not 0 <= self.value <= 1:
            reach = student_quantile(self.freedom) * self.error
            return self.value - reach, self.value + reach
        spread = self.value * (1 - self.value)
        known = spread > 0 and self.error > 0
        trials = spread / self.error**2 if known else self.trials
        return wilson_interval(self.value, trials, student_quantile(self.freedom))

    def p(self) -> float | None:
        """Return the two-sided p value of a true mean of 0; None without an error, or with 0."""
        from scipy.special import stdtr

        if not self.error:
            return None
        return min(1.0, 2 * float(stdtr(self.freedom, -abs(self.value) / self.error)))


def estimate_over_draws(
    units: UnitWeights, scores: Array, *, pool_variance: float = 0.0, scale: Scale = "share"
) -> DrawEstimate:
    """Return the mean over draws of a metric, or of a difference of two.

    `scores` are `(draws, units)`, of the same units in each draw. `pool_variance` is what the pool
    of all draws adds to the variance of the mean, in variances between draws, see
    `savs.pipeline.evaluation.sweep.draws.pool_variance`; 0 if each draw is a new sample.
    """
    values = np.array([units.value(draw) for draw in scores])
    value, draws = float(values.mean()), len(values)
    within = units.spread(scores.mean(axis=0), are_trials=_are_trials(scores), scale=scale)
    sd = float(values.std(ddof=1)) if draws > 1 else None
    if sd is None or within is None:
        return DrawEstimate(value, sd, None, 0.0, units.clusters, units.trials, scale)
    # All draws are measured on the same units: what these add to every value alike is not in the
    # spread of the values, so `within` comes on top. Satterthwaite's freedom is that of the scaled
    # chi-square whose mean and variance are those of the sum: the noisier part sets it.
    between = sd**2 / draws + sd**2 * pool_variance
    total, freedom = between + within.variance, within.freedom
    if total:  # it is 0 if no score differs from another one, and all are neither 0 nor 1
        freedom = total**2 / (between**2 / (draws - 1) + within.variance**2 / within.freedom)
    error = math.sqrt(total)
    return DrawEstimate(value, sd, error, freedom, units.clusters, units.trials, scale)
