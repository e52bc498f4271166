"""Measure the intervals and tests of docs/results.md by simulation; prints its tables.

    python scripts/check_intervals.py

Takes two to three minutes on a core. With 800 samples a coverage of 95 % has a standard error of .8
points. Clusters have 1 to 8 units and a rate of their own (beta, intra-cluster correlation .3).
"""

import argparse
from collections.abc import Callable

import numpy as np
import polars as pl

from savs.datasets import Units
from savs.datasets.metrics.ranking import average_precision_units, roc_auc_units
from savs.foundation.arrays import Array
from savs.pipeline.evaluation.statistics.intervals import (
    UnitWeights,
    estimate_over_draws,
    summarise,
    weigh_units,
)
from savs.pipeline.evaluation.statistics.paired_tests import mcnemar, sign_flip, subtract

RATES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
CORRELATION = 0.3
LARGEST_CLUSTER = 8
STRATA = 10
RANKED_CLUSTER = 4
DRAW_SDS = (0.5, 1.5, 1.0)
"""Standard deviations of the effects of a draw, a unit, and both together, on logits."""
RANKED = {"average precision": average_precision_units, "ROC-AUC": roc_auc_units}


def main() -> None:
    """Measure, print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=800, help="samples a cell")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    counts = (10, 20, 50, 200)
    heads = [f"{count} clusters" for count in counts]
    _header("rate", *heads, f"200 clusters, {STRATA} strata")
    for rate in RATES:
        cells = [coverage(rng, rate, count, options.draws) for count in counts]
        _row(f"{100 * rate:g} %", *cells, coverage(rng, rate, 200, options.draws, strata=STRATA))
    _header("units that differ", "50 clusters", "200 clusters", f"200, {STRATA} strata")
    for share in (0.02, 0.05, 0.1, 0.3):
        cells = [paired_coverage(rng, share, count, options.draws) for count in (50, 200)]
        strata = paired_coverage(rng, share, 200, options.draws, strata=STRATA)
        _row(f"{100 * share:g} %", *cells, strata)
    _header("n", "exact", "mid-p", "chi-square, corrected", "`mcnemar`")
    for n, share in ((100, 0.1), (200, 0.2), (500, 0.1), (1000, 0.2)):
        errors = [mcnemar_error(p, n, share) for p in (exact, mid_p, corrected, ours)]
        _row(f"{n}, {100 * share:g} % differ", *errors)
    sizes = (100, 300, 1000)
    heads = [f"{name}, {n}" for name in RANKED for n in sizes]
    _header("positive examples", *heads)
    for share, shift in ((0.1, 1.5), (0.25, 1.0), (0.25, 2.0)):
        found = [ranking_coverage(rng, n, share, shift, options.draws) for n in sizes]
        cells = [coverages[name] for name in RANKED for coverages in found]
        _row(f"{100 * share:g} %, {shift:g} SD apart", *cells)
    _print_draws(rng, options.draws)
    _header("clusters", "10", "20", "100")
    _row("sign flip", *(sign_flip_error(rng, count, options.draws) for count in (10, 20, 100)))


def _print_draws(rng: np.random.Generator, samples: int) -> None:
    """Print the tables about several few-shot draws."""
    numbers = (2, 3, 10, 30)
    heads = [f"{draws} draws, {units} units" for units in (200, 1000) for draws in numbers]
    _header("mean", *heads)
    for rate in (0.5, 0.8, 0.95, 0.99, 0.998):
        cells = [
            draw_coverage(rng, rate, draws, units, samples)
            for units in (200, 1000)
            for draws in numbers
        ]
        _row(f"{100 * true_mean(rate):.0f} %", *cells)
    _header("equal readouts", *heads)
    for shared in (0.0, 0.5, 0.9):
        cells = [
            draw_difference_error(rng, shared, draws, units, samples)
            for units in (200, 1000)
            for draws in numbers
        ]
        _row(f"{100 * shared:g} % of the variance in common", *cells)


def drawn_scores(
    rng: np.random.Generator, logits: Array, draws: int, units: int, share: float = 1.0
) -> Array:
    """Return `(draws, units)` scores of 0 and 1 with effects of draws, units and both, on logits.

    Parameters
    ----------
    logits
        Added to those of the effects: a number, or one a draw and unit.
    draws, units
        How many.
    share
        Share of the variance `DRAW_SDS` that these effects have.
    """
    draw, unit, both = (sd * share**0.5 for sd in DRAW_SDS)
    effects = draw * rng.normal(size=(draws, 1)) + unit * rng.normal(size=(1, units))
    chances = _sigmoid(logits + effects + both * rng.normal(size=(draws, units)))
    return (rng.random((draws, units)) < chances).astype(float)


def draw_coverage(
    rng: np.random.Generator, rate: float, draws: int, units: int, samples: int
) -> float:
    """Return how often the interval of a sweep holds the mean over all draws and units."""
    logit, truth, hits = np.log(rate / (1 - rate)), true_mean(rate), 0
    for _ in range(samples):
        scores = drawn_scores(rng, logit, draws, units)
        hits += _holds(*estimate_over_draws(_independent(units), scores).share_interval(), truth)
    return hits / samples


def true_mean(rate: float) -> float:
    """Return the mean over all draws and units, of which the median one has this rate."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    effects = np.sqrt(np.square(DRAW_SDS).sum()) * nodes
    return float(weights @ _sigmoid(np.log(rate / (1 - rate)) + effects) / weights.sum())


def draw_difference_error(
    rng: np.random.Generator, shared: float, draws: int, units: int, samples: int
) -> float:
    """Return how often two readouts that are equal over all draws and units differ at 5 %."""
    rejected = 0
    for _ in range(samples):
        draw, unit, both = (sd * shared**0.5 for sd in DRAW_SDS)
        common = 1 + draw * rng.normal(size=(draws, 1)) + unit * rng.normal(size=(1, units))
        common = common + both * rng.normal(size=(draws, units))
        a, b = (drawn_scores(rng, common, draws, units, 1 - shared) for _ in range(2))
        p = estimate_over_draws(_independent(units), b - a).p()
        rejected += p is not None and p < 0.05
    return rejected / samples


def _sigmoid(logits: Array) -> Array:
    return 1 / (1 + np.exp(-logits))


def _independent(units: int) -> UnitWeights:
    return weigh_units(pl.DataFrame({"cluster": np.arange(units), "stratum": 0}))


def sizes_and_rates(rng: np.random.Generator, rate: float, clusters: int) -> tuple[Array, Array]:
    """Return the cluster of each unit and the rate of its cluster."""
    strength = (1 - CORRELATION) / CORRELATION
    sizes = rng.integers(1, LARGEST_CLUSTER + 1, clusters)
    cluster = np.repeat(np.arange(clusters), sizes)
    return cluster, rng.beta(rate * strength, (1 - rate) * strength, clusters)[cluster]


def _frame(scores: Array, cluster: Array, strata: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"score": scores.astype(float), "cluster": cluster, "stratum": cluster % strata}
    )


def coverage(
    rng: np.random.Generator, rate: float, clusters: int, draws: int, strata: int = 1
) -> float:
    """Return how often the interval of `summarise` holds the rate that samples were drawn with."""
    hits = 0
    for _ in range(draws):
        cluster, rates = sizes_and_rates(rng, rate, clusters)
        scores = rng.random(len(rates)) < rates
        found = summarise(Units("accuracy", _frame(scores, cluster, strata), chance=0.5))
        hits += _holds(found.low, found.high, rate)
    return hits / draws


def paired_coverage(
    rng: np.random.Generator, share: float, clusters: int, draws: int, strata: int = 1
) -> float:
    """Return how often the interval of `subtract` holds the true difference.

    The systems differ on a share of the units, and B is right on three quarters of those.
    """
    hits = 0
    for _ in range(draws):
        cluster, rates = sizes_and_rates(rng, share, clusters)
        differ = rng.random(len(rates)) < rates
        b = np.where(differ, rng.random(len(rates)) < 0.75, 1)
        a = np.where(differ, 1 - b, b)
        found = subtract(*(_frame(scores, cluster, strata) for scores in (a, b)))
        hits += _holds(found.low, found.high, share / 2)
    return hits / draws


def ranking_coverage(
    rng: np.random.Generator, n: int, share: float, shift: float, draws: int
) -> dict[str, float]:
    """Return how often the intervals of `RANKED` hold what an endless test set would have.

    Scores are normal, those of positive examples `shift` standard deviations higher. Four examples
    are a cluster, which half of the variance is between.
    """
    from scipy.stats import norm

    grid = np.linspace(-8, 8 + shift, 100_001)
    true, false = norm.sf(grid, shift), norm.sf(grid)
    precision = share * true / (share * true + (1 - share) * false)
    truths = {
        "average precision": float(np.trapezoid(norm.pdf(grid, shift) * precision, grid)),
        "ROC-AUC": float(norm.cdf(shift / np.sqrt(2))),
    }
    hits = dict.fromkeys(RANKED, 0)
    cluster = np.arange(n) // RANKED_CLUSTER
    for _ in range(draws):
        positive = rng.random(n) < share
        between = rng.normal(size=n // RANKED_CLUSTER + 1)[cluster]
        scores = np.sqrt(0.5) * (between + rng.normal(size=n)) + shift * positive
        for name, values_of in RANKED.items():
            units = _frame(values_of(scores, positive), cluster, 1)
            found = summarise(Units(name, units, chance=0.5))
            hits[name] += _holds(found.low, found.high, truths[name])
    return {name: count / draws for name, count in hits.items()}


def _holds(low: float | None, high: float | None, truth: float) -> bool:
    return low is not None and high is not None and low <= truth <= high


def mcnemar_error(p_value: Callable[[int, int], float], n: int, share: float) -> float:
    """Return how often a test of n independent units rejects, without a true difference, at 5 %.

    No simulation: the sum over all numbers of units that differ, and all their divisions.
    """
    from scipy.special import gammaln, xlogy

    def binomial(n: int, p: float) -> Array:
        k = np.arange(n + 1)
        ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
        return np.exp(ways + xlogy(k, p) + xlogy(n - k, 1 - p))

    error = 0.0
    for differ, weight in enumerate(binomial(n, share)):
        if weight > 1e-9:
            rejected = [p_value(a, differ - a) < 0.05 for a in range(differ + 1)]
            error += weight * float(binomial(differ, 0.5)[rejected].sum())
    return error


def exact(a: int, b: int) -> float:
    """Return McNemar's exact p."""
    from scipy.special import bdtr

    return 1.0 if a == b else 2 * float(bdtr(min(a, b), a + b, 0.5))


def mid_p(a: int, b: int) -> float:
    """Return McNemar's mid-p."""
    from scipy.special import bdtr

    n, fewer = a + b, min(a, b)
    return 1.0 if a == b else float(bdtr(fewer, n, 0.5) + (bdtr(fewer - 1, n, 0.5) if fewer else 0))


def corrected(a: int, b: int) -> float:
    """Return the p of the chi-square with continuity correction."""
    from scipy.special import chdtrc

    return float(chdtrc(1, max(abs(a - b) - 1, 0) ** 2 / (a + b))) if a + b else 1.0


def ours(a: int, b: int) -> float:
    """Return the p of `mcnemar`."""
    return mcnemar(a, b).p


def sign_flip_error(
    rng: np.random.Generator, clusters: int, draws: int, flips: int = 1999
) -> float:
    """Return how often `sign_flip` rejects at 5 % where the systems are alike."""
    rejected = 0
    for draw in range(draws):
        cluster, rates = sizes_and_rates(rng, 0.3, clusters)
        signs = np.where(rng.random(clusters) < 0.5, 1, -1)[cluster]
        differ = (rng.random(len(rates)) < rates) * signs
        sums = np.bincount(cluster, differ, clusters) / len(rates)
        rejected += sign_flip(sums, seed=draw, flips=flips).p < 0.05
    return rejected / draws


def _header(*cells: str) -> None:
    print("\n| " + " | ".join(cells) + " |\n|" + " --- |" * len(cells))


def _row(name: str, *shares: float) -> None:
    print(f"| {name} | " + " | ".join(f"{100 * share:.1f} %" for share in shares) + " |")


if __name__ == "__main__":
    main()
