"""How far the probabilities and prediction sets of an evaluation can be trusted.

Whether probabilities are right as often as they say (`reliability`), and what it would gain to
answer the likeliest examples only (`accuracy_by_coverage`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.many_labels import PRESENT, UNKNOWN
from savs.foundation.arrays import Array
from savs.pipeline.statistics.intervals import Mean, estimate, estimate_share

MEASURED = (
    *("label", "correct", "probability", "prediction_set", "unsure", "atypical"),
    *("subtask", "cluster"),
)
"""Columns of the predictions that are looked at."""
BINS = 10
"""Bins of equal width."""
DIGITS = 6
"""Decimal places of a probability that count: two of three votes are 2/3 by any sum."""
SHARES = tuple(tenths / 10 for tenths in range(10, 0, -1))
"""Shares of the examples that are answered in `accuracy_by_coverage`."""


@dataclass(frozen=True, slots=True)
class RiskReport:
    """What prediction sets of a chosen risk came to."""

    risk: float
    """As asked for: P(truth outside the set), or the share of the true labels outside of it."""
    outside: Mean
    """As it is, with its clustered interval, which one cluster has not."""
    answered: Mean | None
    """Share of the examples whose set has exactly one class; None of many labels."""
    wrong: Mean | None
    """Error among those: another number than the risk. None if none is answered."""
    classes: float
    """Mean number of classes in a set."""


@dataclass(frozen=True, slots=True)
class Atypical:
    """Examples that are like none of the training ones, see `typicality`."""

    share: Mean
    right: Mean | None
    """Accuracy among them; None if there are none."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Examples whose probability lies in `low` < p <= `high`."""

    low: float
    high: float
    examples: int
    probability: float
    """Mean."""
    accuracy: float


@dataclass(frozen=True, slots=True)
class Answered:
    """The accuracy among a share of the examples, those of greatest probability."""

    coverage: float
    accuracy: float
    threshold: float
    """Least probability among the answered."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """Probabilities against what was right. Skipped examples are left out."""

    prompt: str | None
    """Prompt of the examples, where a store puts each to several; None: it is of all examples."""
    examples: int
    temperatures: dict[str, float | None] | None
    """Subtask, or `all` -> its temperature, none of many labels; None if probabilities are not
    calibrated."""
    calibration_error: float
    """Expected calibration error, 0 to 1."""
    reliability: tuple[Bin, ...]
    coverage: tuple[Answered, ...]
    """Accuracy if only the likeliest share is answered; empty of many labels, whose examples are
    pairs of an example and a label, right where it is there."""
    risk: RiskReport | None
    atypical: Atypical | None
    """None if typicality is not known."""

    def to_json(self) -> dict[str, Any]:
        """Return the form that metrics.json holds."""
        return asdict(self)


def measure_confidence(
    predictions: pl.LazyFrame,
    temperatures: Mapping[str, float | None],
    risk: float | None,
    prompts: Sequence[str] = (),
) -> tuple[Confidence, ...]:
    """Return how far probabilities can be trusted; nothing without any, or without labels.

    Where the same examples are under several prompts, each prompt has its own numbers.

    `temperatures` are those of subtasks, None where a subtask is not calibrated; `prompts` those
    that each example is under, empty if rows have their own.
    """
    known = (
        predictions.select(MEASURED)
        .filter(pl.col("probability").is_not_null(), pl.col("label").is_not_null())
        .collect()
    )
    parts = [(prompt, known.filter(subtask=prompt)) for prompt in prompts] or [(None, known)]
    return tuple(
        _measured(
            prompt, examples, {n: t for n, t in temperatures.items() if prompt in (None, n)}, risk
        )
        for prompt, examples in parts
        if examples.height
    )


def _measured(
    prompt: str | None,
    known: pl.DataFrame,
    temperatures: dict[str, float | None],
    risk: float | None,
) -> Confidence:
    likely, correct = known["probability"].to_numpy(), known["correct"].to_numpy()
    bins = reliability(likely, correct)
    return Confidence(
        prompt=prompt,
        examples=known.height,
        temperatures=temperatures if any(temperatures.values()) else None,
        calibration_error=calibration_error(bins),
        reliability=bins,
        coverage=accuracy_by_coverage(likely, correct),
        risk=None if risk is None else _report(known, risk),
        atypical=_atypical(known),
    )


def label_confidence(
    logits: Array,
    states: Array,
    *,
    is_calibrated: bool,
    risk: float | None,
    inside: Array | None,
    cluster: pl.Series,
) -> tuple[Confidence, ...]:
    """Return how far the probabilities of many labels can be trusted, of all pairs that are known.

    `logits` and `states` are `(labels, examples)`; `UNKNOWN` pairs are left out. `inside` says
    which labels are in the set of each example at a risk, `cluster` is that of each example.
    """
    bins = reliability_of(
        (1 / (1 + np.exp(-row[known].astype(np.float64))), of_label[known] == PRESENT)
        for row, of_label in zip(logits, states, strict=True)
        for known in [of_label != UNKNOWN]
    )
    if not bins:
        return ()
    return (
        Confidence(
            prompt=None,
            examples=sum(part.examples for part in bins),
            temperatures={} if is_calibrated else None,
            calibration_error=calibration_error(bins),
            reliability=bins,
            coverage=(),
            risk=None
            if risk is None or inside is None or not (states == PRESENT).any()
            else _label_report(states, inside, cluster, risk),
            atypical=None,
        ),
    )


def _label_report(states: Array, inside: Array, cluster: pl.Series, risk: float) -> RiskReport:
    """Return which share of the true labels sets lack: of all pairs of an example and such a label.

    A unit is an example: the share plus its own part in it, as the derivative of a ratio has it.
    """
    true = states == PRESENT
    has_some, known = true.any(axis=0), (states != UNKNOWN).any(axis=0)
    counts, missed = true.sum(axis=0)[has_some], (true & ~inside).sum(axis=0)[has_some]
    share = missed.sum() / counts.sum()
    units = share + (missed - share * counts) / counts.mean()
    of_rows = pl.DataFrame({"score": units, "cluster": cluster.filter(pl.Series(has_some))})
    outside = estimate(of_rows.with_columns(stratum=pl.lit("all")))
    return RiskReport(
        risk=risk,
        outside=Mean(outside.value, *outside.interval()),
        answered=None,
        wrong=None,
        classes=float(inside.sum(axis=0)[known].mean()),
    )


def _report(known: pl.DataFrame, risk: float) -> RiskReport:
    inside = known.select(pl.col("prediction_set").list.contains(pl.col("label"))).to_series()
    sure = known.filter(~pl.col("unsure"))
    return RiskReport(
        risk=risk,
        outside=_share(known, ~inside),
        answered=_share(known, ~known["unsure"]),
        wrong=_share(sure, ~sure["correct"]) if sure.height else None,
        classes=float(known["prediction_set"].list.len().to_numpy().mean()),
    )


def _atypical(known: pl.DataFrame) -> Atypical | None:
    judged = known.filter(pl.col("atypical").is_not_null())
    if not judged.height:
        return None
    odd = judged.filter("atypical")
    right = _share(odd, odd["correct"]) if odd.height else None
    return Atypical(_share(judged, judged["atypical"]), right)


def _share(examples: pl.DataFrame, flags: pl.Series) -> Mean:
    estimated = estimate_share(flags, examples["cluster"])
    return Mean(estimated.value, *estimated.interval())


def reliability(probabilities: Array, correct: Array, bins: int = BINS) -> tuple[Bin, ...]:
    """Return the bins that have examples, in ascending order.

    `probabilities` are `(n,)`, 0 to 1, of the predicted classes, `correct` whether each is right.
    Bins have equal width; 0 is in the first one.

    >>> [(b.low, b.examples, b.accuracy) for b in reliability(np.array([0.3, 0.95, 1.0]),
    ...                                                       np.array([True, False, True]))]
    [(0.2, 1, 1.0), (0.9, 2, 0.5)]
    """
    return reliability_of([(probabilities, correct)], bins)


def reliability_of(parts: Iterable[tuple[Array, Array]], bins: int = BINS) -> tuple[Bin, ...]:
    """Return the reliability over parts; memory holds one at a time."""
    ends = np.arange(bins + 1) / bins
    counts, sums, right = np.zeros((3, bins))
    for probabilities, correct in parts:
        rounded = np.round(bins * probabilities.astype(np.float64), DIGITS - 1)
        place = np.clip(np.ceil(rounded).astype(np.int64) - 1, 0, bins - 1)
        counts += np.bincount(place, minlength=bins)
        sums += np.bincount(place, probabilities, bins)
        right += np.bincount(place, correct, bins)
    return tuple(
        Bin(
            float(ends[number]),
            float(ends[number + 1]),
            int(counts[number]),
            float(sums[number] / counts[number]),
            float(right[number] / counts[number]),
        )
        for number in np.flatnonzero(counts)
    )


def calibration_error(bins: tuple[Bin, ...]) -> float:
    """Return the expected calibration error: the mean over examples of |probability - accuracy|.

    Source: Guo et al., arXiv 1706.04599, section 2.
    """
    total = sum(part.examples for part in bins)
    return sum(part.examples * abs(part.probability - part.accuracy) for part in bins) / total


def accuracy_by_coverage(probabilities: Array, correct: Array) -> tuple[Answered, ...]:
    """Return the accuracy among the likeliest share of the examples, for each of `SHARES`.

    Of equally likely examples at the cut, each is answered with the same chance: their mean counts.
    A share of n examples is rounded up to whole ones.

    >>> answered = accuracy_by_coverage(np.array([0.9, 0.8, 0.8, 0.8]), np.array([1, 1, 0, 0]))
    >>> [(a.coverage, round(a.accuracy, 3)) for a in answered if a.coverage in (1, 0.5)]
    [(1.0, 0.5), (0.5, 0.667)]
    """
    rounded = np.round(probabilities.astype(np.float64), DIGITS)
    levels, group = np.unique(-rounded, return_inverse=True)
    sizes, right = np.bincount(group), np.bincount(group, correct)
    answered = []
    for share in SHARES:
        wanted = int(np.ceil(round(share * len(probabilities), 9)))
        last = int(np.searchsorted(np.cumsum(sizes), wanted))
        before = int(sizes[:last].sum())
        # those at the cut are equally likely, so any of them may be answered: their mean counts
        hits = right[:last].sum() + (wanted - before) * right[last] / sizes[last]
        answered.append(Answered(share, float(hits / wanted), float(-levels[last])))
    return tuple(answered)
