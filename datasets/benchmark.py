"""What a benchmark is: how to read a row, how to word its prompt, which metrics."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from savs.datasets.errors import RowError
from savs.datasets.example import Example
from savs.datasets.metrics import Classes, Units
from savs.datasets.prompt import split_prompt
from savs.datasets.rows import Row
from savs.datasets.sources import read_rows


@dataclass(frozen=True, slots=True)
class Fields:
    """What a benchmark finds in one row."""

    label: str | None
    """None where the benchmark hides the answers of its test split."""
    prompt: str
    media: tuple[str, ...] = ()
    group: str | None = None
    subtask: str | None = None
    category: str | None = None
    id: str | None = None
    """Unique in its file; `<file stem>:<row>` by default."""


@dataclass(frozen=True, slots=True)
class About:
    """What `savs benchmarks` says of a benchmark."""

    task: str
    """What is asked, in a few words."""
    metrics: tuple[str, ...]
    """Names of the metrics, the headline first."""
    sizes: str
    """Examples or groups of each split."""
    source: str
    """Paper and repository."""
    licence: str
    """Of the data, as its authors state it; `not stated` where they do not."""
    files: str
    """How to get the files."""
    sample: Mapping[str, Any]
    """One row, as the file has it: its prompt is shown, and a test reads it."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark; each is a constant in a file of its own."""

    name: str
    """As the command line spells it."""
    summary: str
    """One line for `savs benchmarks`."""
    columns: Mapping[str, str]
    """Column of the input file -> what it holds, for `savs benchmarks`."""
    parse_row: Callable[[Row], Iterable[Fields]]
    """Reads the examples in one row, mostly one; raises RowError through `Row.error`."""
    measure: Callable[[pl.DataFrame, Classes], list[Units]]
    """Predictions -> the metrics, the headline first."""
    aliases: tuple[str, ...] = ()
    """Other names that the command line takes, those of the public reference."""
    grouped_train: bool = True
    """Whether groups mean anything in a train file."""
    submission: Callable[[pl.DataFrame], Mapping[str, Any]] | None = None
    """Predictions -> the JSON file that the benchmark's official evaluation takes."""
    about: About | None = None
    """Where it is from and how it is worded; a benchmark of one's own may leave it out."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What was chosen where the benchmark leaves a choice; part of a store's identity."""


def read_examples(
    benchmark: Benchmark, source: str | Path, split: str, limit: int | None = None
) -> list[Example]:
    """Read the examples of one split.

    An example's id is what the benchmark takes for one, else `<file stem>:<row>`.

    Parameters
    ----------
    benchmark
        How to read a row.
    source
        A JSON Lines, JSON, CSV or Parquet file, or what else `find_files` knows.
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
    examples: list[Example] = []
    for row in read_rows(source):
        for fields in benchmark.parse_row(row):
            if len(examples) == limit:
                return examples
            example = _example(benchmark, row, fields, split, len(examples))
            if example.id in seen:
                raise RowError(
                    f"{row.where}: id {example.id!r} is taken by {seen[example.id]}; ids are unique"
                    " in a file: rename one, or drop the column and rows are numbered"
                )
            seen[example.id] = row.where
            examples.append(example)
    return examples


def _example(benchmark: Benchmark, row: Row, fields: Fields, split: str, index: int) -> Example:
    try:
        split_prompt(fields.prompt, len(fields.media))
    except ValueError as error:
        raise row.error(str(error), "mark each image once, or none") from error
    return Example(
        id=fields.id or row.id,
        split=split,
        index=index,
        label=fields.label,
        prompt=fields.prompt,
        media=fields.media,
        group=fields.group if split != "train" or benchmark.grouped_train else None,
        subtask=fields.subtask,
        category=fields.category,
        extra=row.rest(benchmark.columns),
    )
