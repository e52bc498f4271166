"""The tasks: training sets that are drawn again and again, and one test set for all of them."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from savs.datasets.benchmarks.shapes import TASKS, write_shapes
from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError

SHOTS = 20
"""Training examples of each class."""
TESTS = 100
"""Test questions of a drawn task."""
SIDE = 112
"""Pixels of an image's side, as the demo model reads it."""
PATCH = 64
"""Pixels of a patch's side in a photograph of a surface."""
PHOTOGRAPHS = ("brick", "grass", "gravel")
"""Photographs of 512 x 512 pixels that scikit-image ships, under CC0."""
DIGITS = 5
"""Digits that are told apart: 0 to 4."""
Row = dict[str, Any]
Pool = Callable[[Path], dict[str, list[str]]]
"""Writes images into a folder and returns their names by label."""


@dataclass(frozen=True, slots=True)
class Draw:
    """The files of one training set; the test set is the same for all draws of a task."""

    benchmark: str
    train: Path
    test: Path
    root: Path

    def keywords(self) -> dict[str, Any]:
        """Return them as `extract` and the command line take them."""
        return {"train": self.train, "test": self.test, "media_root": self.root}


def write_task(
    name: str, folder: Path, draws: int, seed: int, shots: int | None = None
) -> list[Draw]:
    """Write the files of a task; files that are there are written again with the same content.

    Draw k of a drawn task has the training scenes of `write_shapes(seed=seed + k)`, and all have
    the test scenes of the first. Real images are one pool: a part of it is the test set, and each
    draw takes others of the rest, so that draws overlap.

    Raises
    ------
    ParameterError
        No task has this name, or it needs a package that is not installed.
    """
    shots = SHOTS if shots is None else shots
    if name in TASKS:
        train, test = _scenes(name, folder, draws, seed, shots)
        benchmark = "shapes"
    elif name in POOLS:
        train, test = _pooled(name, folder, draws, seed, shots)
        benchmark = "general"
    else:
        raise ParameterError(f"no task is called {name!r}; expected {', '.join((*TASKS, *POOLS))}")
    files = [_write(folder / f"train-{draw}.jsonl", rows) for draw, rows in enumerate(train)]
    last = _write(folder / "test.jsonl", test)
    return [Draw(benchmark, path, last, folder) for path in files]


def _scenes(
    name: str, folder: Path, draws: int, seed: int, shots: int
) -> tuple[list[list[Row]], list[Row]]:
    train, test = [], []
    for draw in range(draws):
        files = write_shapes(
            folder / str(draw),
            seed=seed + draw,
            tasks=[name],
            train_per_class=shots,
            test_units=1 if draw else TESTS,
        )
        train.append(_read(files.train, draw))
        test = test or _read(files.test, draw)
    return train, test


def _read(path: Path, draw: int) -> list[Row]:
    """Return the rows of a draw, whose images lie in a folder of its own."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row | {"images": [f"{draw}/{name}" for name in row["images"]]} for row in rows]


def _pooled(
    name: str, folder: Path, draws: int, seed: int, shots: int
) -> tuple[list[list[Row]], list[Row]]:
    question, pool = POOLS[name]
    images_of = pool(folder)
    left, test = {}, []
    for label, images in images_of.items():
        mixed = random.Random(f"savs compare {seed} {name} {label}").sample(images, len(images))
        count = TESTS // len(images_of)
        left[label] = mixed[count:]
        test += _rows("test", label, mixed[:count], question)
    drawn = [_drawn(left, question, f"{seed} {name} {draw}", shots) for draw in range(draws)]
    return drawn, test


def _drawn(left: Mapping[str, Sequence[str]], question: str, seed: str, shots: int) -> list[Row]:
    rows = []
    for label, images in left.items():
        chosen = random.Random(f"savs compare {seed} {label}").sample(list(images), shots)
        rows += _rows("train", label, chosen, question)
    return rows


def _rows(split: str, label: str, images: Sequence[str], question: str) -> list[Row]:
    return [
        {"id": f"{split}-{name}", "image": name, "question": question, "label": label}
        for name in images
    ]


def _write(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(name: str, folder: Path) -> list[Row]:
    """Write all real images of a task into a folder, and return a row for each.

    Raises
    ------
    ParameterError
        It needs a package that is not installed.
    """
    question, pool = POOLS[name]
    return [
        row
        for label, images in pool(folder).items()
        for row in _rows(name, label, images, question)
    ]


def _shipped(name: str, task: str) -> Array:
    """Return an array of scikit-image's photographs."""
    try:
        from skimage import data
    except ImportError as error:
        raise ParameterError(
            "the photographs are those of scikit-image: pip install scikit-image, or leave out"
            f" task {task}"
        ) from error
    return getattr(data, name)()


def _surfaces(folder: Path) -> dict[str, list[str]]:
    """Cut photographs of surfaces into patches that do not overlap."""
    images_of = {}
    for label in PHOTOGRAPHS:
        whole = _shipped(label, "surface")
        starts = range(0, len(whole), PATCH)
        patches = [whole[y : y + PATCH, x : x + PATCH] for y in starts for x in starts]
        images_of[label] = _save(folder, label, patches)
    return images_of


def _faces(folder: Path) -> dict[str, list[str]]:
    """Write 100 faces and 100 backgrounds of press photographs, 25 x 25 pixels of grey."""
    grey = (_shipped("lfw_subset", "face") * 255).round()
    half = len(grey) // 2
    parts = {"face": grey[:half], "background": grey[half:]}
    return {label: _save(folder, label, images) for label, images in parts.items()}


def _digits(folder: Path) -> dict[str, list[str]]:
    """Write scanned digits, which scikit-learn ships in 8 x 8 pixels of 17 greys."""
    from sklearn.datasets import load_digits

    known: Any = load_digits()
    grey = (known.images * 255 / 16).astype(np.uint8)
    return {str(n): _save(folder, str(n), grey[known.target == n]) for n in range(DIGITS)}


def _cells(folder: Path) -> dict[str, list[str]]:
    """Write every fifth solar cell that all experts call functional, or defective."""
    try:
        from elpv_dataset.utils import load_dataset
    except ImportError as error:
        raise ParameterError(
            "solar cells are those of a package: pip install elpv-dataset, or leave out task cell"
        ) from error
    grey, defective, _ = load_dataset()
    kinds = {"functional": 0, "defective": 1}
    return {name: _save(folder, name, grey[defective == p][::5]) for name, p in kinds.items()}


def _save(folder: Path, label: str, images: Sequence[Array] | Array) -> list[str]:
    (folder / label).mkdir(parents=True, exist_ok=True)
    names = [f"{label}/{number:03d}.png" for number in range(len(images))]
    for name, pixels in zip(names, images, strict=True):
        whole = Image.fromarray(np.asarray(pixels, np.uint8)).convert("RGB")
        whole.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / name)
    return names


POOLS: dict[str, tuple[str, Pool]] = {
    "surface": ("What surface is this?", _surfaces),
    "digit": ("Which digit is this?", _digits),
    "cell": ("Is this solar cell functional or defective?", _cells),
    "face": ("Is this a face or background?", _faces),
}
"""Task of real images -> its question and its images."""
