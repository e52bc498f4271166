"""All of a selection but what was fitted, and the JSON form of it: config.json."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from savs.pipeline.selection.calibration import CalibrationConfig
from savs.pipeline.selection.heads.head_scores import SCORINGS
from savs.pipeline.selection.readouts.readout import NAME, ReadoutFile
from savs.stores import Head, LayerGrid
from savs.stores.format.layout import Count, Facts, Sha256, Text, digest
from savs.stores.format.manifest import FeatureSource

FORMAT = 1
"""Version of config.json and classifier.safetensors. No other is read."""
GIVEN = "given by name"
LARGEST = 2**40
"""Scores and margins are smaller."""
Number = Annotated[float, Meta(gt=-LARGEST, lt=LARGEST)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskConfig:
    """The chosen heads of one subtask."""

    subtask: Text | None
    """None where the benchmark has no subtasks."""
    classes: Annotated[tuple[Text, ...], Meta(min_length=2)]
    """In order of first appearance in the train file."""
    heads: Annotated[tuple[Head, ...], Meta(min_length=1)]
    """Best first."""
    scores: tuple[Number, ...]
    """Train-side score of each chosen head. It chose the head and is no estimate of performance."""
    margins: tuple[Number, ...]
    """Train-side margin of each chosen head."""
    examples: Count
    """Number of training examples."""
    question: str | None
    """The prompt of all training examples; None where they have several."""
    media: Count | None
    """Images and videos of each of their prompts; None where that differs."""
    calibration: CalibrationConfig | None = None
    """What left-out training examples say; None where they were not looked at."""

    def __post_init__(self) -> None:
        _require_unique("classes", self.classes)
        _require_unique("heads", self.heads)
        if not len(self.heads) == len(self.scores) == len(self.margins):
            raise ValueError(f"expected {len(self.heads)} scores and margins, one for each head")
        if 0 < self.examples < len(self.classes):
            raise ValueError(f"{len(self.classes)} classes have only {self.examples} examples")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionConfig:
    """What was selected, from what and how: all of a selection but what was fitted."""

    source: FeatureSource
    """What the features are of."""
    train: Text
    """Digest of the training examples."""
    readout: Annotated[str, Meta(pattern=NAME)]
    """Name of the readout."""
    readout_file: ReadoutFile | None
    """The user's Python file that has the readout."""
    scoring: Annotated[str, Meta(pattern=rf"^({'|'.join(SCORINGS)})\Z")]
    tasks: Annotated[tuple[TaskConfig, ...], Meta(min_length=1)]
    """One for each subtask, in the order of the train file."""
    heads_from: Text | None = None
    """Digest of the training examples that chose the heads, where those were others; or `GIVEN`,
    where the user named the heads."""
    max_layer: Annotated[int, Meta(ge=0)] | None = None
    """Last layer that heads were chosen from; None for all."""

    def __post_init__(self) -> None:
        _require_unique("subtasks", [task.subtask for task in self.tasks])
        unknown = {*self.heads} - {*grid_widths(self.source.grid)}
        if unknown:
            raise ValueError(f"source.grid has no head {min(unknown)}")

    @property
    def model(self) -> Facts:
        """The model that the heads belong to."""
        return self.source.model

    @property
    def heads(self) -> list[Head]:
        """The chosen heads of all subtasks, each once."""
        return list(dict.fromkeys(head for task in self.tasks for head in task.heads))

    def lengths(self, task: TaskConfig) -> dict[str, int]:
        """Return the length of each of the axes that a task's arrays may have, see `AXES`."""
        widths = grid_widths(self.source.grid)
        return {
            "heads": len(task.heads),
            "classes": len(task.classes),
            "examples": task.examples,
            "width": max(widths[head] for head in task.heads),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the content of config.json, of which `run` is the digest.

        Raises
        ------
        ValueError
            A field is not what it must be: a score is NaN.
        """
        config = msgspec.convert(self, SelectionConfig, from_attributes=True)
        return msgspec.json.decode(msgspec.json.encode(config))


def _require_unique(what: str, values: Collection[Any]) -> None:
    if len(set(values)) != len(values):
        raise ValueError(f"{what}: expected each once, got {values}")


def grid_widths(grids: Iterable[LayerGrid]) -> dict[Head, int]:
    """Return the width of every head of a grid."""
    return {(grid.layer, head): grid.head_dim for grid in grids for head in grid.heads}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigHeader:
    """What config.json says of itself."""

    format: int
    savs: Text
    """Version that wrote it."""
    run: Sha256
    """Digest of the content."""
    sha256: Sha256
    """That of classifier.safetensors."""


def parse_config(value: Mapping[str, Any]) -> tuple[ConfigHeader, SelectionConfig]:
    """Return the header and the selection in a decoded config.json.

    Raises
    ------
    ValueError
        A field is missing, unknown or not what it must be, or the content is not that of `run`.
    """
    if value.get("format") != FORMAT:
        raise ValueError(f"format: expected {FORMAT} in this release, got {value.get('format')!r}")
    header = msgspec.convert(value, ConfigHeader)
    config = msgspec.convert(value, SelectionConfig)
    content = config.to_json()
    if digest(content) != header.run:
        raise ValueError(f"run: expected {digest(content)}, the digest of the content")
    if value != msgspec.to_builtins(header) | content:
        raise ValueError("a field is unknown or missing")
    return header, config
