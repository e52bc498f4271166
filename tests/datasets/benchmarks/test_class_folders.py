import os
import re
import sys
from pathlib import Path

import pytest

from savs.datasets import Example, OptionError, SourceError, find_benchmark, read_examples
from savs.datasets.benchmarks.class_folders import (
    FOLDERS,
    QUESTION,
    ask,
    folder_kind,
    folder_notes,
)
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.sounds import SOUNDS

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
    names = ["cat/10.png", "cat/9.webp", "dog/a.jpeg", "dog/b.JPG", "dog/c.mp4"]
    assert read(root, "train") == [
        Example(name, "train", number, name[:3], QUESTION, (name,))
        for number, name in enumerate(names)
    ]


def test_hidden_files_are_passed_over_links_followed_and_labels_kept_byte_for_byte(
    tmp_path: Path,
) -> None:
    root = filled(tmp_path / "root", "a/1.png", "a/.DS_Store", "a/Thumbs.db", ".git/x.png", ".note")
    filled(root, "b/1.png", "b/._1", "b/desktop.ini", "Forêt dense/1.png", "c++/1.png", " x/1.png")
    filled(tmp_path / "far", "one/1.png")
    (root / "link").symlink_to(tmp_path / "far" / "one")
    labels = [" x", "Forêt dense", "a", "b", "c++", "link"]
    assert [(e.id, e.label) for e in read(root)] == [(f"{name}/1.png", name) for name in labels]
    assert folder_notes(root) == []


def test_folders_within_a_class_folder_are_of_that_class(tmp_path: Path) -> None:
    names = ["cat/1.png", "cat/at night/2.png", "cat/at night/in rain/3.png", "val/4.png"]
    root = filled(tmp_path, *names, "cat/.cache/5.png", "val/deep/6.png", "cat/deep/notes.txt")
    (root / "cat/deep/back").symlink_to(root / "cat")
    found = [(name, name[:3]) for name in [*names, "val/deep/6.png"]]
    assert [(e.id, e.label) for e in read(root)] == found
    assert folder_notes(root)[0].endswith("left out: cat/deep/notes.txt")


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (
            ["a/1.png", "1.png"],
            "holds 1.png next to the class folders (move them into one, or away)",
        ),
        (["train/a/1.png", "test/a/1.png"], "(if test or train is a split, pass `train` or `test`"),
        (["Train/a/1.png", "Test/a/1.png"], "(if Test or Train is a split, pass `train` or `test`"),
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
    root = filled(tmp_path, "1.png", "a/1.png", "b/.x", "val/x/1.png", *(f"{n}.jpg" for n in "789"))
    (root / "d").mkdir()
    with pytest.raises(SourceError) as told:
        read(root)
    assert str(told.value) == (
        f"{root} holds 1.png, 7.jpg, 8.jpg and 1 more next to the class folders (move them into"
        " one, or away); has folders within val (if val is a split, pass `train` or `test`"
        f" {root}/val); has no image in b, d (add some, or remove the folder)"
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
    for name, what in (("1.png", "is a file"), ("nowhere", "does not exist")):
        with pytest.raises(SourceError, match=f"{name} {what}; expected a folder with one sub"):
            read(tmp_path / name)


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take UTF-8 names alone")
def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    filled(tmp_path, "a/1.png")
    folder = os.fsencode(tmp_path) + b"/b\xff"
    os.mkdir(folder)  # noqa: PTH102 - a path of bytes
    Path(os.fsdecode(folder), "1.png").write_bytes(b"image")
    with pytest.raises(SourceError, match=r"not UTF-8: 'b\\udcff' \(rename them"):
        read(tmp_path)
    root = filled(tmp_path / "named", "a/1.png", "unlabelled/2.png")
    for place in ("a", "unlabelled"):
        Path(os.fsdecode(os.fsencode(root / place) + b"/\xff.png")).write_bytes(b"image")
    assert [e.id for e in read(root, "unlabelled")] == ["unlabelled/2.png"]
    os.unlink(os.fsencode(root) + b"/unlabelled/\xff.png")
    (note,) = folder_notes(root)
    assert "1 file has a name that is not UTF-8 and left out: " in note


def test_the_question_words_the_prompt_and_is_part_of_the_identity(tmp_path: Path) -> None:
    asked = ask(FOLDERS[IMAGES], "Which <image> is it?")
    (example,) = read_examples(asked, filled(tmp_path, "a/1.png"), "test")
    assert example.prompt == "Which <image> is it?"
    assert (asked.name, asked.options) == ("image-folder", {"question": "Which <image> is it?"})
    assert BENCHMARK.options == {"question": QUESTION}
    with pytest.raises(OptionError, match="`question` is empty"):
        ask(FOLDERS[IMAGES], "  ")


@pytest.mark.parametrize("name", ["unlabelled", "unlabeled"])
def test_images_without_a_class_are_no_class(tmp_path: Path, name: str) -> None:
    root = filled(tmp_path, "cat/1.png", f"{name}/2.png", f"{name}/cat/3.jpg", f"{name}/notes.txt")
    assert [(e.id, e.label) for e in read(root)] == [("cat/1.png", "cat")]
    waiting = read(root, "unlabelled")
    assert waiting == [
        Example(f"{name}/2.png", "unlabelled", 0, None, QUESTION, (f"{name}/2.png",)),
        Example(f"{name}/cat/3.jpg", "unlabelled", 1, None, QUESTION, (f"{name}/cat/3.jpg",)),
    ]
    (note,) = folder_notes(root)  # a photo of another format would be lost without a word
    assert note.endswith(f"left out: {name}/notes.txt")


def test_a_folder_without_one_of_that_name_is_unlabelled_as_a_whole(tmp_path: Path) -> None:
    root = filled(tmp_path, "1.png", "deep/2.png", ".hidden/3.png")
    assert [e.id for e in read(root, "unlabelled")] == ["1.png", "deep/2.png"]
    (tmp_path / "other").mkdir()
    for name, what in (("other", "has no image without a class"), ("1.png", "is a file")):
        with pytest.raises(SourceError, match=what):
            read(root / name, "unlabelled")


@pytest.mark.parametrize(
    ("names", "are_sounds"),
    [
        (["a/1.wav", "b/deep/2.FLAC", "notes.txt"], True),
        (["a/1.wav", "b/2.png"], False),
        (["a/1.wav", "b/2.mp4"], False),
        (["a/1.png"], False),
        (["notes.txt"], False),
        ([], False),
    ],
)
def test_a_folder_of_sounds_has_a_sound_and_nothing_to_see(
    tmp_path: Path, names: list[str], are_sounds: bool
) -> None:
    assert (folder_kind(filled(tmp_path, *names)) is SOUNDS) == are_sounds
