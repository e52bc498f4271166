"""All of a selection but what was fitted, and the JSON form of it: config.json."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from savs.pipeline.readouts.readout import ReadoutFile
from savs.pipeline.selection.config_schema import CONFIG, TASK, check, expect
from savs.stores import Head
from savs.stores.format.layout import digest

FORMAT = 1
"""Version of config.json and classifier.safetensors. No other is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskConfig:
    """The chosen heads of one subtask."""

    subtask: str | None
    """None where the benchmark has no subtasks."""
    classes: tuple[str, ...]
    """In order of first appearance in the train file."""
    heads: tuple[Head, ...]
    """Best first."""
    scores: tuple[float, ...]
    """Train-side score of each chosen head. It chose the head and is no estimate of performance."""
    margins: tuple[float, ...]
    """Train-side margin of each chosen head."""
    examples: int
    """Number of training examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionConfig:
    """What was selected, from what and how: all of a selection but what was fitted."""

    source: Mapping[str, Any]
    """What the features are of: model, processor, dtype, prompt and heads of the store."""
    train: str
    """Digest of the training examples."""
    readout: str
    """Name of the readout."""
    readout_file: ReadoutFile | None
    """The user's Python file that has the readout."""
    scoring: str
    tasks: tuple[TaskConfig, ...]
    """One for each subtask, in the order of the train file."""
    heads_from: str | None = None
    """Digest of the training examples that chose the heads, where those were others."""

    @property
    def model(self) -> Mapping[str, Any]:
        """The model that the heads belong to."""
        return self.source["model"]

    @property
    def heads(self) -> list[Head]:
        """The chosen heads of all subtasks, each once."""
        return list(dict.fromkeys(head for task in self.tasks for head in task.heads))

    def lengths(self, task: TaskConfig) -> dict[str, int]:
        """Return the length of each of the axes that a task's arrays may have, see `AXES`."""
        widths = grid_widths(self.source["heads"])
        return {
            "heads": len(task.heads),
            "classes": len(task.classes),
            "examples": task.examples,
            "width": max(widths[head] for head in task.heads),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the content of config.json, of which `run` is the digest."""
        return {
            "source": dict(self.source),
            "train": self.train,
            "readout": self.readout,
            "readout_file": self.readout_file._asdict() if self.readout_file else None,
            "scoring": self.scoring,
            "heads_from": self.heads_from,
            "tasks": [{name: _plain(getattr(task, name)) for name in TASK} for task in self.tasks],
        }


def _plain(value: Any) -> Any:
    """Return tuples as the lists that JSON has."""
    return [*map(_plain, value)] if isinstance(value, tuple) else value


def grid_widths(grids: Iterable[Mapping[str, Any]]) -> dict[Head, int]:
    """Return the width of every head in the `heads` of a source."""
    return {(grid["layer"], head): grid["head_dim"] for grid in grids for head in grid["heads"]}


def parse_config(value: Mapping[str, Any]) -> SelectionConfig:
    """Return the selection in a decoded config.json.

    Raises
    ------
    ValueError
        A field is missing, unknown or not what it must be, or the content is not that of `run`; the
        message begins with the field.
    """
    found = value.get("format")
    expect(type(found) is int and found == FORMAT, "format", f"{FORMAT} in this release", found)
    check(value, CONFIG)
    file, source = value["readout_file"], value["source"]
    grid = [(layer["layer"], head) for layer in source["heads"] for head in layer["heads"]]
    _each_once("source.heads", grid)
    _each_once("subtasks", [task["subtask"] for task in value["tasks"]])
    config = SelectionConfig(
        source=source,
        train=value["train"],
        readout=value["readout"],
        readout_file=ReadoutFile(**file) if file else None,
        scoring=value["scoring"],
        tasks=tuple(_task(f"tasks[{i}]", t, set(grid)) for i, t in enumerate(value["tasks"])),
        heads_from=value["heads_from"],
    )
    run = digest(config.to_json())
    expect(run == value["run"], "run", f"{run}, the digest of the content", value["run"])
    return config


def _task(where: str, value: Mapping[str, Any], grid: set[Head]) -> TaskConfig:
    classes, heads = tuple(value["classes"]), tuple(tuple(head) for head in value["heads"])
    expect(len(classes) > 1, f"{where}.classes", "two classes or more", classes)
    _each_once(f"{where}.classes", classes)
    _each_once(f"{where}.heads", heads)
    unknown = [head for head in heads if head not in grid]
    expect(not unknown, f"{where}.heads", "[layer, head] of source.heads", unknown)
    for name in ("scores", "margins"):
        count = len(value[name])
        expect(count == len(heads), f"{where}.{name}", f"{len(heads)} numbers, as heads", count)
    least = len(classes)
    expect(value["examples"] >= least, f"{where}.examples", f"{least} or more", value["examples"])
    return TaskConfig(
        subtask=value["subtask"],
        classes=classes,
        heads=heads,
        scores=tuple(value["scores"]),
        margins=tuple(value["margins"]),
        examples=value["examples"],
    )


def _each_once(where: str, values: Iterable[Any]) -> None:
    twice = [value for value, count in Counter(values).items() if count > 1]
    expect(not twice, where, "each once", twice)
