"""The part of a report about how far probabilities can be trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from savs.pipeline.reports.report.charts import LEFT, RIGHT, Chart, Point, Series, height_of
from savs.pipeline.reports.report.drawing import spread


@dataclass(frozen=True, slots=True)
class ConfidencePart:
    """Probabilities against what was right."""

    found: Mapping[str, Any]
    """One of `confidence` of metrics.json."""
    temperatures: tuple[tuple[str, str], ...]
    """Subtask, or `all`, and its temperature; empty where probabilities are not calibrated."""
    chart: Chart
    """Accuracy if only the likeliest share is answered."""


def confidence_parts(metrics: Mapping[str, Any]) -> tuple[ConfidencePart, ...]:
    """Return how far the probabilities of a result can be trusted, of each prompt if it has many.

    Nothing if it has no probabilities.
    """
    return tuple(map(_part, metrics["confidence"]))


def _part(found: Mapping[str, Any]) -> ConfidencePart:
    known = (found["temperatures"] or {}).items()
    return ConfidencePart(
        found=found,
        temperatures=tuple((name, "none" if t is None else f"{t:.3g}") for name, t in known),
        chart=_chart(found["coverage"]),
    )


def _chart(coverage: Sequence[Mapping[str, float]]) -> Chart:
    rows = sorted(coverage, key=lambda row: row["coverage"])
    places = spread(len(rows), LEFT + 20, RIGHT - 20)
    height = height_of(row["accuracy"] for row in rows)
    points = tuple(
        Point(
            x,
            height.at(row["accuracy"]),
            f"{100 * row['coverage']:.0f} % answered: {100 * row['accuracy']:.1f} % right",
        )
        for x, row in zip(places, rows, strict=True)
    )
    return Chart(
        title="Accuracy if only the likeliest examples are answered",
        x_name="share of the examples that is answered, %",
        x_ticks=tuple(
            (x, f"{100 * row['coverage']:.0f}") for x, row in zip(places, rows, strict=True)
        ),
        y_ticks=height.ticks(),
        series=(Series("", points, ""),),
        chance=None,
    )
