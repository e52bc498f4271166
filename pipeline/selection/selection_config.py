"""A selection without its fitted arrays: its JSON form, config.json.

Whether it may be used on other features, examples or prompts is asked in `compatibility`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from savs.foundation.errors import ParameterError
from savs.foundation.files import finish_files
from savs.foundation.installed import Package
from savs.pipeline.running.result_files import CONFIG, SELECT, read_json
from savs.pipeline.running.user_files import NAME, OwnFile
from savs.pipeline.selection.training_data import answered_share, reads_answers
from savs.pipeline.targets import Target, parse_decision, target_named
from savs.pipeline.targets.catalogue import ONE
from savs.pipeline.targets.stored_answers import LABELS, with_answers
from savs.pipeline.targets.tasks import TaskConfig, require_unique
from savs.stores import ANSWERS_HEAD, FeatureStore, Head, ResultError
from savs.stores.format.layout import (
    Facts,
    Sha256,
    Text,
    digest,
    grid_widths,
    holder,
    is_held,
    is_neuron,
)
from savs.stores.format.manifest import FeatureSource

FORMAT = 1
"""Version of config.json and classifier.safetensors. No other is read."""
GIVEN = "given by name"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionConfig:
    """What was selected, from what and how: all of a selection but what was fitted."""

    source: FeatureSource
    """Model, processor and prompt form of the features."""
    train: Text
    """Digest of the training examples."""
    readout: Annotated[str, Meta(pattern=NAME)]
    readout_file: OwnFile | None
    """The user's Python file that has the readout."""
    scoring: Annotated[str, Meta(pattern=NAME)]
    tasks: Annotated[tuple[TaskConfig, ...], Meta(min_length=1)]
    """One for each subtask, in the order of the train file."""
    scoring_file: OwnFile | None = None
    """The user's Python file that has the scoring."""
    heads_from: Text | None = None
    """Digest of the training examples that chose the heads, where those were others; or `GIVEN`,
    where the user named the heads."""
    max_layer: Annotated[int, Meta(ge=0)] | None = None
    """Last layer that heads were chosen from; None for all."""
    labels: Annotated[str, Meta(pattern=NAME)] = ONE
    """Name of their target."""
    joint_heads: bool = False
    """Whether all labels have the same heads."""
    precision: float | None = None
    """What thresholds of labels were chosen for; None for F1."""
    readout_package: Package | None = None
    """The installed package that has the readout."""
    scoring_package: Package | None = None
    target_package: Package | None = None
    heads_each: Annotated[int, Meta(ge=1)] | None = None
    """Number of heads that each part of the readout chose; None if one set serves all parts."""

    def __post_init__(self) -> None:
        require_unique("subtasks", [task.subtask for task in self.tasks])
        for task in self.tasks:
            self.target.check(task)
        widths = self.widths()
        if unknown := [head for head in self.heads if head not in widths]:
            raise ValueError(f"source.grid has no head {min(unknown)}")

    @property
    def target(self) -> Target:
        """What labels are."""
        return target_named(self.labels, self.target_package)

    @property
    def model(self) -> Facts:
        """The model that the heads belong to."""
        return self.source.model

    @property
    def pseudo_labels(self) -> float | None:
        """The least probability of the model's own answers, if those were the training labels."""
        return answered_share(self.train)

    @property
    def run_tasks(self) -> tuple[TaskConfig, ...]:
        """The tasks that an example is run on: its own subtask, or one for all labels."""
        if self.target.tasks_share_rows:
            return (replace(self.tasks[0], subtask=None),)
        return self.tasks

    @property
    def examples(self) -> int:
        """The training examples of all subtasks; of many labels, those that a label has at most."""
        counts = [task.examples for task in self.tasks]
        return max(counts) if self.target.tasks_share_rows else sum(counts)

    @property
    def heads(self) -> list[Head]:
        """The chosen heads of all subtasks, each once."""
        return list(dict.fromkeys(head for task in self.tasks for head in task.heads))

    @property
    def answers(self) -> str | None:
        """Which of the model's own answers new examples need, as `extract` has it; None for none.

        See `Target.answer_kind`.
        """
        return LABELS if reads_answers(self.tasks) else self.target.answer_kind(self.tasks)

    @property
    def answer_labels(self) -> list[tuple[str | None, str]]:
        """The texts that these are about, with their subtasks."""
        if reads_answers(self.tasks):
            return [(task.subtask, text) for task in self.tasks for text in task.written]
        return self.target.answer_labels(self.tasks)

    def seen(self, store: FeatureStore) -> FeatureStore:
        """Return a store with the labels, and the model's own answers, that this is about."""
        store = self.target.of_store(store, self.tasks)
        if not reads_answers(self.tasks):
            return store
        return with_answers(store, {task.subtask: task.written for task in self.tasks})

    def widths(self, *tasks: TaskConfig) -> dict[Head, int]:
        """Return the width of each head, and of each neuron of some tasks, by default of all."""
        most = max(len(task.classes) for task in self.tasks)
        widths = grid_widths(self.source.grid)
        chosen = [head for task in tasks or self.tasks for head in task.heads]
        neurons = [head for head in chosen if is_neuron(head) and is_held(head, widths)]
        return {**widths, **dict.fromkeys(neurons, 1), ANSWERS_HEAD: most}

    @property
    def model_heads(self) -> tuple[Head, ...]:
        """The heads of the model that it reads: the chosen ones, and those of chosen neurons.

        Where the answers are all, the first one: a pass that reads answers reads a head, too.
        """
        first = self.source.grid[0]
        held = dict.fromkeys(map(holder, model_heads(self.heads)))
        return tuple(held) or ((first.layer, first.heads[0]),)

    @property
    def head_count(self) -> int:
        """The most heads of the model that a task reads; 0 where the answers are all."""
        return max(len(model_heads(task.heads)) for task in self.tasks)

    def lengths(self, task: TaskConfig) -> dict[str, int]:
        """Return the length of each of the axes that a task's arrays may have, see `AXES`."""
        widths = self.widths(task)
        return {
            "heads": len(task.heads),
            "classes": len(task.classes),
            "examples": task.examples,
            "width": max(widths[head] for head in task.heads),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the content of config.json; `run` is its digest.

        ValueError if a field is not what it must be: a score is NaN.
        """
        config = msgspec.convert(self, SelectionConfig, from_attributes=True, dec_hook=_decision)
        content = msgspec.json.decode(msgspec.json.encode(config))
        if self.heads_each is None:
            del content["heads_each"]  # most readouts have one part
        return content


def model_heads(heads: Sequence[Head]) -> tuple[Head, ...]:
    """Return the heads that are the model's, without its own answers."""
    return tuple(head for head in heads if head != ANSWERS_HEAD)


def _decision(kind: type, value: Any) -> Any:
    """Return a decision of a field, as msgspec asks for it."""
    return parse_decision(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigHeader:
    """What config.json says of itself."""

    format: int
    savs: Text
    """Version that wrote it."""
    run: Sha256
    """Digest of the content."""
    sha256: Sha256
    """Digest of classifier.safetensors."""


def parse_config(value: Mapping[str, Any]) -> tuple[ConfigHeader, SelectionConfig]:
    """Return the header and the selection in a decoded config.json.

    ValueError if a field is missing, unknown or not what it must be, or the content is not that
    of `run`.
    """
    if value.get("format") != FORMAT:
        raise ValueError(f"format: expected {FORMAT} in this release, got {value.get('format')!r}")
    header = msgspec.convert(value, ConfigHeader)
    config = msgspec.convert(value, SelectionConfig, dec_hook=_decision)
    content = config.to_json()
    if digest(content) != header.run:
        raise ValueError(f"run: expected {digest(content)}, the digest of the content")
    if value != msgspec.to_builtins(header) | content:
        raise ValueError("a field is unknown or missing")
    return header, config


def load_config(path: str | Path) -> SelectionConfig:
    """Read a selection without its arrays, so that its readout need not be known.

    `path` is the folder that `save_selection` wrote, or its config.json. ResultError if the file is
    not there, or not as it was written; the message names the field.
    """
    return read_config(config_path(path))[1]


def selection_run(path: str | Path) -> str:
    """Return the `run` of a saved selection, the digest of its content; errors as `load_config`."""
    return read_config(config_path(path))[0].run


def config_path(path: str | Path) -> Path:
    """Return config.json of a selection, which is given by that or by its folder."""
    if not Path(path).is_dir():
        return Path(path)
    finish_files(Path(path))
    return Path(path) / CONFIG


def read_config(file: Path) -> tuple[ConfigHeader, SelectionConfig]:
    """Read config.json; errors as `load_config`."""
    value = read_json(file, SELECT)
    try:
        return parse_config(value)
    except ValueError as error:
        raise ResultError(
            f"{file} is not a selection of this release: {error}; run `{SELECT}` again"
        ) from error


def require_selection(selection: Any) -> None:
    """Raise ParameterError unless this is a selection, instead of its path, for example."""
    if not isinstance(selection, SelectionConfig):
        raise ParameterError(
            f"the selection is {selection!r:.100}, expected what select() or load_selection(PATH)"
            " returns"
        )
