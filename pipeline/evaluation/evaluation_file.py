"""An evaluation on disk: metrics, predictions, units, and the selection that made them."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from savs.datasets import Units
from savs.datasets.label_kinds import MANY, NUMBERS, ONE
from savs.datasets.splits.leaks import REPEATED, SHARED
from savs.foundation.errors import ParameterError
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.confidence import Confidence
from savs.pipeline.evaluation.per_class import (
    ClassRow,
    ConfusionRow,
    LabelRow,
    PairRow,
    PartRow,
)
from savs.pipeline.evaluation.predictions import LABEL_SCHEMA, PREDICTION_SCHEMA
from savs.pipeline.evaluation.statistics.intervals import Metric, unit_rows
from savs.pipeline.running.result_files import (
    CLASSIFIER,
    CONFIG,
    EVALUATE,
    METRICS,
    PREDICTIONS,
    SUBMISSION,
    UNITS,
    file_sha256,
    read_json,
    read_table,
    reading,
    write_json,
    write_table,
)
from savs.pipeline.selection.selection_config import read_config
from savs.pipeline.selection.selection_file import write_selection
from savs.stores.errors import ResultError
from savs.stores.format.layout import Count, Facts, digest

FILES = (UNITS, PREDICTIONS, CLASSIFIER, CONFIG, SUBMISSION)
"""The files of an evaluation next to metrics.json."""
UNIT_SCHEMA = pl.Schema(
    {
        "metric": pl.String,
        "unit": pl.UInt32,
        "score": pl.Float64,
        "cluster": pl.String,
        "stratum": pl.String,
    }
)
"""Columns of units.parquet; `unit` counts from 0 in each metric, in the order of the examples."""


@dataclass(frozen=True, slots=True)
class _Cost:
    forwards: Count | None = None
    seconds: float | None = None
    bytes: Count | None = None


@dataclass(frozen=True, slots=True)
class _Content:
    """What `Evaluation.to_json` gives: the form that anyone's metrics.json must have."""

    savs: str
    benchmark: str
    model: Facts
    readout: str
    scoring: str | None
    heads: Count
    planned: Count
    scored: Count
    skipped: Count
    left_out: Count
    leaks: dict[str, tuple[str, ...]]
    train_shares: tuple[float, float] | None
    metrics: tuple[Metric, ...]
    cost: _Cost
    confidence: tuple[Confidence, ...]
    per_class: tuple[ClassRow, ...]
    confusions: tuple[ConfusionRow, ...]
    parts: tuple[PartRow, ...]
    notes: tuple[str, ...]
    per_label: tuple[LabelRow, ...] = ()
    pairs: tuple[PairRow, ...] = ()

    def __post_init__(self) -> None:
        """Check what a type does not say."""
        if self.leaks.keys() != {REPEATED, SHARED}:
            raise ValueError(f"leaks: expected {REPEATED!r} and {SHARED!r}")
        if not isinstance(name := self.model.get("name"), str | None):
            raise ValueError(f"model.name: expected text, got {name!r}")
        of_shares = [metric for metric in self.metrics if metric.scale == "share"]
        shares = [number for metric in of_shares for number in (metric.value, metric.chance)]
        for part in self.confidence:
            for bin_ in part.reliability:
                shares += [bin_.low, bin_.high, bin_.probability, bin_.accuracy]
            for answered in part.coverage:
                shares += [answered.coverage, answered.accuracy, answered.threshold]
        if wrong := next((share for share in shares if not 0 <= share <= 1), None):
            raise ValueError(f"expected shares of 0 to 1, got {wrong}")


def save_evaluation(evaluation: Evaluation, folder: str | Path) -> tuple[Path, Path]:
    """Write metrics.json and the two tables, and the selection and submission.json, if any.

    predictions.parquet has a row an example, units.parquet a row a metric and unit. metrics.json
    and the tables hold `run`, the digest of the metrics. metrics.json is written last and has the
    SHA-256 of the other files, so that files of two evaluations are not read as one.

    Parameters
    ----------
    evaluation
        What `evaluate` returned.
    folder
        Where the files go; it is made if it is not there.

    Returns
    -------
    tuple
        Paths of the metrics and of the predictions.

    Raises
    ------
    StoreWriteError
        The folder cannot be written.
    """
    if not isinstance(evaluation, Evaluation):
        raise ParameterError(
            f"`evaluation` is {evaluation!r:.100}, expected what evaluate() returns"
        )
    folder = Path(folder)
    content = {"savs": version("savs")} | evaluation.to_json()
    mark = {"run": digest(content)}
    sums = {
        UNITS: write_table(folder / UNITS, unit_table(evaluation.units), mark),
        PREDICTIONS: write_table(folder / PREDICTIONS, evaluation.table, mark),
    }
    if evaluation.selection is not None:
        sums |= write_selection(evaluation.selection, folder)
    if evaluation.submission is not None:
        sums[SUBMISSION] = write_json(folder / SUBMISSION, evaluation.submission)
    else:
        (folder / SUBMISSION).unlink(missing_ok=True)  # that of an earlier evaluation
    write_json(folder / METRICS, mark | {"files": sums} | content)
    return folder / METRICS, folder / PREDICTIONS


def replace_evaluation(evaluation: Evaluation | None, folder: Path) -> None:
    """Write an evaluation in place of an earlier one; None removes that, except its selection.

    Errors as `save_evaluation`.
    """
    if evaluation is not None:
        save_evaluation(evaluation, folder)
        return
    for name in (METRICS, SUBMISSION, PREDICTIONS, UNITS):  # without metrics nothing is read
        (folder / name).unlink(missing_ok=True)


def load_metrics(folder: Path) -> dict[str, Any]:
    """Return the content of metrics.json, of a folder whose files are all of one evaluation.

    Raises
    ------
    ResultError
        A file is not there or was changed, or the files belong to different evaluations.
    """
    path = folder / METRICS
    value = read_json(path)
    run, sums = value.pop("run", None), value.pop("files", None)
    with reading(path, EVALUATE):
        if not isinstance(sums, dict) or not {UNITS, PREDICTIONS} <= {*sums} <= {*FILES}:
            raise ValueError(f"files: expected the SHA-256 of {UNITS} and {PREDICTIONS}")
        if run != digest(value):
            raise ValueError(f"run: expected {digest(value)}, the digest of the metrics")
        msgspec.convert(value, _Content)
    if is_selected_again(folder):
        raise ResultError(
            f"{folder} was selected again since it was evaluated: its metrics belong to an earlier"
            f" selection; run `{EVALUATE}` again"
        )
    for name, expected in sums.items():
        with reading(folder / name, EVALUATE):
            if file_sha256(folder / name) != expected:
                raise ValueError(
                    f"its SHA-256 is not the one in {METRICS}: it was changed, or the two"
                    " belong to different evaluations"
                )
    return value


def is_selected_again(folder: Path) -> bool:
    """Return whether a whole selection is there that is not the one that was evaluated."""
    try:
        header, _ = read_config(folder / CONFIG)
        sha256 = {name: file_sha256(folder / name) for name in (CONFIG, CLASSIFIER)}
        evaluated = read_json(folder / METRICS).get("files")
    except (ResultError, OSError, ValueError):
        return False
    is_whole = header.sha256 == sha256[CLASSIFIER]
    sums = evaluated if isinstance(evaluated, dict) else {}
    return is_whole and CONFIG in sums and sums[CONFIG] != sha256[CONFIG]


def load_predictions(folder: Path) -> pl.DataFrame:
    """Return predictions.parquet; `load_metrics` checks its digest.

    Columns `PREDICTION_SCHEMA`, or `LABEL_SCHEMA` of many labels.

    Raises
    ------
    ResultError
        The file is not there, or not as `save_evaluation` wrote it.
    """
    config = folder / CONFIG
    kind = read_config(config)[1].labels if config.is_file() else ONE
    if kind in NUMBERS:
        raise ResultError(
            f"{folder} has the result of numbers, for which this does not work; read {PREDICTIONS}"
            " itself"
        )
    schema = pl.Schema(LABEL_SCHEMA if kind == MANY else PREDICTION_SCHEMA)
    return read_table(folder / PREDICTIONS, schema, filled=["id", "split", "correct", "cluster"])


def unit_table(units: Sequence[Units]) -> pl.DataFrame:
    """Return the scores of all metrics, one row a metric and unit; columns `UNIT_SCHEMA`."""
    names = pl.Series("metric", [metric.name for metric in units], dtype=pl.String)
    sizes = [metric.scores.height for metric in units]
    numbers = [np.arange(size, dtype=np.uint32) for size in sizes]
    if not units:
        return pl.DataFrame(schema=UNIT_SCHEMA)
    scores = unit_rows([metric.scores for metric in units]).with_columns(
        metric=names[np.repeat(np.arange(len(sizes)), sizes)],
        unit=pl.Series(np.concatenate(numbers), dtype=pl.UInt32),
    )
    return scores.select(list(UNIT_SCHEMA)).cast(UNIT_SCHEMA)
