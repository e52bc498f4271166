"""How far the probabilities and prediction sets of an evaluation can be trusted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from savs.pipeline.evaluation.statistics.intervals import estimate_share
from savs.pipeline.evaluation.statistics.reliability import (
    Answered,
    Bin,
    accuracy_by_coverage,
    calibration_error,
    reliability,
)
from savs.pipeline.selection.selection import Selection, TaskSelection

MEASURED = (
    *("label", "correct", "probability", "prediction_set", "unsure", "atypical"),
    *("subtask", "cluster"),
)
"""Columns of the predictions that are looked at."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of some examples with its clustered 95 % interval; None with one cluster."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class RiskReport:
    """What prediction sets of a chosen risk came to."""

    risk: float
    """As asked for: P(truth outside the set)."""
    outside: Share
    """As it is."""
    answered: Share
    """Share of the examples whose set has exactly one class."""
    wrong: Share | None
    """Error among those: another number than the risk. None where none is answered."""
    classes: float
    """Mean number of classes in a set."""


@dataclass(frozen=True, slots=True)
class Atypical:
    """Examples that are like none of the training ones, see `typicality`."""

    share: Share
    """Of all examples."""
    right: Share | None
    """Accuracy among them; None where there are none."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """Probabilities against what was right. Skipped examples are left out."""

    prompt: str | None
    """Prompt of the examples, where a store puts each to several; None: it is of all examples."""
    examples: int
    temperatures: dict[str, float | None] | None
    """Subtask, or `all` -> its temperature; None where probabilities are not calibrated."""
    calibration_error: float
    """Expected calibration error, 0 to 1."""
    reliability: tuple[Bin, ...]
    coverage: tuple[Answered, ...]
    """Accuracy if only the likeliest share is answered."""
    risk: RiskReport | None
    atypical: Atypical | None
    """None where typicality is not known."""

    def to_json(self) -> dict[str, Any]:
        """Return the form that metrics.json holds."""
        return asdict(self)


def measure_confidence(
    predictions: pl.LazyFrame,
    selection: Selection | None,
    risk: float | None,
    prompts: Sequence[str] = (),
) -> tuple[Confidence, ...]:
    """Return how far probabilities can be trusted; nothing without any, or without labels.

    Where the same examples are under several prompts, each prompt has its own numbers.

    Parameters
    ----------
    predictions
        Columns `PREDICTION_SCHEMA`.
    selection
        That made them.
    risk
        Of the prediction sets.
    prompts
        Those that each example is under; empty if rows have their own.
    """
    known = (
        predictions.select(MEASURED)
        .filter(pl.col("probability").is_not_null(), pl.col("label").is_not_null())
        .collect()
    )
    parts = [(prompt, known.filter(subtask=prompt)) for prompt in prompts] or [(None, known)]
    tasks = selection.tasks if selection else ()
    return tuple(
        _measured(prompt, own, [t for t in tasks if prompt in (None, t.subtask)], risk)
        for prompt, own in parts
        if own.height
    )


def _measured(
    prompt: str | None, known: pl.DataFrame, tasks: Sequence[TaskSelection], risk: float | None
) -> Confidence:
    likely, correct = known["probability"].to_numpy(), known["correct"].to_numpy()
    bins = reliability(likely, correct)
    temperatures = {
        task.subtask or "all": task.calibration and task.calibration.temperature for task in tasks
    }
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
    told = known.filter(pl.col("atypical").is_not_null())
    if not told.height:
        return None
    odd = told.filter("atypical")
    right = _share(odd, odd["correct"]) if odd.height else None
    return Atypical(_share(told, told["atypical"]), right)


def _share(examples: pl.DataFrame, flags: pl.Series) -> Share:
    found = estimate_share(flags, examples["cluster"])
    return Share(found.value, *found.interval())
