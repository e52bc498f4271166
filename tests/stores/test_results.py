import errno
import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from savs.stores import ResultError, StoreWriteError
from savs.stores.results import (
    SELECT,
    TensorForm,
    copy_result,
    read_json,
    read_table,
    read_tensors,
    results_folder,
    write_json,
    write_table,
    write_tensors,
)

TENSORS = {
    "0.centroids": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7,
    "1.weights": np.float32([[1e-30, -0.0], [np.nan, np.inf]]),
    "labels": np.array([3, 1], dtype=np.int64),
    "nothing": np.zeros((0, 5), dtype=np.float32),
}
FORMS = {name: TensorForm(array.shape, array.dtype.name) for name, array in TENSORS.items()}
RUN = {"run": "r"}


def write_classifier(path: Path) -> str:
    return write_tensors(path, TENSORS, RUN)


def test_results_lie_below_the_store_by_name(tmp_path) -> None:
    assert results_folder(tmp_path, "vote") == tmp_path / "results" / "vote"


def test_tensors_come_back_as_written(tmp_path) -> None:
    path = tmp_path / "results" / "vote" / "classifier.safetensors"
    sha256 = write_classifier(path)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    found = read_tensors(path, FORMS, RUN, sha256)
    assert list(found) == list(TENSORS)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    assert [p.name for p in path.parent.iterdir()] == ["classifier.safetensors"]


def test_tensors_that_are_no_arrays_in_one_piece_are_written_as_such(tmp_path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)[:, ::-1]
    sha256 = write_tensors(tmp_path / "c", {"x": array}, RUN)
    found = read_tensors(tmp_path / "c", {"x": TensorForm((4, 2, 3), "float32")}, RUN, sha256)
    np.testing.assert_array_equal(found["x"], array, strict=True)


FOREIGN = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello"),
    "folder": lambda path: path.mkdir(),
    "pipe": lambda path: os.mkfifo(path),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Trap())),
    "a header of exabytes": lambda path: path.write_bytes(b"\xff" * 400),
    "terabytes without content": lambda path: enlarge(path, 2**40),
    "one byte more": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "one byte less": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "another tensor": lambda path: write_tensors(path, TENSORS | {"y": TENSORS["labels"]}, RUN),
    "a tensor less": lambda path: write_tensors(path, dict(list(TENSORS.items())[1:]), RUN),
    "another shape": lambda path: write_tensors(
        path, TENSORS | {"0.centroids": TENSORS["0.centroids"].reshape(3, 2, 4)}, RUN
    ),
    "another type": lambda path: write_tensors(
        path, TENSORS | {"labels": TENSORS["labels"].view(np.uint64)}, RUN
    ),
    "another run": lambda path: write_tensors(path, TENSORS, {"run": "other"}),
    "no metadata": lambda path: write_tensors(path, TENSORS, {}),
    "another value": lambda path: write_tensors(path, TENSORS | {"labels": np.array([3, 2])}, RUN),
}


class Trap:
    """Makes a folder named `sprung` where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


def enlarge(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_file_that_is_not_what_was_written_is_refused(tmp_path, monkeypatch, make) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "classifier.safetensors"
    sha256 = write_classifier(path)
    if make in (FOREIGN["folder"], FOREIGN["pipe"]):
        path.unlink()
    make(path)
    with pytest.raises(ResultError, match=r"safetensors cannot be read \(.*`savs select`"):
        read_tensors(path, FORMS, RUN, sha256)
    assert [p.name for p in tmp_path.iterdir()] == ["classifier.safetensors"]


def test_sizes_are_checked_before_anything_is_read(tmp_path) -> None:
    # a header of its own says terabytes; config.json says so too, and the file has none of them
    path = tmp_path / "classifier.safetensors"
    shape = [2**20, 2**20]
    header = {"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, 2**42]}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(ResultError, match=r"bytes and a header of .*tensors of 4,398,046,511,104"):
        read_tensors(path, {"x": TensorForm((2**20, 2**20), "float32")}, {}, "")


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(ResultError, match=r"c is not there; `savs select` writes it"):
        read_tensors(tmp_path / "c", FORMS, RUN, "")
    with pytest.raises(ResultError, match=r"c is not there; `savs select` writes it"):
        copy_result(tmp_path / "c", tmp_path / "d", SELECT)


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
    "selection": lambda path: write_classifier(path) and path,
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
