import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from savs.datasets import Example, MediaFolder, find_benchmark, read_examples
from savs.datasets.benchmarks.shapes import SHAPES, TASKS, ShapesFiles, write_shapes
from savs.datasets.benchmarks.shapes.scenes import COLORS
from savs.datasets.media_kinds.decoders.images import decode_image

pytestmark = pytest.mark.thorough

PER_CLASS, UNITS = 2, 4
CLASSES = {"grey-shape": 4, "shape": 4, "color": 6, "kind": 12, "count": 4, "texture": 4}
CLASSES |= {"corner": 4, "odd-one-out": 3, "third-image": 3, "animal": 4, "fruit": 6}
"""Task -> number of classes; 2 where it is not here."""
GROUPS = {"group-exists": 4, "group-binding": 4, "group-relation": 4}
GROUPS |= {"caption-replace": 2, "caption-swap": 2}
"""Task -> items of a unit; 1 where it is not here."""
IMAGES = {"which-image": 2, "more-things": 2, "same-color": 2, "odd-one-out": 3, "third-image": 3}
"""Task -> images of an item; 1 where it is not here."""


@dataclass(frozen=True)
class Written:
    files: ShapesFiles
    rows: dict[str, list[dict[str, Any]]]
    digests: dict[str, str]
    """Path below the root -> sha256 of the file."""

    def decoded(self, name: str) -> Image.Image:
        return decode_image(MediaFolder(self.files.root).read(name), name)

    def images(self, split: str) -> set[str]:
        return {name for row in self.rows[split] for name in row["images"]}


def write(folder: Path, seed: int, **settings: Any) -> Written:
    files = write_shapes(folder, seed=seed, train_per_class=PER_CLASS, test_units=UNITS, **settings)
    rows = {
        split: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for split, path in (("train", files.train), ("test", files.test))
    }
    digests = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    return Written(files, rows, digests)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(tmp_path_factory.mktemp("shapes"), seed=0)


@pytest.mark.costly
def test_a_seed_gives_the_same_files_byte_for_byte(written: Written, tmp_path: Path) -> None:
    assert write(tmp_path / "0", seed=0).digests == written.digests
    other = write(tmp_path / "1", seed=1)
    assert not set(other.digests.values()) & set(written.digests.values())


def test_a_task_is_the_same_whichever_are_drawn_with_it(written: Written, tmp_path: Path) -> None:
    alone = write(tmp_path, seed=0, tasks=["group-binding", "color"])
    for split in ("train", "test"):
        for task in ("group-binding", "color"):
            rows = [row for row in written.rows[split] if row["subtask"] == task]
            assert [row for row in alone.rows[split] if row["subtask"] == task] == rows
        for name in alone.images(split):
            assert alone.digests[name] == written.digests[name]
    # in the order in which they were named
    assert [*dict.fromkeys(row["subtask"] for row in alone.rows["test"])] == [
        "group-binding",
        "color",
    ]


@pytest.mark.parametrize("tasks", [["color", "colour"], ["color", "size", "color"]])
def test_an_unknown_or_repeated_task_is_refused(tasks: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected each once of"):
        write_shapes(tmp_path, tasks=tasks)
    assert not list(tmp_path.iterdir())


def test_training_examples_are_balanced_over_the_classes_of_each_task(written: Written) -> None:
    counts = Counter((row["subtask"], row["label"]) for row in written.rows["train"])
    assert set(counts.values()) == {PER_CLASS}
    classes = Counter(task for task, _ in counts)
    assert classes == {task: CLASSES.get(task, 2) for task in TASKS}


def test_each_task_has_the_test_units_it_should_with_labels_that_training_has(
    written: Written,
) -> None:
    rows = written.rows["test"]
    counts = Counter(row["subtask"] for row in rows)
    assert counts == {task: UNITS * GROUPS.get(task, 1) for task in TASKS}
    known = {(row["subtask"], row["label"]) for row in written.rows["train"]}
    assert {(row["subtask"], row["label"]) for row in rows} <= known
    ids = [row["id"] for split in ("train", "test") for row in written.rows[split]]
    assert len(set(ids)) == len(ids)
    families = {row["subtask"]: row["category"] for row in rows}
    assert families == {name: task.family for name, task in TASKS.items()}


def test_only_units_of_several_items_have_groups_and_these_are_whole(written: Written) -> None:
    assert not any("group" in row for row in written.rows["train"])
    assert {row["subtask"] for row in written.rows["test"] if "group" in row} == set(GROUPS)
    groups = Counter((row["subtask"], row.get("group")) for row in written.rows["test"])
    for (task, group), rows in groups.items():
        assert rows == (UNITS if group is None else GROUPS[task])
    assert sum(group is not None for _, group in groups) == UNITS * len(GROUPS)
    assert len({group for _, group in groups if group}) == UNITS * len(GROUPS)


def test_every_file_belongs_to_one_split_and_no_content_comes_twice(written: Written) -> None:
    train, test = written.images("train"), written.images("test")
    assert train | test == set(written.digests) - {"train.jsonl", "test.jsonl"}
    assert not train & test
    pixels = [
        hashlib.sha256(written.decoded(name).tobytes()).digest() for name in sorted(train | test)
    ]
    assert len(set(pixels)) == len(train) + len(test)
    for row in written.rows["train"] + written.rows["test"]:
        assert len(set(row["images"])) == len(row["images"]) == IMAGES.get(row["subtask"], 1)


@pytest.mark.parametrize("split", ["train", "test"])
def test_general_reads_the_same_examples(written: Written, split: str) -> None:
    path = getattr(written.files, split)
    examples = read_examples(find_benchmark("general"), path, split)
    assert examples == read_examples(SHAPES, path, split)
    assert [
        (e.id, e.label, e.prompt, e.subtask, e.category, [*e.media], e.group, e.extra)
        for e in examples
    ] == [
        (r["id"], r["label"], r["question"], r["subtask"], r["category"], r["images"],
         r.get("group"), {})
        for r in written.rows[split]
    ]  # fmt: skip


def every_example(written: Written) -> list[Example]:
    splits = ((written.files.train, "train"), (written.files.test, "test"))
    return [example for path, split in splits for example in read_examples(SHAPES, path, split)]


def pixels(written: Written, name: str) -> np.ndarray:
    image = written.decoded(name)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def test_only_images_without_colour_decode_to_grey(written: Written) -> None:
    for example in every_example(written):
        for name in example.media:
            spread = np.ptp(pixels(written, name), axis=2).max()
            # green is nearest to grey: 160 - 40, less 28 of jitter, and some that JPEG blurs
            assert spread == 0 if example.subtask == "grey-shape" else spread > 50, name


def test_images_come_in_several_formats_and_sizes(written: Written) -> None:
    formats, sizes = set(), Counter()
    for name in sorted(written.images("train") | written.images("test")):
        with Image.open(written.files.root / name) as image:
            formats.add((Path(name).suffix, image.format, image.mode))
            sizes[image.size] += 1
            if image.mode == "RGBA":
                alpha = np.asarray(image)[..., 3]
                assert not alpha[:3, :3].any()
                assert (alpha == 0).sum() == 9
                assert (pixels(written, name)[:3, :3] == 255).all()  # read as white
    assert formats == {
        (".jpg", "JPEG", "RGB"),
        (".jpg", "JPEG", "L"),
        (".png", "PNG", "RGB"),
        (".png", "PNG", "RGBA"),
        (".png", "PNG", "L"),
    }
    assert set(sizes) == {(112, 112), (140, 84), (84, 140)}
    # 6 in 10 units are square, and there are over 300
    assert 0.5 < sizes[112, 112] / sizes.total() < 0.7


def test_the_image_of_a_question_for_a_colour_has_that_colour(written: Written) -> None:
    for example in every_example(written):
        if example.subtask == "color":
            colors = pixels(written, example.media[0])
            off = np.abs(colors - COLORS[example.label]).max(axis=2)
            # the smallest thing is a star of radius 9.5: over 100 pixels, some lost to JPEG's blur
            assert (off <= 14 + 16).sum() > 70, example
