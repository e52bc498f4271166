"""The shapes benchmark on disk: image files and one JSON Lines file per split."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from savs.datasets.benchmarks.shapes.benchmark import TEST_UNITS, TRAIN_PER_CLASS
from savs.datasets.benchmarks.shapes.scenes import CANVASES, draw
from savs.datasets.benchmarks.shapes.tasks import TASKS, Item, Task, drawer
from savs.foundation.errors import ParameterError

SQUARE_SHARE = 0.6
"""Share of the scenes on the square canvas; the others are wide or tall."""
FORMATS = ("png", "jpeg", "rgba")
"""File formats; `rgba` is a PNG with a transparent corner, which is read as white."""


@dataclass(frozen=True, slots=True)
class ShapesFiles:
    """Paths of a generated benchmark."""

    root: Path
    """Media root: the names in both files are relative to it."""
    train: Path
    test: Path


def write_shapes(
    folder: str | Path,
    *,
    seed: int = 0,
    tasks: Sequence[str] = tuple(TASKS),
    train_per_class: int = TRAIN_PER_CLASS,
    test_units: int = TEST_UNITS,
) -> ShapesFiles:
    """Write the benchmark into a folder; the same seed and sizes give the same files.

    Training examples are balanced by class, test examples are not. Both splits and the demo
    model's training share no scene, whatever the seeds: see `Scene.part`. Existing files are
    replaced. Each task has `train_per_class` examples of each class, and `test_units` questions,
    pairs of two or groups of four. ParameterError if a task is unknown, or named twice.
    """
    unknown = [name for name in tasks if name not in TASKS]
    if unknown or len(set(tasks)) < len(tasks):
        raise ParameterError(f"tasks are {list(tasks)}, expected each once of {list(TASKS)}")
    root = Path(folder)
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    seen: set[str] = set()
    for name in tasks:
        writer = _Writer(root, TASKS[name], random.Random(f"savs shapes {seed} {name}"), seen)
        rows["train"] += writer.balanced(train_per_class)
        rows["test"] += writer.units(test_units)
    files = ShapesFiles(root, root / "train.jsonl", root / "test.jsonl")
    for path, split in ((files.train, "train"), (files.test, "test")):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows[split]), encoding="utf-8")
    return files


@dataclass(frozen=True, slots=True)
class _Writer:
    folder: Path
    task: Task
    rng: random.Random
    seen: set[str]
    """Digests of the images written so far: none is written twice."""

    def balanced(self, per_class: int) -> list[dict[str, Any]]:
        """Write training examples, one per unit, until each class has `per_class`."""
        labels = {item.label for _ in range(200) for item in self._draw("train")}
        counts: Counter[str] = Counter()
        rows = []
        while sum(counts.values()) < per_class * len(labels):
            item = self.rng.choice(self._draw("train"))
            if item.label in labels and counts[item.label] < per_class:
                counts[item.label] += 1
                rows.append(self._row("train", len(rows), item, None, {}))
        return rows

    def units(self, count: int) -> list[dict[str, Any]]:
        """Write whole units; the items of a unit share a group."""
        rows: list[dict[str, Any]] = []
        for number in range(count):
            unit = self._draw("test")
            group = f"{self.task.name}-{number:04d}" if len(unit) > 1 else None
            names: dict[int, str] = {}
            for item in unit:
                rows.append(self._row("test", len(rows), item, group, names))
        return rows

    def _draw(self, part: str) -> tuple[Item, ...]:
        while True:
            square = self.rng.random() < SQUARE_SHARE
            canvas = CANVASES[0] if square else self.rng.choice(CANVASES[1:])
            unit = self.task.ask(self.rng, drawer(self.rng, canvas=canvas, part=part))
            if unit:
                return unit

    def _row(
        self, split: str, number: int, item: Item, group: str | None, names: dict[int, str]
    ) -> dict[str, Any]:
        """Write an item's images, each scene of a unit once, and return its row."""
        images = []
        for index, scene in enumerate(item.scenes):
            if id(scene) not in names:
                stem = f"images/{split}/{self.task.name}-{number:04d}-{index}"
                names[id(scene)] = self._save(stem, draw(scene, grey=item.grey))
            images.append(names[id(scene)])
        row: dict[str, Any] = {
            "id": f"{split}-{self.task.name}-{number:04d}",
            "images": images,
            "question": item.question,
            "label": item.label,
            "subtask": self.task.name,
            "category": self.task.family,
        }
        return row if group is None else row | {"group": group}

    def _save(self, stem: str, image: Image.Image) -> str:
        kind = self.rng.choice(FORMATS)
        name = f"{stem}.{'jpg' if kind == 'jpeg' else 'png'}"
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "rgba" and image.mode == "RGB":
            image = image.convert("RGBA")
            image.paste((0, 0, 0, 0), (0, 0, 3, 3))
        if kind == "jpeg":
            image.save(path, quality=self.rng.randint(85, 95))
        else:
            image.save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest in self.seen:
            raise RuntimeError(f"{name} repeats an earlier image; use another seed")
        self.seen.add(digest)
        return name
