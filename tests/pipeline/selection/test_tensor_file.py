"""The arrays of a selection come back as they were written, or are refused before they are read."""

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from savs.pipeline.readouts.readout import TensorForm
from savs.pipeline.selection.selection_file import read_tensors, write_tensors
from savs.stores import ResultError

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
    with pytest.raises(ResultError, match=r"c does not exist; run `savs select`"):
        read_tensors(tmp_path / "c", FORMS, RUN, "")
