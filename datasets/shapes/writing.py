"""The shapes benchmark on disk: image files and one JSON Lines file a split."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from savs.datasets.shapes.drawing import draw
from savs.datasets.shapes.questions import SUBTASKS, Item


@dataclass(frozen=True, slots=True)
class ShapesFiles:
    """Where a generated benchmark lies."""

    root: Path
    """Media root: the names in both files are relative to it."""
    train: Path
    test: Path


def write_shapes(
    folder: Path,
    *,
    seed: int = 0,
    subtasks: Sequence[str] = tuple(SUBTASKS),
    train_per_class: int = 20,
    test_per_subtask: int = 100,
) -> ShapesFiles:
    """Draw the benchmark into a folder: the same seed and sizes give the same files.

    Training examples are balanced, test examples come as they fall. No scene is drawn twice.

    Parameters
    ----------
    folder
        Made if it is not there; files of the same names are written over.
    seed
        Of everything random.
    subtasks
        Which of `SUBTASKS`, in which order.
    train_per_class
        Training examples of each class of each subtask.
    test_per_subtask
        Test examples of each subtask.
    """
    unknown = [name for name in subtasks if name not in SUBTASKS]
    if unknown or len(set(subtasks)) < len(subtasks):
        raise ValueError(f"subtasks are {list(subtasks)}, expected each once of {list(SUBTASKS)}")
    splits: dict[str, list[dict[str, str]]] = {"train": [], "test": []}
    for subtask in subtasks:
        rng = random.Random(f"savs shapes {seed} {subtask}")
        train = _draw_balanced(rng, subtask, train_per_class)
        test = [_draw_item(rng, subtask) for _ in range(test_per_subtask)]
        for split, items in (("train", train), ("test", test)):
            splits[split] += [
                _write_item(folder, split, subtask, number, item)
                for number, item in enumerate(items)
            ]
    files = ShapesFiles(folder, folder / "train.jsonl", folder / "test.jsonl")
    for path, rows in ((files.train, splits["train"]), (files.test, splits["test"])):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return files


def _draw_item(rng: random.Random, subtask: str) -> Item:
    while True:
        item = SUBTASKS[subtask](rng)
        if item is not None:
            return item


def _draw_balanced(rng: random.Random, subtask: str, per_class: int) -> list[Item]:
    """Draw until each class has its share; the classes of a subtask show in 200 items."""
    labels = {_draw_item(random.Random(number), subtask).label for number in range(200)}
    items: list[Item] = []
    counts: Counter[str] = Counter()
    while sum(counts.values()) < per_class * len(labels):
        item = _draw_item(rng, subtask)
        if counts[item.label] < per_class:
            counts[item.label] += 1
            items.append(item)
    return items


def _write_item(folder: Path, split: str, subtask: str, number: int, item: Item) -> dict[str, str]:
    name = f"images/{split}/{subtask}-{number:04d}.png"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(item.scene).save(path)
    return {
        "id": f"{split}-{subtask}-{number:04d}",
        "image": name,
        "question": item.question,
        "label": item.label,
        "subtask": subtask,
    }
