import errno
import json
import os
import pickle

import numpy as np
import polars as pl
import pytest

from savs.stores import ResultError, StoreWriteError
from savs.stores.results import (
    read_json,
    read_selection,
    read_table,
    results_folder,
    write_json,
    write_selection,
    write_table,
)

HEADER = {"readout": "vote", "classes": ["数据", "b\n"], "heads": [[12, 7]], "scores": [0.1, None]}
ARRAYS = {
    "0.centroids": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7,
    "1.weights": np.array([[1e-300, -0.0], [np.nan, np.inf]]),
    "counts": np.array([3, 1], dtype=np.int64),
    "nothing": np.zeros((0, 5), dtype=np.float16),
    "flag": np.array(True),
}


def test_results_lie_below_the_store_by_name(tmp_path) -> None:
    assert results_folder(tmp_path, "vote") == tmp_path / "results" / "vote"


def test_a_selection_comes_back_as_written(tmp_path) -> None:
    path = tmp_path / "results" / "vote" / "selection.npz"
    assert write_selection(path, HEADER, ARRAYS) == path
    header, arrays = read_selection(path)
    assert header == HEADER
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)
    assert [p.name for p in path.parent.iterdir()] == ["selection.npz"]


def test_a_selection_is_an_npz_without_pickle(tmp_path) -> None:
    path = write_selection(tmp_path / "selection.npz", HEADER, ARRAYS)
    with np.load(path, allow_pickle=False) as file:
        assert {file[name].dtype.hasobject for name in file.files} == {False}


def test_a_selection_without_arrays_comes_back(tmp_path) -> None:
    assert read_selection(write_selection(tmp_path / "s.npz", {}, {})) == ({}, {})


class Trap:
    """Makes a folder named `sprung` where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


def npz(path, **arrays) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)


FOREIGN = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello"),
    "folder": lambda path: path.mkdir(),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Trap())),
    "pickle in npz": lambda path: npz(path, header=np.array([Trap()], dtype=object)),
    "no header": lambda path: npz(path, x=np.zeros(2)),
    "header is no JSON": lambda path: npz(path, header=np.frombuffer(b"{", dtype=np.uint8)),
    "header is no UTF-8": lambda path: npz(path, header=np.frombuffer(b'"\xff"', dtype=np.uint8)),
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_file_is_no_selection(tmp_path, monkeypatch, make) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "selection.npz")
    with pytest.raises(ResultError, match=r"selection\.npz is no selection file .*`savs select`"):
        read_selection(tmp_path / "selection.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["selection.npz"]


def test_a_missing_selection_is_named(tmp_path) -> None:
    with pytest.raises(ResultError, match=r"selection\.npz is not there; `savs select` writes it"):
        read_selection(tmp_path / "selection.npz")


def test_metrics_come_back_as_written(tmp_path) -> None:
    metrics = {"accuracy": {"value": 2 / 3, "interval": [0.1, None]}, "classes": ["数据", "\n"]}
    path = write_json(tmp_path / "new" / "metrics.json", metrics)
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
    path = write_table(tmp_path / "new" / "predictions.parquet", frame)
    found = read_table(path, frame.columns)
    assert found.schema == frame.schema
    assert found.equals(frame)
    assert read_table(path, ["margin"]).columns == ["margin"]


def test_a_table_without_a_column_is_named(tmp_path) -> None:
    path = write_table(tmp_path / "units.parquet", pl.DataFrame({"id": ["a"]}))
    with pytest.raises(
        ResultError, match=r"units\.parquet cannot be read .*score.*; make it again"
    ):
        read_table(path, ["id", "score"])


WRITERS = {
    "selection": lambda path: write_selection(path, HEADER, ARRAYS),
    "metrics": lambda path: write_json(path, {"a": 1}),
    "predictions": lambda path: write_table(path, pl.DataFrame({"id": ["a"]})),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_writing_again_replaces_the_whole_file(tmp_path, write) -> None:
    path = tmp_path / "result"
    expected = write(path).read_bytes()
    path.write_bytes(b"old" * 10_000)
    assert write(path).read_bytes() == expected


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
@pytest.mark.parametrize("step", ["write", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path, monkeypatch, write, step
) -> None:
    path = tmp_path / "result"
    path.write_bytes(b"old")

    def refuse(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    def write_half_and_refuse(partial, content):
        partial.open("wb").close()
        refuse()

    owner, name = (type(path), "write_bytes") if step == "write" else (os, "replace")
    monkeypatch.setattr(owner, name, write_half_and_refuse if step == "write" else refuse)
    with pytest.raises(StoreWriteError, match=r"result cannot be written: No space left on device"):
        write(path)
    monkeypatch.undo()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("result", b"old")]


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_a_place_that_cannot_hold_a_file_is_refused(tmp_path, write) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreWriteError, match="below/result cannot be written: Not a directory"):
        write(tmp_path / "file" / "below" / "result")
    (tmp_path / "folder").mkdir()
    with pytest.raises(
        StoreWriteError, match="folder cannot be written: Is a directory; give --out"
    ):
        write(tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
