import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from savs.datasets import MediaFolder, find_benchmark, read_examples
from savs.datasets.media import decode_image
from savs.datasets.shapes import SHAPES, ShapesFiles, write_shapes

PER_CLASS, PER_SUBTASK = 2, 6
CLASSES = {
    "exists": {"Yes", "No"},
    "color": {"red", "green", "blue", "yellow", "purple", "cyan"},
    "shape": {"circle", "square", "triangle", "star"},
    "position": {"left", "right"},
    "animal": {"cat", "dog", "bird", "fish"},
}
RGB = {
    "red": (215, 40, 40),
    "green": (40, 160, 60),
    "blue": (45, 80, 215),
    "yellow": (235, 210, 45),
    "purple": (150, 60, 180),
    "cyan": (50, 200, 215),
}
JITTER = 14


@dataclass(frozen=True)
class Written:
    files: ShapesFiles
    rows: dict[str, list[dict[str, str]]]
    digests: dict[str, str]
    """Path below the root -> sha256 of the file."""


def write(folder: Path, seed: int) -> Written:
    files = write_shapes(folder, seed=seed, train_per_class=PER_CLASS, test_per_subtask=PER_SUBTASK)
    rows = {
        split: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for split, path in (("train", files.train), ("test", files.test))
    }
    digests = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    return Written(files, rows, digests)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(tmp_path_factory.mktemp("shapes"), seed=0)


def test_the_same_seed_gives_the_same_files_byte_for_byte(written: Written, tmp_path: Path) -> None:
    assert write(tmp_path, seed=0).digests == written.digests


def test_another_seed_gives_other_images_and_questions(written: Written, tmp_path: Path) -> None:
    other = write(tmp_path, seed=1)
    assert other.digests.keys() == written.digests.keys()
    assert not set(other.digests.values()) & set(written.digests.values())


def test_a_subtask_is_the_same_whichever_are_drawn_with_it(
    written: Written, tmp_path: Path
) -> None:
    files = write_shapes(
        tmp_path, subtasks=["color"], train_per_class=PER_CLASS, test_per_subtask=PER_SUBTASK
    )
    alone = [json.loads(line) for line in files.test.read_text().splitlines()]
    assert alone == [row for row in written.rows["test"] if row["subtask"] == "color"]


def test_training_examples_are_balanced_over_all_classes(written: Written) -> None:
    counts = Counter((row["subtask"], row["label"]) for row in written.rows["train"])
    expected = {(task, label) for task, labels in CLASSES.items() for label in labels}
    assert counts == dict.fromkeys(expected, PER_CLASS)


def test_test_examples_are_as_many_as_asked_for_and_of_known_classes(written: Written) -> None:
    rows = written.rows["test"]
    assert Counter(row["subtask"] for row in rows) == dict.fromkeys(CLASSES, PER_SUBTASK)
    assert all(row["label"] in CLASSES[row["subtask"]] for row in rows)


def test_every_row_has_an_image_of_its_own_and_no_content_comes_twice(written: Written) -> None:
    names = [row["image"] for split in ("train", "test") for row in written.rows[split]]
    on_disk = set(written.digests) - {"train.jsonl", "test.jsonl"}
    assert sorted(names) == sorted(on_disk)
    assert len({written.digests[name] for name in names}) == len(names)


def test_ids_are_unique_over_both_splits(written: Written) -> None:
    ids = [row["id"] for split in ("train", "test") for row in written.rows[split]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("split", ["train", "test"])
def test_general_reads_the_files_too(written: Written, split: str) -> None:
    path = getattr(written.files, split)
    examples = read_examples(find_benchmark("general"), path, split)
    assert examples == read_examples(SHAPES, path, split)
    assert [(e.id, e.label, e.prompt, e.subtask, e.media, e.extra) for e in examples] == [
        (r["id"], r["label"], r["question"], r["subtask"], (r["image"],), {})
        for r in written.rows[split]
    ]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_image_of_a_row_shows_what_its_label_says(written: Written, split: str) -> None:
    media = MediaFolder(written.files.root)
    for row in written.rows[split]:
        image = decode_image(media.read(row["image"]), row["image"])
        assert (image.mode, image.size) == ("RGB", (112, 112))
        if row["subtask"] == "color":
            off = np.abs(np.asarray(image).astype(int) - RGB[row["label"]]).max(axis=2)
            # the smallest thing is a star of radius 9.5, which covers over 100 pixels
            assert (off <= JITTER).sum() > 100, row
