"""What a benchmark is: how to read a row, how to word its prompt, which metrics."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from savs.datasets.metrics.metrics import Classes, Units
from savs.datasets.row import Row


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
    check_rows: Callable[[Sequence[Row], str], None] | None = None
    """Looks at all rows of a split (`train`, `test`) before they are read, and raises."""
    read_folder: Callable[[Path], Sequence[Row]] | None = None
    """Reads rows out of a folder of media, where there are no input files; media lie below it."""
    about: About | None = None
    """Where it is from and how it is worded; a benchmark of one's own may leave it out."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What was chosen where the benchmark leaves a choice; part of a store's identity."""
