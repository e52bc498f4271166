import errno
import hashlib
import json
import os
import resource
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from savs.pipeline.running.result_files import (
    METRICS,
    SELECT,
    copy_result,
    read_json,
    read_table,
    require_no_own_file,
    require_writable,
    withdraw,
    write_json,
    write_table,
    writing,
)
from savs.pipeline.selection.selection_file import write_tensors
from savs.stores import ResultError, StoreWriteError


def test_a_missing_file_is_named(tmp_path) -> None:
    for call in (read_json, lambda path, _: copy_result(path, tmp_path / "d")):
        with pytest.raises(ResultError, match=r"c does not exist; run `savs select`"):
            call(tmp_path / "c", SELECT)


def test_a_file_of_a_result_or_a_store_is_refused_and_one_of_its_name_is_not(tmp_path) -> None:
    paths = [tmp_path / name for name in ("predictions.parquet", "train-00000.h5")]
    for path, mark in zip(paths, ("config.json", "store.json"), strict=True):
        path.touch()
        require_no_own_file(path)  # it belongs to nothing of ours
        path.unlink()
        (tmp_path / mark).touch()
        require_no_own_file(path)  # there is none
        path.touch()
        with pytest.raises(StoreWriteError, match="a part of a store or of a result"):
            require_no_own_file(path)
        (tmp_path / mark).unlink()


@pytest.mark.parametrize("others", [[], [METRICS, "theirs.txt"]], ids=["alone", "shared"])
def test_a_failed_result_leaves_nothing_of_its_own_and_all_of_others(tmp_path, others) -> None:
    folder = tmp_path / "vote"

    def fail() -> None:
        with writing(folder) as new:
            write_json(new / METRICS, {"by": "us"})
            for file in others:  # of another process
                (tmp_path / "new").write_text("theirs")
                (tmp_path / "new").replace(folder / file)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    left = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == dict.fromkeys(others, "theirs")
    assert [path for path in tmp_path.rglob("*") if path.is_dir()] == ([folder] if others else [])


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', '{"a":' * 9999, b"\xff"],
    ids=lambda text: repr(text[:9]),
)
def test_what_is_no_json_object_is_refused(tmp_path, text) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ResultError, match=r"config\.json cannot be read \(.*`savs select`"):
        read_json(path, SELECT)


def test_metrics_come_back_as_written(tmp_path) -> None:
    metrics = {"accuracy": {"value": 2 / 3, "interval": [0.1, None]}, "classes": ["数据", "\n"]}
    path = tmp_path / "new" / "metrics.json"
    assert write_json(path, metrics) == hashlib.sha256(path.read_bytes()).hexdigest()
    text = path.read_text("utf-8")
    assert json.loads(text) == read_json(path) == metrics
    assert "数据" in text
    assert text.endswith("}\n")


def test_tables_come_back_as_written(tmp_path) -> None:
    frame = pl.DataFrame(
        {
            "id": ["a", "数据"],
            "correct": [True, None],
            "margin": [0.25, float("nan")],
            "votes": [[{"class": "b", "score": 1.5}], []],
        }
    )
    path = tmp_path / "new" / "predictions.parquet"
    assert write_table(path, frame) == hashlib.sha256(path.read_bytes()).hexdigest()
    found = read_table(path, frame.schema)
    assert found.schema == frame.schema
    assert found.equals(frame)
    assert read_table(path, pl.Schema({"margin": pl.Float64()})).columns == ["margin"]


def test_a_table_without_a_column_is_named(tmp_path) -> None:
    path = tmp_path / "units.parquet"
    write_table(path, pl.DataFrame({"id": ["a"]}))
    with pytest.raises(
        ResultError, match=r"units\.parquet cannot be read .*score.*; run `savs evaluate` again"
    ):
        read_table(path, pl.Schema({"id": pl.String(), "score": pl.Float64()}))


def test_a_table_with_an_empty_cell_is_refused_where_all_are_filled(tmp_path) -> None:
    path, frame = tmp_path / "units.parquet", pl.DataFrame({"id": ["a", None], "n": [1, 2]})
    write_table(path, frame)
    assert read_table(path, frame.schema, filled=["n"]).equals(frame)
    with pytest.raises(ResultError, match=r"column 'id' has an empty cell\); run `savs select` ag"):
        read_table(path, frame.schema, filled=["n", "id"], command=SELECT)


def test_a_file_that_is_withdrawn_goes_with_the_new_result(tmp_path) -> None:
    (tmp_path / METRICS).write_text("old")
    (tmp_path / "submission.json").write_text("old")
    with writing(tmp_path) as new:
        write_json(new / METRICS, {"a": 1})
        write_json(new / "submission.json", {"b": 1})
        withdraw(new / "submission.json")
        assert (tmp_path / "submission.json").exists()  # until all are there
    assert [file.name for file in tmp_path.iterdir()] == [METRICS]


def test_a_folder_that_cannot_be_written_is_said_before_the_work(tmp_path, monkeypatch) -> None:
    require_writable(tmp_path / "new" / "deep")
    (tmp_path / "file").touch()
    with pytest.raises(StoreWriteError, match="file/x cannot be written: Not a directory"):
        require_writable(tmp_path / "file" / "x")
    monkeypatch.setattr(os, "access", lambda *of: False)
    with pytest.raises(StoreWriteError, match="new cannot be written: Permission denied"):
        require_writable(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_file_that_cannot_be_written_is_named_where_it_was_to_be(tmp_path) -> None:
    folder = tmp_path / "vote"

    def fail() -> None:
        with writing(folder) as new:
            (new / "file").touch()
            write_json(new / "file" / METRICS, {})

    with pytest.raises(
        StoreWriteError, match=f"^{folder}/file/{METRICS} cannot be written: File exists"
    ):
        fail()
    assert not folder.exists()


WRITERS = {
    "selection": lambda path: write_tensors(path, {"x": np.ones(9)}, {"run": "r"}),
    "metrics": lambda path: write_json(path, {"a": 1}),
    "predictions": lambda path: write_table(path, pl.DataFrame({"id": ["a"]})),
}


@pytest.mark.parametrize("name", ["~", os.fsdecode(b"\xff"), "*"], ids=["home", "bytes", "glob"])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_a_name_is_taken_as_it_is(tmp_path, monkeypatch, write, name) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(name) / name)
    assert [*Path().rglob("*")] == [Path(name), Path(name) / name]


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, write) -> None:
    path = tmp_path / "result"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, limits[1]))  # bytes of a file of this process
    try:
        with pytest.raises(StoreWriteError, match="result cannot be written: File too large; pass"):
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("result", b"old")]


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, write) -> None:
    path = tmp_path / "result"
    path.write_bytes(b"old" * 10_000)

    def refuse(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StoreWriteError, match=r"result cannot be written: No space left on device"):
        write(path)
    monkeypatch.undo()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("result", b"old" * 10_000)]
    write(tmp_path / "new")
    write(path)  # replaces the whole file
    assert path.read_bytes() == (tmp_path / "new").read_bytes()


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_a_place_that_cannot_hold_a_file_is_refused(tmp_path, write) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreWriteError, match="below/result cannot be written: Not a directory"):
        write(tmp_path / "file" / "below" / "result")
    (tmp_path / "folder").mkdir()
    with pytest.raises(
        StoreWriteError, match="folder cannot be written: Is a directory; pass a writable folder"
    ):
        write(tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
