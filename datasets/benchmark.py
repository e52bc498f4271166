"""A benchmark: how to read a row into prompts and labels, and which metrics to compute."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from savs.datasets.example import Example
from savs.datasets.metrics.metrics import Classes, Units
from savs.datasets.parts import Window
from savs.datasets.row import Row
from savs.datasets.windows import label_of_row


@dataclass(frozen=True, slots=True)
class Fields:
    """One example that a benchmark finds in a row."""

    label: str | None
    """None if the benchmark hides the answers of its test split."""
    prompt: str
    """The text, as the model gets it; `<image>` marks the position of an image, `<audio>` that of a
    sound, which must be marked."""
    media: tuple[str, ...] = ()
    """Names of images, videos and sounds, in the order of their marks."""
    group: str | None = None
    """Examples of the same group are scored together, and are one cluster."""
    subtask: str | None = None
    """Heads are selected for each subtask separately; all examples have one, or none has."""
    category: str | None = None
    """Kept with the predictions, for metrics."""
    id: str | None = None
    """Unique in its file; `<file stem>:<row>` by default."""


@dataclass(frozen=True, slots=True)
class About:
    """Facts that `savs benchmarks` shows."""

    task: str
    """The task, in a few words."""
    metrics: tuple[str, ...]
    """Names of the metrics, the headline first."""
    sizes: str
    """Examples or groups of each split."""
    source: str
    """Paper and repository."""
    licence: str
    """Licence of the data by its authors, or `not stated`."""
    files: str
    """How to get the files."""
    sample: Mapping[str, Any]
    """A row of the file; its prompt is shown, and a test reads it."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark; each is a constant in its own file."""

    name: str
    """Name on the command line."""
    summary: str
    """One line for `savs benchmarks`."""
    columns: Mapping[str, str]
    """Column of the input file -> description, for `savs benchmarks`."""
    parse_row: Callable[[Row], Iterable[Fields]]
    """Yields the examples of a row, usually one; raises `Row.error` for a bad row."""
    measure: Callable[[pl.DataFrame, Classes], list[Units]]
    """Predictions and classes -> the metrics, the headline first."""
    aliases: tuple[str, ...] = ()
    """Other names on the command line, as in the public reference."""
    grouped_train: bool = True
    """Whether groups are read from a training file."""
    submission: Callable[[pl.DataFrame], Mapping[str, Any]] | None = None
    """Predictions -> the JSON object for the benchmark's official evaluation."""
    check_rows: Callable[[Sequence[Row], str], None] | None = None
    """Checks all rows of a split (`train`, `test`, `unlabelled`) before they are parsed; raises."""
    read_table: Callable[[Path, str], Iterator[tuple[str, dict[str, Any]]]] | None = None
    """Reads the text of a `.csv` or `.txt` file, for files without a line of column names; see
    `read_headless`."""
    read_folder: Callable[[Path], Sequence[Row]] | None = None
    """Reads rows from a folder of media, for benchmarks without input files."""
    read_unlabelled: Callable[[Path], Sequence[Row]] | None = None
    """Reads the media of such a folder that have no class yet."""
    captions: Callable[[str], Mapping[str, str]] | None = None
    """A prompt -> label -> the text that is compared with the image, for dual encoders. A single
    label is true where image and text agree. Empty for prompts about classes."""
    templates: tuple[str, ...] = ()
    """How dual encoders word a class, with `{class}`; by default `a photo of a {class}.`"""
    folder_notes: Callable[[Path], Sequence[str]] | None = None
    """What a user should know of such a folder, in lines, for example which files are left out."""
    about: About | None = None
    """Facts and a sample row; optional for user benchmarks."""
    prompts: tuple[str, ...] = ()
    """Prompts that each example gets in turn, see `under_each_prompt`; empty if an example
    has the one of its row."""
    label_window: Callable[[Example, Window], str | None] = label_of_row
    """The label of a window of an example's video; by default that of the example."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The user's choices, such as a question; part of a store's identity."""
    reads: Sequence[str] | None = None
    """Columns of the predictions that `measure` gets; None: all of them. With many examples, votes
    take most of the memory. Who replaces `measure` replaces this, too."""
