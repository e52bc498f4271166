"""What a benchmark is: how to read a row, how to word its prompt, which metrics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from savs.datasets.errors import RowError
from savs.datasets.example import Example
from savs.datasets.metrics import Classes, Units
from savs.datasets.prompt import split_prompt
from savs.datasets.sources import Row, read_rows


@dataclass(frozen=True, slots=True)
class Fields:
    """What a benchmark finds in one row."""

    label: str
    prompt: str
    media: tuple[str, ...] = ()
    group: str | None = None
    subtask: str | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark; each is a constant in a file of its own."""

    name: str
    """As the command line spells it."""
    summary: str
    """One line for `savs benchmarks`."""
    columns: Mapping[str, str]
    """Column of the input file -> what it holds, for `savs benchmarks`."""
    parse_row: Callable[[Row], Fields]
    """Reads one row; raises RowError through `Row.error`."""
    measure: Callable[[pl.DataFrame, Classes], list[Units]]
    """Predictions -> the metrics, the headline first."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What was chosen where the benchmark leaves a choice; part of a store's identity."""


def read_examples(
    benchmark: Benchmark, path: Path, split: str, limit: int | None = None
) -> list[Example]:
    """Read the examples of one split.

    An example's id is the file's column `id`, else `<file stem>:<row>`.

    Parameters
    ----------
    benchmark
        How to read a row.
    path
        A JSON Lines, JSON, CSV or Parquet file.
    split
        `train` or `test`.
    limit
        Keep this many examples from the start; all by default.

    Raises
    ------
    SourceError
        The file cannot be read, or is empty.
    RowError
        A row misses a field, or two rows share an id.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}, expected at least 1")
    seen: dict[str, str] = {}
    examples = []
    for row in read_rows(path)[:limit]:
        fields = benchmark.parse_row(row)
        try:
            split_prompt(fields.prompt, len(fields.media))
        except ValueError as error:
            raise row.error(str(error), "mark each image once, or none") from error
        identifier = row.optional("id") or f"{path.stem}:{row.index}"
        if identifier in seen:
            raise RowError(
                f"{row.where}: id {identifier!r} is taken by {seen[identifier]}; ids are unique in"
                " a file: rename one, or drop the column and rows are numbered"
            )
        seen[identifier] = row.where
        extra = row.rest({"id", *benchmark.columns})
        examples.append(_example(identifier, split, row.index, fields, extra))
    return examples


def _example(
    identifier: str, split: str, index: int, fields: Fields, extra: Mapping[str, Any]
) -> Example:
    return Example(
        id=identifier,
        split=split,
        index=index,
        label=fields.label,
        prompt=fields.prompt,
        media=fields.media,
        group=fields.group,
        subtask=fields.subtask,
        category=fields.category,
        extra=extra,
    )


def check_splits(train: Sequence[Example], test: Sequence[Example]) -> None:
    """Check that the training examples can tell at least two classes apart, in each subtask.

    Raises
    ------
    RowError
        There are no training examples, a subtask has one class only or is tested without training
        examples, or only some examples name a subtask.
    """
    if not train:
        raise RowError("there are no training examples; give at least one of each class")
    for example in (*train, *test):
        if (example.subtask is None) != (train[0].subtask is None):
            raise RowError(
                f"{example.split} example {example.id!r} has"
                f" {'no' if example.subtask is None else 'a'} subtask, train example"
                f" {train[0].id!r} is otherwise; give every row a subtask, or none"
            )
    classes: dict[str | None, set[str]] = {}
    for example in train:
        classes.setdefault(example.subtask, set()).add(example.label)
    for subtask, labels in classes.items():
        if len(labels) < 2:
            where = "" if subtask is None else f" of subtask {subtask!r}"
            raise RowError(
                f"the training examples{where} have one class only, {labels.pop()!r}; a classifier"
                " needs at least two: add examples of the others"
            )
    for example in test:
        if example.subtask not in classes:
            raise RowError(
                f"test example {example.id!r} is of subtask {example.subtask!r}, which has no"
                f" training examples; the training file has {sorted(map(str, classes))}"
            )
