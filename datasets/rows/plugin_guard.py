"""Calls of a benchmark's own functions; their failures become one-line errors.

Each raises BenchmarkFaultError if the function fails or returns values of another kind. A
DatasetError that the function raises by intent, such as `Row.error`, passes as it is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from traceback import extract_tb
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.benchmark import Benchmark, Fields
from savs.datasets.errors import BenchmarkFaultError, DatasetError
from savs.datasets.metrics.metrics import Classes, Units
from savs.datasets.row import Row
from savs.datasets.rows.file_formats import read_rows
from savs.datasets.rows.files import Files

TEXTS = ("label", "group", "subtask", "category", "id")
"""Fields that are text or None."""
COLUMNS = ("score", "cluster", "stratum")
"""Columns of the scores of a metric."""


@contextmanager
def _guard(
    benchmark: Benchmark, function: Callable[..., Any], at: str | None = None
) -> Iterator[None]:
    """Turn what a benchmark's function raises into a BenchmarkFaultError; DatasetErrors pass."""
    # A plugin's bug ends with one line that names its file, not with a traceback of savs. It may
    # raise SystemExit, too, which would end the run without a word; Ctrl-C still passes.
    try:
        yield
    except DatasetError:
        raise
    except (Exception, SystemExit) as error:
        lines = [f.lineno for f in extract_tb(error.__traceback__) if f.filename == _file(function)]
        text = " ".join(str(error).split())
        what = f"raises {type(error).__name__}" + (f": {text}" if text else "")
        raise _fault(benchmark, function, what, at, lines[-1] if lines else None) from error


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
    if benchmark.check_rows is not None:
        with _guard(benchmark, benchmark.check_rows):
            benchmark.check_rows(rows, split)
    return rows


def find_folder_notes(benchmark: Benchmark, folder: Path) -> Sequence[str]:
    """Return what a benchmark remarks about a folder that it reads."""
    if benchmark.folder_notes is None:
        return []
    with _guard(benchmark, benchmark.folder_notes, str(folder)):
        return benchmark.folder_notes(folder)


def parse_fields(benchmark: Benchmark, row: Row) -> Iterator[Fields]:
    """Yield the fields of each example that a benchmark finds in a row."""
    count = 0
    # `parse_row` is a generator: it runs, and fails, within the loop, so the guard is around all of
    # it. An error that the caller raises at `yield` does not pass through here.
    with _guard(benchmark, benchmark.parse_row, row.where):
        for fields in benchmark.parse_row(row):
            problem = _fields_problem(fields)
            if problem:
                raise _fault(benchmark, benchmark.parse_row, f"gives {problem}", row.where)
            yield fields
            count += 1
    if not count:
        raise _fault(benchmark, benchmark.parse_row, "gives no example", row.where)


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
        raise _fault(benchmark, benchmark.measure, what)
    reads = list(dict.fromkeys(wanted))
    if absent := [name for name in reads if name not in known]:
        what = f"reads {absent[0]!r}, which is no column of the predictions: {', '.join(known)}"
        raise _fault(benchmark, benchmark.measure, what)
    read = table.select(reads).collect()
    with _guard(benchmark, benchmark.measure):
        units = list(benchmark.measure(read, classes))
    if not units:
        raise _fault(benchmark, benchmark.measure, "gives no metric")
    for metric in units:
        problem = _metric_problem(metric)
        if problem:
            raise _fault(benchmark, benchmark.measure, f"gives {problem}")
    return units


def _metric_problem(metric: Any) -> str | None:
    if not isinstance(metric, Units):
        return f"a {type(metric).__name__}, expected savs.datasets.Units"
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
        raise _fault(
            benchmark, benchmark.captions, f"gives {texts_by_label}, expected labels and texts"
        )
    return texts_by_label


def make_submission(benchmark: Benchmark, predictions: pl.LazyFrame) -> Mapping[str, Any] | None:
    """Return the JSON object for the benchmark's official evaluation, if it has one."""
    if benchmark.submission is None:
        return None
    table = predictions.collect()
    with _guard(benchmark, benchmark.submission):
        return benchmark.submission(table)


def _fault(
    benchmark: Benchmark,
    function: Callable[..., Any],
    what: str,
    at: str | None = None,
    line: int | None = None,
) -> BenchmarkFaultError:
    """Return the error that says what a benchmark's function does wrong, and at which row."""
    name = getattr(_plain(function), "__name__", type(function).__name__)
    where = _file(function) + (f" line {line}" if line else "")
    row = f" at {at}" if at else ""
    return BenchmarkFaultError(
        f"{where}: {name} of the benchmark {benchmark.name!r} {what}{row}; fix the benchmark"
        + (", or the row (Row.text and Row.error report bad rows by file and line)" if at else "")
    )


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return _plain(function.func) if isinstance(function, partial) else function


def _file(function: Callable[..., Any]) -> str:
    code = getattr(_plain(function), "__code__", None)
    return getattr(code, "co_filename", repr(function))
