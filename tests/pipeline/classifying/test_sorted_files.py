"""`sort_into`: every file is copied to the folder of its class, and no file is lost for it."""

import os
import resource
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from savs import classify
from savs.datasets import Example, MediaFolder
from savs.datasets.media.media import MediaRules
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying import sorted_files
from savs.pipeline.classifying.new_images import Group
from savs.pipeline.classifying.sorted_files import (
    LONGEST_FILE,
    RECORD,
    UNSURE,
    SortedFolder,
    folder_names,
)
from savs.pipeline.errors import OutputError

MADE = {"classifier": "c", "risk": 0.1}
HARD = [
    *("a/b", "a\\b", "a:b", "..", ".", "", " ", "/", "../../etc", "con", "NUL.txt", "-rf", "~"),
    *("x" * 300, "x" * 301, "\x1b[31m", "a\nb", "\ud800", "Unsure", "unsure", "trailing. "),
    *("Cat", "cat", "é", unicodedata.normalize("NFD", "é"), "ß", "ss", "a_b", "a_b-c14cddc0"),
]


def write(root: Path, *names: str) -> Group:
    """Write a file of own content for each name; return examples of them, with ids like these."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"content of {name}")
    return group(root, *((name, (name,)) for name in names))


def group(root: Path, *rows: tuple[str, tuple[str, ...]]) -> Group:
    examples = [
        Example(id=name, split="test", index=n, label=None, prompt="?", media=media)
        for n, (name, media) in enumerate(rows)
    ]
    return Group(examples, MediaFolder(root, rules=MediaRules(allow_outside=True)))


def sort(folder: Path, given: Group, predictions: dict[str, str | None], *, unsure=(), made=MADE):
    """Sort the files of examples whose predictions are known."""
    classes = tuple(dict.fromkeys([*filter(None, predictions.values()), "other"]))
    task = SimpleNamespace(subtask=None, classes=classes)
    place = SortedFolder(folder, SimpleNamespace(tasks=[task]), [given], made)
    place.begin()
    table = pl.DataFrame(
        {
            "id": list(predictions),
            "prediction": list(predictions.values()),
            "unsure": [name in unsure for name in predictions],
        },
        schema={"id": pl.String, "prediction": pl.String, "unsure": pl.Boolean},
    )
    return place.fill(table)


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != RECORD)
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_no_two_classes_share_a_folder_and_each_name_is_that_of_a_folder(tmp_path) -> None:
    names = folder_names(HARD, taken=(UNSURE,))
    assert list(names) == list(dict.fromkeys(HARD))
    keys = [unicodedata.normalize("NFKC", folder).casefold() for folder in names.values()]
    assert len({*keys, UNSURE}) == len(keys) + 1
    for folder in names.values():
        (tmp_path / folder).mkdir()
        assert (tmp_path / folder).resolve().parent == tmp_path.resolve()
        assert folder.isprintable()
        assert folder.strip(" .") == folder
        assert not folder.startswith("-")
        assert len(folder.encode()) <= 100
    assert len(list(tmp_path.iterdir())) == len(names)
    assert names["a_b"] == "a_b"
    # the folder of a class depends on no order, so a rerun finds it
    assert folder_names(HARD[::-1], taken=(UNSURE,)) == names


def test_equal_names_keep_their_files_and_a_rerun_copies_nothing(tmp_path, monkeypatch) -> None:
    whole = Path.read_bytes

    def read_bytes(path):
        assert not path.is_relative_to(tmp_path / "in"), f"{path} may be larger than memory"
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    given = write(tmp_path / "in", "a/1.jpg", "b/1.jpg", "c/1.jpg", "2.jpg", "bad.jpg")
    os.utime(tmp_path / "in/a/1.jpg", (3_000_000, 2_000_000))  # read after it was written
    said = {"a/1.jpg": "cat", "b/1.jpg": "cat", "c/1.jpg": "dog", "2.jpg": "dog", "bad.jpg": None}
    out = tmp_path / "out"
    done = sort(out, given, said, unsure=["2.jpg"])
    assert (done.files, done.copied, done.unsure) == (4, 4, 1)
    assert (out / "cat/1.jpg").stat().st_mtime == 2_000_000  # that of the original
    found = tree(out)
    (other,) = {name for name in found if name.startswith("cat/1-")}
    assert found == {
        "cat/1.jpg": "content of a/1.jpg",
        other: "content of b/1.jpg",
        "dog/1.jpg": "content of c/1.jpg",
        "unsure/2.jpg": "content of 2.jpg",
    }
    again = sort(out, given, said, unsure=["2.jpg"])
    assert (again.files, again.copied, again.unsure) == (4, 0, 1)
    os.utime(tmp_path / "in/a/1.jpg")  # of another time, so its content is compared
    assert sort(out, given, said, unsure=["2.jpg"]).copied == 0
    assert tree(out) == found
    assert len(tree(tmp_path / "in")) == 5  # the originals stay


def test_a_class_called_unsure_has_a_folder_of_its_own(tmp_path) -> None:
    given = write(tmp_path / "in", "1.jpg", "2.jpg")
    done = sort(tmp_path / "out", given, {"1.jpg": "unsure", "2.jpg": "unsure"}, unsure=["2.jpg"])
    assert (done.files, done.unsure) == (2, 1)
    (folder,) = done.renamed.values()
    assert set(tree(tmp_path / "out")) == {f"{folder}/1.jpg", "unsure/2.jpg"}


def test_a_file_of_another_content_is_never_replaced(tmp_path) -> None:
    given, out = write(tmp_path / "in", "1.jpg"), tmp_path / "out"
    sort(out, given, {"1.jpg": "cat"})
    (out / "cat/1.jpg").write_text("edited by hand")
    (out / "cat/2.jpg").mkdir()
    more = write(tmp_path / "in", "1.jpg", "2.jpg")
    done = sort(out, more, {"1.jpg": "cat", "2.jpg": "cat"})
    assert done.copied == 2
    found = tree(out)
    assert found.pop("cat/1.jpg") == "edited by hand"
    assert sorted(found.values()) == ["content of 1.jpg", "content of 2.jpg"]
    assert sort(out, more, {"1.jpg": "cat", "2.jpg": "cat"}).copied == 0


def test_a_link_in_a_class_folder_is_no_copy(tmp_path) -> None:
    """The original may be removed after it was sorted."""
    given, out = write(tmp_path / "in", "1.jpg"), tmp_path / "out"
    sort(out, given, {"1.jpg": None})
    (out / "cat").mkdir()
    (out / "cat/1.jpg").symlink_to(tmp_path / "in/1.jpg")
    assert sort(out, given, {"1.jpg": "cat"}).copied == 1
    (tmp_path / "in/1.jpg").unlink()
    assert [*tree(out).values()] == ["content of 1.jpg"]


def test_classes_of_every_task_that_name_no_folder_are_told(tmp_path) -> None:
    given = write(tmp_path / "in", "1.jpg", "2.jpg")
    tasks = [SimpleNamespace(subtask=n, classes=(f"{n}:x", "plain")) for n in ("a", "b")]
    place = SortedFolder(tmp_path / "out", SimpleNamespace(tasks=tasks), [given], MADE)
    place.begin()
    rows = [("1.jpg", "a", "a:x", False), ("2.jpg", "b", "plain", True)]
    columns = ["id", "subtask", "prediction", "unsure"]
    done = place.fill(pl.DataFrame(rows, schema=columns, orient="row"))
    assert done.renamed == folder_names(["a:x", "b:x"])
    assert (done.files, done.unsure) == (2, 1)
    assert tree(tmp_path / "out") == {
        f"a/{done.renamed['a:x']}/1.jpg": "content of 1.jpg",
        f"b/{UNSURE}/2.jpg": "content of 2.jpg",
    }


def test_equal_files_of_one_name_are_one_copy_and_every_image_of_a_row_is_copied(tmp_path) -> None:
    write(tmp_path / "in", "1.jpg", "2.jpg")
    (tmp_path / "in/again").mkdir()
    shutil.copy(tmp_path / "in/1.jpg", tmp_path / "in/again/1.jpg")
    rows = group(tmp_path / "in", ("row", ("1.jpg", "2.jpg")), ("other", ("again/1.jpg",)))
    done = sort(tmp_path / "out", rows, {"row": "cat", "other": "cat"})
    assert (done.files, done.copied) == (2, 2)
    assert tree(tmp_path / "out").keys() == {"cat/1.jpg", "cat/2.jpg"}


def test_names_that_are_too_long_for_a_copy_are_cut(tmp_path) -> None:
    names = ["é" * 120 + ".jpeg", "n" * 250, "n" * 249 + "m"]
    given, said = write(tmp_path / "in", *names), dict.fromkeys(names, "cat")
    assert sort(tmp_path / "out", given, said).copied == 3
    copies = tree(tmp_path / "out")
    assert all(len(Path(name).name.encode()) <= LONGEST_FILE for name in copies)
    assert set(copies.values()) == {f"content of {name}" for name in names}
    assert [Path(name).suffix for name in copies].count(".jpeg") == 1
    assert sort(tmp_path / "out", given, said).copied == 0


def test_a_stopped_run_leaves_whole_files_and_goes_on(tmp_path, monkeypatch) -> None:
    given = write(tmp_path / "in", "1.jpg", "2.jpg", "3.jpg")
    said, out = dict.fromkeys(("1.jpg", "2.jpg", "3.jpg"), "cat"), tmp_path / "out"
    copy = shutil.copyfile

    def stop(source, target):
        copy(source, target)
        if Path(source).name == "2.jpg":
            raise KeyboardInterrupt

    monkeypatch.setattr(sorted_files.shutil, "copyfile", stop)
    with pytest.raises(KeyboardInterrupt):
        sort(out, given, said)
    monkeypatch.setattr(sorted_files.shutil, "copyfile", copy)
    assert list(tree(out)) == ["cat/1.jpg"]
    assert sort(out, given, said).copied == 2


@pytest.mark.thorough
def test_what_a_killed_process_left_is_removed(tmp_path) -> None:
    given, out = write(tmp_path / "in", "1.jpg"), tmp_path / "out"
    sort(out, given, {"1.jpg": None})
    (out / "cat").mkdir()
    program = (
        "import os, sys; from pathlib import Path; from savs.pipeline.classifying import"
        " sorted_files; sorted_files.os.utime = lambda *args, **more: os._exit(7);"
        " sorted_files._copy(*map(Path, sys.argv[1:]))"
    )  # dies between the content and the name
    dead = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "in/1.jpg", out / "cat"], check=False
    )
    assert dead.returncode == 7
    assert len(list((out / "cat").glob("*.partial*"))) == 1
    assert sort(out, given, {"1.jpg": "cat"}).copied == 1
    assert list(tree(out)) == ["cat/1.jpg"]


def test_a_full_disk_is_one_line_and_finished_copies_stay(tmp_path) -> None:
    given = write(tmp_path / "in", "1.jpg", "2.jpg")
    (tmp_path / "in/2.jpg").write_bytes(bytes(5000))
    said, out = dict.fromkeys(("1.jpg", "2.jpg"), "cat"), tmp_path / "out"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        with pytest.raises(OutputError, match=r"cat cannot be written: .*another `sort_into`$"):
            sort(out, given, said)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tree(out)) == ["cat/1.jpg"]
    assert sort(out, given, said).copied == 1


def test_folders_of_others_are_refused(tmp_path) -> None:
    given = write(tmp_path / "in", "1.jpg")
    with pytest.raises(OutputError, match=r"files that `sort_into` did not make, such as 1\.jpg"):
        sort(tmp_path / "in", given, {"1.jpg": "cat"})
    out = tmp_path / "out"
    sort(out, given, {"1.jpg": "cat"})
    with pytest.raises(OutputError, match=r"sorted by other predictions \(risk differ\)"):
        sort(out, given, {"1.jpg": "cat"}, made=MADE | {"risk": 0.2})
    (out / RECORD).write_text("{")
    with pytest.raises(OutputError, match="cannot be read"):
        sort(out, given, {"1.jpg": "cat"})
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OutputError, match="cannot be written"):
        sort(file, given, {"1.jpg": "cat"})


def test_a_folder_that_leads_elsewhere_is_not_written_to(tmp_path) -> None:
    given, out = write(tmp_path / "in", "1.jpg"), tmp_path / "out"
    sort(out, given, {"1.jpg": None})
    (tmp_path / "elsewhere").mkdir()
    (out / "cat").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="cat is a link to"):
        sort(out, given, {"1.jpg": "cat"})
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["https://host/1.jpg", "val.parquet#3/image", "a.mp4@0.0..4.0"])
def test_images_that_are_no_files_are_refused(tmp_path, name) -> None:
    with pytest.raises(
        ParameterError, match=rf"copies files, and {name} is (a URL|stored in|a window)"
    ):
        sort(tmp_path / "out", group(tmp_path, ("1", (name,))), {"1": "cat"})
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_gone_is_named(tmp_path) -> None:
    given = write(tmp_path / "in", "1.jpg", "2.jpg")
    (tmp_path / "in/1.jpg").unlink()
    done = sort(tmp_path / "out", given, {"1.jpg": "cat", "2.jpg": "cat"})
    assert (done.missing, done.copied) == (("1.jpg",), 1)


@pytest.mark.thorough
def test_copies_inside_an_input_are_refused(tmp_path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(ParameterError, match=r"is inside .*new, so the same command"):
        classify("none", tmp_path / "new", sort_into=tmp_path / "new/sorted")


@pytest.mark.thorough
def test_the_files_of_several_tasks_are_a_level_below(made, calibrated, tmp_path) -> None:
    """A table with two subtasks: its images are sorted by the predictions of each."""
    out = tmp_path / "out.csv"
    done = classify(calibrated, made.table, out=out, risk=0.3, sort_into=tmp_path / "sorted")
    rows = pl.read_csv(out).filter(pl.col("prediction").is_not_null())
    folders = {path.relative_to(tmp_path / "sorted").parts[:2] for path in
               (tmp_path / "sorted").glob("*/*/*")}  # fmt: skip
    said = {
        (row["subtask"], "unsure" if row["unsure"] else row["prediction"])
        for row in rows.iter_rows(named=True)
    }
    assert folders == said
    files = done.sorted_files
    assert files.copied == files.files > 0
    assert 0 < files.unsure < files.files
    again = classify(calibrated, made.table, out=out, risk=0.3, sort_into=tmp_path / "sorted")
    assert (again.rows, again.sorted_files.copied, again.sorted_files.files) == (0, 0, files.files)
