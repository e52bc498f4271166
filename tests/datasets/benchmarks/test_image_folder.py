import os
import re
import sys
from pathlib import Path

import pytest

from savs.datasets import Example, OptionError, SourceError, find_benchmark, read_examples
from savs.datasets.benchmarks.image_folder import QUESTION, folder_notes, image_folder

BENCHMARK = find_benchmark("image-folder")


def filled(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
    return root


def read(root: Path, split: str = "test") -> list[Example]:
    return read_examples(BENCHMARK, root, split)


def test_a_folder_is_a_class_and_names_give_the_order(tmp_path: Path) -> None:
    root = filled(tmp_path, "dog/b.JPG", "cat/10.png", "cat/9.webp", "dog/a.jpeg", "dog/c.mp4")
    examples = read(root, "train")
    names = ["cat/10.png", "cat/9.webp", "dog/a.jpeg", "dog/b.JPG", "dog/c.mp4"]
    assert [e.id for e in examples] == names
    assert [e.media for e in examples] == [(name,) for name in names]
    assert [e.label for e in examples] == ["cat", "cat", "dog", "dog", "dog"]
    assert [e.index for e in examples] == [0, 1, 2, 3, 4]
    assert {e.prompt for e in examples} == {QUESTION}
    assert {(e.split, e.group, e.subtask) for e in examples} == {("train", None, None)}
    assert {str(e.extra) for e in examples} == {"{}"}


def test_hidden_files_and_those_that_systems_leave_are_passed_over(tmp_path: Path) -> None:
    root = filled(tmp_path, "a/1.png", "a/.DS_Store", "a/Thumbs.db", ".git/x.png", ".note", "b/._1")
    filled(root, "b/1.png", "b/desktop.ini")
    assert [e.id for e in read(root)] == ["a/1.png", "b/1.png"]


def test_labels_are_the_names_of_the_folders_byte_for_byte(tmp_path: Path) -> None:
    root = filled(tmp_path, "Forêt dense/1.png", "c++/1.png", " x/1.png")
    assert [e.label for e in read(root)] == [" x", "Forêt dense", "c++"]


def test_links_lead_anywhere(tmp_path: Path) -> None:
    filled(tmp_path / "far", "one/1.png")
    root = filled(tmp_path / "root", "b/2.png")
    (root / "a").symlink_to(tmp_path / "far" / "one")
    assert [e.id for e in read(root)] == ["a/1.png", "b/2.png"]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (
            ["a/1.png", "1.png"],
            "holds 1.png next to the class folders (move them into one, or away)",
        ),
        (["train/a/1.png", "test/a/1.png"], "(if test or train is a split, pass --train or --test"),
        ([".x"], "has no subfolders (expected one folder of images per class)"),
        (["a/1.png", "b/.x"], "has no image in b (add some, or remove the folder)"),
        (["a/1.png", "b/notes.txt"], "has no image in b (add some, or remove the folder)"),
    ],
)
def test_what_is_out_of_place_is_named(tmp_path: Path, names: list[str], problem: str) -> None:
    with pytest.raises(SourceError, match=re.escape(problem)) as told:
        read(filled(tmp_path, *names))
    assert str(told.value).startswith(str(tmp_path))
    assert "\n" not in str(told.value)


def test_all_that_is_out_of_place_is_named_at_once(tmp_path: Path) -> None:
    root = filled(tmp_path, "1.png", "a/1.png", "b/.x", "c/x/1.png", *(f"{n}.jpg" for n in "789"))
    (root / "d").mkdir()
    with pytest.raises(SourceError) as told:
        read(root)
    assert str(told.value) == (
        f"{root} holds 1.png, 7.jpg, 8.jpg and 1 more next to the class folders (move them into"
        " one, or away); has folders within class folders: c/x (if c is a split, pass --train or"
        f" --test {root}/c); has no image in b, d (add some, or remove the folder)"
    )


def test_files_that_are_no_images_are_left_out_and_named(tmp_path: Path) -> None:
    root = filled(tmp_path, "README.txt", "a/1.png", "a/2.heic", "a/notes.txt", "a/.hidden")
    assert [e.id for e in read(root)] == ["a/1.png", "a/2.heic"]
    assert folder_notes(root) == [
        f"{root}: 2 files are neither images nor videos by name and were left out: README.txt,"
        " a/notes.txt"
    ]
    (root / "README.txt").unlink()
    assert folder_notes(root) == [
        f"{root}: 1 file is neither an image nor a video by name and was left out: a/notes.txt"
    ]
    (root / "a/notes.txt").unlink()
    assert folder_notes(root) == []


def test_a_source_is_a_folder(tmp_path: Path) -> None:
    filled(tmp_path, "1.png")
    with pytest.raises(
        SourceError, match=r"1\.png is a file; expected a folder with one subfolder"
    ):
        read(tmp_path / "1.png")
    with pytest.raises(SourceError, match="nowhere does not exist; expected a folder"):
        read(tmp_path / "nowhere")


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take UTF-8 names alone")
def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    filled(tmp_path, "a/1.png")
    folder = os.fsencode(tmp_path) + b"/b\xff"
    os.mkdir(folder)  # noqa: PTH102 - a path of bytes
    Path(os.fsdecode(folder), "1.png").write_bytes(b"image")
    with pytest.raises(ValueError, match="holds a lone surrogate"):
        read(tmp_path)


def test_the_question_words_the_prompt_and_is_part_of_the_identity(tmp_path: Path) -> None:
    asked = image_folder("Which <image> is it?")
    (example,) = read_examples(asked, filled(tmp_path, "a/1.png"), "test")
    assert example.prompt == "Which <image> is it?"
    assert (asked.name, asked.options) == ("image-folder", {"question": "Which <image> is it?"})
    assert BENCHMARK.options == {"question": QUESTION}
    with pytest.raises(OptionError, match="--question is empty"):
        image_folder("  ")
