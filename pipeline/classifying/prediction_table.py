"""Predictions of new images as a file: made of their store, written whole.

That is a table as CSV, JSON or Parquet, or what an `OutputForm` of another room makes of it. In CSV
a cell is text: media, votes and sets are JSON there.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import polars as pl

from savs.datasets import MediaFolder
from savs.foundation.errors import ParameterError
from savs.foundation.files import real_path
from savs.foundation.imports import door
from savs.pipeline.errors import OutputError
from savs.pipeline.evaluation.assessment import packed_predictions
from savs.pipeline.evaluation.evaluation import SelectedHeads
from savs.pipeline.names import DEFAULT_PREDICTIONS, PAGE_SUFFIXES
from savs.pipeline.running.output_files import media_cell, new_file
from savs.pipeline.selection.selection import Selection
from savs.pipeline.targets import Target
from savs.stores import FeatureStore
from savs.stores.format.layout import Facts

CSV = ".csv"
PARQUET = ".parquet"
SUFFIXES = (CSV, ".jsonl", ".ndjson", PARQUET)


def predictions_of(store: FeatureStore, selection: Selection, risk: float | None) -> pl.LazyFrame:
    """Return the predictions of all examples of a store of new images, in the order of its plan.

    Columns `Target.new_schema`.
    """
    predictor = SelectedHeads(store, selection, risk=risk, is_compared=True)
    return selection.target.of_new(packed_predictions(store, predictor), selection)


@dataclass(frozen=True, slots=True)
class Predicted:
    """Predictions of new images, and where their media are."""

    table: pl.LazyFrame
    """Columns `Target.new_schema`, in the order of the plan."""
    selection: Selection
    store: FeatureStore
    """Their store, which has the digests of the media that the model read."""
    folders: Mapping[str, MediaFolder] = field(default_factory=dict)
    """Id of each image that this run was given -> the folder of its media."""


class OutputForm(Protocol):
    """The form of the output file of `classify`, if it is not a table: a page."""

    @property
    def settings(self) -> Facts:
        """What the file depends on besides the predictions: another value writes it again."""
        ...

    def require_name(self, path: Path) -> None:
        """Raise a SavsError unless the file can be written under this name."""
        ...

    def write(self, predicted: Predicted, out: Path, file: Path) -> None:
        """Write the content of `out` into another file, which gets its name afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class TableForm:
    """A table; the suffix of its name says which kind."""

    @property
    def settings(self) -> Facts:
        """Nothing but the predictions."""
        return {}

    def require_name(self, path: Path) -> None:
        """Raise OutputError unless predictions can be written as a table under this name."""
        if path.suffix.lower() not in SUFFIXES or (path.exists() and not path.is_file()):
            raise OutputError(
                f"{path}: expected a name that ends in {', '.join(SUFFIXES)}, or in"
                f" {' or '.join(PAGE_SUFFIXES)} for a page, as `out`, and no folder, pipe or device"
            )

    def write(self, predicted: Predicted, out: Path, file: Path) -> None:
        """Write the table into a file."""
        with file.open("wb") as sink:
            if out.suffix.lower() == CSV:
                in_cells(predicted.table, predicted.selection.target).sink_csv(sink)
            elif out.suffix.lower() == PARQUET:
                predicted.table.sink_parquet(sink)
            else:
                predicted.table.sink_ndjson(sink)


@dataclass(frozen=True, slots=True)
class Output:
    """A file that `classify` writes."""

    path: Path
    form: OutputForm


def outputs_of(paths: Sequence[Path], predictions: int | None) -> list[Output]:
    """Return output files with the forms that their suffixes say.

    `predictions` is the number on a page. ParameterError if a file is given twice, or there is no
    page for the number; a SavsError if a file cannot be written under its name.
    """
    twice = [path for path, count in Counter(map(real_path, paths)).items() if count > 1]
    if twice:
        raise ParameterError(f"`out` names {twice[0]} twice; pass each file once")
    pages = [path for path in paths if path.suffix.lower() in PAGE_SUFFIXES]
    if predictions is not None and not pages:
        raise ParameterError("`n` is about a page; pass `out` FILE.html, or omit it")
    number = DEFAULT_PREDICTIONS if predictions is None else predictions
    page: OutputForm = door("page")(number) if pages else TableForm()
    outputs = [Output(path, page if path in pages else TableForm()) for path in paths]
    for output in outputs:
        output.form.require_name(output.path)
    return outputs


def write_predictions(
    output: Output, predicted: Predicted, before_naming: Callable[[Path], None]
) -> None:
    """Write predictions whole; `before_naming` is given the file before it gets its name.

    OutputError if the disk refuses; a file that was there stays as it was.
    """
    with new_file(output.path) as file:
        output.form.write(predicted, output.path, file)
        before_naming(file)


def in_cells(table: pl.LazyFrame, target: Target) -> pl.LazyFrame:
    """Return predictions as CSV has them: one medium is its name, other lists are JSON."""
    cells = [
        _cells(name, lambda value, cell=cell: msgspec.json.encode(cell(value)).decode())
        for name, cell in target.new_cells.items()
    ]
    return table.with_columns(_cells("media", media_cell), *cells)


def _cells(column: str, cell: Callable[[Any], str]) -> pl.Expr:
    """Return a column of lists as text, null if there is no list."""

    def convert(lists: pl.Series) -> pl.Series:
        cells = [None if value is None else cell(value) for value in lists.to_list()]
        return pl.Series(lists.name, cells, dtype=pl.String)

    return pl.col(column).map_batches(convert, return_dtype=pl.String, is_elementwise=True)
