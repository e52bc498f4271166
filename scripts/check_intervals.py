"""Measure the intervals and tests of docs/reference/statistics.md by simulation; prints its tables.

    python scripts/check_intervals.py

Takes ten minutes on two cores, `--only PART` less. With 2,000 samples a coverage of 95 % has a
standard error of .5 points. Figures in brackets are those of plain intervals, see
`interval_checks/`.
"""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from interval_checks.clusters import (
    CLASS_SHARES,
    RANKED,
    RATES,
    Design,
    Shares,
    all_designs,
    class_coverage,
    draw_flags,
    gain_coverage,
    holds,
    make_design,
    null_rejections,
    rank_coverage,
    rate_coverage,
)
from interval_checks.numbers import BETTER, CORRELATIONS, difference_coverage, metric_coverage
from interval_checks.numbers import POOLS as POOLS_OF_NUMBERS
from interval_checks.numbers import pool_coverage as pool_of_numbers
from interval_checks.training import FOLDS, POOLS, fold_coverage, pool_coverage

from savs.foundation.arrays import Array
from savs.pipeline.statistics.intervals import estimate_over_draws
from savs.pipeline.statistics.paired_tests import mcnemar, sign_flip

GAINS = (0.02, 0.05, 0.1, 0.3)
RANK_CASES = ((0.1, 1.5), (0.25, 1.0), (0.25, 2.0), (0.1, 3.0))
"""Shares of positive examples, and how many standard deviations higher they score."""
CLASS_DESIGNS = (("1", 2000), ("4", 500), ("4", 2000), ("16", 2000), ("1/4/16", 500),
                 ("1/4/16", 2000))  # fmt: skip
DRAW_UNITS, DRAW_NUMBERS = (200, 1000), (2, 3, 10, 30)
DRAW_SDS = (0.5, 1.5, 1.0)
"""Standard deviations of the effects of a draw, a unit, and both together, on logits."""


def main() -> None:
    """Measure, print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2000, help="samples a cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=PARTS, help="print one part")
    options = parser.parse_args()
    parts = [options.only] if options.only else list(PARTS)
    # each part has its own random numbers, so that one alone prints what all together do
    with ProcessPoolExecutor(2) as pool:
        runs = [pool.submit(PARTS[part], options.seed, options.samples) for part in parts]
        for run in runs:
            print("\n".join(run.result()), flush=True)


def rate_table(seed: int, samples: int) -> list[str]:
    """Return how often the interval of an accuracy contains the rate."""
    return _grid("accuracy", RATES, partial(rate_coverage, samples=samples), seed)


def null_table(seed: int, samples: int) -> list[str]:
    """Return how often the interval of a difference excludes 0, without a true difference."""
    return _grid("accuracy of both", RATES, partial(null_rejections, samples=samples), seed)


def gain_table(seed: int, samples: int) -> list[str]:
    """Return how often the interval of a difference contains a gain in one direction."""
    return _grid("gain", GAINS, partial(gain_coverage, samples=samples), seed)


def _grid(
    name: str, rates: Sequence[float], measure: Callable[..., Shares], seed: int
) -> list[str]:
    designs, rng = all_designs(), np.random.default_rng(seed)
    rows = [
        _row(f"{100 * rate:g} %", *(measure(rng, design, rate) for design in designs))
        for rate in rates
    ]
    return [*_header(name, *(design.name for design in designs)), *rows]


def measure_classes(seed: int, samples: int) -> list[str]:
    """Return how often intervals contain the recalls of classes, and the balanced accuracy."""
    rng, rows = np.random.default_rng(seed), []
    names = [*(f"class of {100 * share:g} %" for share in CLASS_SHARES.values())]
    keys = [*CLASS_SHARES, "balanced accuracy"]
    for kind, units in CLASS_DESIGNS:
        design = make_design(kind, units)
        for rate in (0.8, 0.95):
            shares = class_coverage(rng, design, rate, samples // 2)
            cells = [shares.get(key, "-") for key in keys]
            rows.append(_row(f"{design.name}, {100 * rate:g} % right", *cells))
    return [*_header("clusters", *names, "balanced accuracy"), *rows]


def rank_table(seed: int, samples: int) -> list[str]:
    """Return how often the intervals of rank metrics contain their value."""
    rng, lines = np.random.default_rng(seed), []
    designs = [design for design in all_designs() if 100 < len(design.cluster) < 1000]
    coverages = {
        case: [rank_coverage(rng, design, *case, samples // 2) for design in designs]
        for case in RANK_CASES
    }
    for name in RANKED:
        lines += _header(name, *(design.name for design in designs))
        for (share, shift), cells in coverages.items():
            row = f"{100 * share:g} % positive, {shift:g} SD apart"
            lines.append(_row(row, *(cell[name] for cell in cells)))
    return lines


def number_table(seed: int, samples: int) -> list[str]:
    """Return how often the intervals of metrics of numbers contain their value."""
    named = {c: f"correlation {c:g}" for c in CORRELATIONS}
    return _of_numbers("numbers", metric_coverage, named, seed, samples)


def number_difference_table(seed: int, samples: int) -> list[str]:
    """Return how often intervals of differences of metrics of numbers contain these."""
    named = {c: f"correlation {BETTER[0]:g} and {c:g}" for c in BETTER}
    return _of_numbers("differences of numbers", difference_coverage, named, seed, samples)


def _of_numbers(
    title: str,
    coverage: Callable[..., dict[str, Shares]],
    named: dict[float, str],
    seed: int,
    samples: int,
) -> list[str]:
    """Return a row a metric and correlation, a column a design of clusters."""
    rng = np.random.default_rng(seed)
    designs = [design for design in all_designs() if 100 < len(design.cluster) < 1000]
    lines = _header(title, *(design.name for design in designs))
    for correlation, name in named.items():
        cells = [coverage(rng, design, correlation, samples // 4) for design in designs]
        lines += [
            _row(f"{metric}, {name}", *(cell[metric] for cell in cells)) for metric in cells[0]
        ]
    return lines


def reach_table(seed: int, samples: int) -> list[str]:
    """Return how often numbers lie in their intervals, and those of the error contain its mean."""
    rng = np.random.default_rng(seed)
    rows = [
        _row(pool.name, *pool_of_numbers(rng, pool, samples // 10)) for pool in POOLS_OF_NUMBERS
    ]
    return [*_header("training examples", "new numbers", "cross-validated MAE"), *rows]


def pool_table(seed: int, samples: int) -> list[str]:
    """Return how often the interval of a sweep of a small pool contains the mean over pools."""
    rng = np.random.default_rng(seed)
    rows = [_row(pool.name, *pool_coverage(rng, pool, samples // 4)) for pool in POOLS]
    return [*_header("shots of a pool", "accuracy", "paired difference"), *rows]


def fold_table(seed: int, samples: int) -> list[str]:
    """Return how often a cross-validated interval contains the mean over training sets."""
    rng, rows = np.random.default_rng(seed), []
    for case in FOLDS:
        shares, ratio = fold_coverage(rng, case, samples // 2)
        rows.append(_row(case.name, shares, f"{ratio:.2f}"))
    return [*_header("cross-validation", "contains the mean", "variance"), *rows]


def mcnemar_table(seed: int, samples: int) -> list[str]:
    """Return how often tests of independent units reject, by sums and without samples."""
    lines = _header("n", "exact", "mid-p", "chi-square, corrected", "`mcnemar`")
    for n, share in ((100, 0.1), (200, 0.2), (500, 0.1), (1000, 0.2)):
        errors = [mcnemar_error(p, n, share) for p in (exact, mid_p, corrected, ours)]
        lines.append(_row(f"{n}, {100 * share:g} % differ", *errors))
    return lines


def draw_table(seed: int, samples: int) -> list[str]:
    """Return how often the interval over draws contains the mean over all draws and units."""
    rng = np.random.default_rng(seed)
    lines = _header("mean", *_draw_heads())
    for rate in (0.5, 0.8, 0.95, 0.99, 0.998):
        cells = [
            draw_coverage(rng, rate, draws, units, samples)
            for units in DRAW_UNITS
            for draws in DRAW_NUMBERS
        ]
        lines.append(_row(f"{100 * true_mean(rate):.0f} %", *cells))
    return lines


def equal_table(seed: int, samples: int) -> list[str]:
    """Return how often two readouts that are equal over all draws differ at 5 %."""
    rng = np.random.default_rng(seed)
    lines = _header("equal readouts", *_draw_heads())
    for shared in (0.0, 0.5, 0.9):
        cells = [
            draw_difference_error(rng, shared, draws, units, samples)
            for units in DRAW_UNITS
            for draws in DRAW_NUMBERS
        ]
        lines.append(_row(f"{100 * shared:g} % of the variance in common", *cells))
    return lines


def _draw_heads() -> list[str]:
    return [f"{draws} draws, {units} units" for units in DRAW_UNITS for draws in DRAW_NUMBERS]


def sign_table(seed: int, samples: int) -> list[str]:
    """Return how often the sign-flip test rejects where the systems are alike."""
    rng = np.random.default_rng(seed)
    units = (30, 70, 700)
    designs = [make_design("1/4/16", n) for n in units]
    cells = [sign_flip_error(rng, design, samples) for design in designs]
    heads = [f"{design.weights.clusters} clusters of 1/4/16" for design in designs]
    return [*_header("test", *heads), _row("sign flip", *cells)]


PARTS: dict[str, Callable[[int, int], list[str]]] = {
    "rates": rate_table,
    "null": null_table,
    "gains": gain_table,
    "classes": measure_classes,
    "ranks": rank_table,
    "numbers": number_table,
    "number-differences": number_difference_table,
    "reach": reach_table,
    "pools": pool_table,
    "folds": fold_table,
    "mcnemar": mcnemar_table,
    "draws": draw_table,
    "equal": equal_table,
    "signs": sign_table,
}


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
    weights = make_design("1", units).weights
    for _ in range(samples):
        scores = drawn_scores(rng, logit, draws, units)
        hits += holds(estimate_over_draws(weights, scores).interval(), truth)
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
    weights, rejected = make_design("1", units).weights, 0
    for _ in range(samples):
        draw, unit, both = (sd * shared**0.5 for sd in DRAW_SDS)
        common = 1 + draw * rng.normal(size=(draws, 1)) + unit * rng.normal(size=(1, units))
        common = common + both * rng.normal(size=(draws, units))
        a, b = (drawn_scores(rng, common, draws, units, 1 - shared) for _ in range(2))
        p = estimate_over_draws(weights, b - a).p()
        rejected += p is not None and p < 0.05
    return rejected / samples


def _sigmoid(logits: Array) -> Array:
    return 1 / (1 + np.exp(-logits))


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
    rng: np.random.Generator, design: Design, samples: int, flips: int = 1999
) -> float:
    """Return how often `sign_flip` rejects at 5 % where the systems are alike."""
    rejected = 0
    for sample in range(samples):
        signs = np.where(rng.random(design.weights.clusters) < 0.5, 1, -1)
        differ = draw_flags(rng, design, 0.3) * signs[design.cluster]
        sums = np.bincount(design.cluster, differ) / len(design.cluster)
        rejected += sign_flip(sums, seed=sample, flips=flips).p < 0.05
    return rejected / samples


def _header(*cells: str) -> list[str]:
    return ["", "| " + " | ".join(cells) + " |", "|" + " --- |" * len(cells)]


def _row(name: str, *cells: float | str | Shares) -> str:
    texts = [f"{100 * cell:.1f} %" if isinstance(cell, float) else str(cell) for cell in cells]
    return f"| {name} | " + " | ".join(texts) + " |"


if __name__ == "__main__":
    main()
