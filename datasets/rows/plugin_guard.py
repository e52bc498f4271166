"""Calls of a benchmark's own functions; their failures become one-line errors.

Each raises BenchmarkFaultError if the function fails or returns values of another kind. A
DatasetError that the function raises by intent, such as `Row.error`, passes as it is.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.benchmark import Benchmark, Fields
from savs.datasets.errors import BenchmarkFaultError, DatasetError
from savs.datasets.example import Example
from savs.datasets.metrics.metrics import Classes, Units
from savs.datasets.parts import Window
from savs.datasets.row import Row
from savs.datasets.rows.file_formats import read_rows
from savs.datasets.rows.files import Files
from savs.foundation.plugin_calls import calling, place_of

TEXTS = ("label", "group", "subtask", "category", "id")
"""Fields that are text or None."""
COLUMNS = ("score", "cluster", "stratum")
"""Columns of the scores of a metric."""


def _guard(
    benchmark: Benchmark, function: Callable[..., Any], at: str | None = None
) -> AbstractContextManager[None]:
    """Turn what a benchmark's function raises into a BenchmarkFaultError; DatasetErrors pass."""
    return calling(function, partial(_fault, benchmark, at), DatasetError)


def read_split_rows(benchmark: Benchmark, source: str | Path | Files, split: str) -> Sequence[Row]:
    """Read the rows of a split, from a folder if the benchmark reads folders, and check them."""
    unlabelled = split == "unlabelled" and benchmark.read_unlabelled is not None
    read_folder = benchmark.read_unlabelled if unlabelled else benchmark.read_folder
    if read_folder is None:
        table = benchmark.read_table
        with nullcontext() if table is None else _guard(benchmark, table):
            rows: Sequence[Row] = read_rows(source, table)
    else:
        folder = source.root if isinstance(source, Files) else Path(source)
        with _guard(benchmark, read_folder, str(folder)):
            rows = read_folder(folder)
        if not isinstance(rows, Sequence) or not all(isinstance(row, Row) for row in rows):
            what = f"gives {_kind(rows)}, expected a list of Row"
            raise _wrong(benchmark, read_folder, what, str(folder))
    check_rows(benchmark, rows, split)
    return rows


def label_window(benchmark: Benchmark, example: Example, window: Window) -> str | None:
    """Return the label of a window of an example."""
    with _guard(benchmark, benchmark.label_window, example.id):
        return benchmark.label_window(example, window)


def check_rows(benchmark: Benchmark, rows: Sequence[Row], split: str) -> None:
    """Let a benchmark check the rows of a split, if it does."""
    if benchmark.check_rows is not None:
        with _guard(benchmark, benchmark.check_rows):
            benchmark.check_rows(rows, split)


def find_folder_notes(benchmark: Benchmark, folder: Path) -> Sequence[str]:
    """Return what a benchmark remarks about a folder that it reads."""
    if benchmark.folder_notes is None:
        return []
    with _guard(benchmark, benchmark.folder_notes, str(folder)):
        notes = benchmark.folder_notes(folder)
    if isinstance(notes, str) or not isinstance(notes, Sequence):
        what = f"gives {_kind(notes)}, expected a list of lines"
        raise _wrong(benchmark, benchmark.folder_notes, what, str(folder))
    return notes


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"


def parse_fields(benchmark: Benchmark, row: Row) -> Iterator[Fields]:
    """Yield the fields of each example that a benchmark finds in a row."""
    count = 0
    # `parse_row` is a generator: it runs, and fails, within the loop, so the guard is around all of
    # it. An error that the caller raises at `yield` does not pass through here.
    with _guard(benchmark, benchmark.parse_row, row.where):
        for fields in benchmark.parse_row(row):
            problem = _fields_problem(fields)
            if problem:
                raise _wrong(benchmark, benchmark.parse_row, f"gives {problem}", row.where)
            yield fields
            count += 1
    if not count:
        raise _wrong(benchmark, benchmark.parse_row, "gives no example", row.where)


def _fields_problem(fields: Any) -> str | None:
    """Return what is wrong with a value that `parse_row` gave, if anything."""
    if not isinstance(fields, Fields):
        return f"a {type(fields).__name__}, expected `yield Fields(...)`"
    if not isinstance(fields.prompt, str):
        return f"the prompt {fields.prompt!r}, expected text"
    if not isinstance(fields.media, tuple) or not all(isinstance(n, str) for n in fields.media):
        return f"the media {fields.media!r}, expected a tuple of names: (name,)"
    for name in TEXTS:
        value = getattr(fields, name)
        if value is not None and (not isinstance(value, str) or not value):
            return f"the {name} {value!r}, expected text or None"
    for text in (fields.prompt, *fields.media, *(getattr(fields, name) or "" for name in TEXTS)):
        if any("\ud800" <= character <= "\udfff" for character in text):
            return f"the text {text!r}, which holds a lone surrogate"
    return None


def compute_metrics(
    benchmark: Benchmark, predictions: pl.DataFrame | pl.LazyFrame, classes: Classes
) -> list[Units]:
    """Return a benchmark's metrics of predictions, the headline first.

    `measure` gets the columns of the predictions that the benchmark `reads`.
    """
    table = predictions.lazy()
    known = table.collect_schema().names()
    wanted: Any = known if benchmark.reads is None else benchmark.reads
    if isinstance(wanted, str) or not isinstance(wanted, Sequence):
        what = f'reads {wanted!r}, expected a tuple of columns: ("label", "correct")'
        raise _wrong(benchmark, benchmark.measure, what)
    reads = list(dict.fromkeys(wanted))
    if absent := [name for name in reads if name not in known]:
        what = f"reads {absent[0]!r}, which is no column of the predictions: {', '.join(known)}"
        raise _wrong(benchmark, benchmark.measure, what)
    read = table.select(reads).collect()
    with _guard(benchmark, benchmark.measure):
        units = list(benchmark.measure(read, classes))
    if not units:
        raise _wrong(benchmark, benchmark.measure, "gives no metric")
    for metric in units:
        problem = _metric_problem(metric)
        if problem:
            raise _wrong(benchmark, benchmark.measure, f"gives {problem}")
    return units


def _metric_problem(metric: Any) -> str | None:
    if not isinstance(metric, Units):
        return f"{_kind(metric)}, expected savs.datasets.Units"
    if not isinstance(metric.name, str) or not metric.name:
        return f"a metric called {metric.name!r}, expected text"
    for name in ("chance", "majority"):
        value = getattr(metric, name)
        is_number = isinstance(value, Real) and math.isfinite(value)
        if not is_number and not (name == "majority" and value is None):
            return f"the metric {metric.name!r} with the {name} {value!r}, expected a number"
    if not isinstance(metric.scores, pl.DataFrame) or not set(COLUMNS) <= {*metric.scores.columns}:
        return f"the metric {metric.name!r} without the columns {', '.join(COLUMNS)} in scores"
    score = metric.scores["score"]
    if not score.dtype.is_numeric() and score.dtype != pl.Boolean:
        return f"the metric {metric.name!r} with scores of {score.dtype}, expected numbers"
    if not score.len() or score.null_count() or not np.isfinite(score.to_numpy()).all():
        return f"the metric {metric.name!r} with a score that is not a number, or without scores"
    return None


def read_captions(benchmark: Benchmark, prompt: str) -> Mapping[str, str]:
    """Return what `Benchmark.captions` says of a prompt; nothing if the benchmark has none."""
    if benchmark.captions is None:
        return {}
    with _guard(benchmark, benchmark.captions):
        texts_by_label = dict(benchmark.captions(prompt))
    if not all(isinstance(text, str) and text for pair in texts_by_label.items() for text in pair):
        raise _wrong(
            benchmark, benchmark.captions, f"gives {texts_by_label}, expected labels and texts"
        )
    return texts_by_label


def make_submission(benchmark: Benchmark, predictions: pl.LazyFrame) -> Mapping[str, Any] | None:
    """Return the JSON object for the benchmark's official evaluation, if it has one."""
    if benchmark.submission is None:
        return None
    table = predictions.collect()
    with _guard(benchmark, benchmark.submission):
        submission = benchmark.submission(table)
        if isinstance(submission, Mapping):
            json.dumps(submission)
            return submission
    what = f"gives {_kind(submission)}, expected a dictionary"
    raise _wrong(benchmark, benchmark.submission, what)


def _wrong(
    benchmark: Benchmark, function: Callable[..., Any], what: str, at: str | None = None
) -> BenchmarkFaultError:
    """Return the error that says what a benchmark's function gives."""
    return _fault(benchmark, at, place_of(function), what)


def _fault(benchmark: Benchmark, at: str | None, place: str, what: str) -> BenchmarkFaultError:
    row = f" at {at}" if at else ""
    return BenchmarkFaultError(
        f"{place} of the benchmark {benchmark.name!r} {what}{row}; fix the benchmark"
        + (", or the row (Row.text and Row.error report bad rows by file and line)" if at else "")
    )
