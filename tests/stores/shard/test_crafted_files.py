"""Selections that were damaged or crafted: one clear error each."""

import numpy as np
import pytest

from savs.stores import ResultError
from savs.stores.results import read_selection, write_selection

pytestmark = pytest.mark.thorough


def test_an_npy_file_is_no_selection(tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(ResultError):
        read_selection(tmp_path / "x.npy")


def test_a_truncated_selection_leaks_no_open_file(tmp_path) -> None:
    import gc

    path = write_selection(tmp_path / "s.npz", {}, {"x": np.arange(30.0)})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ResultError):
        read_selection(path)
    gc.collect()


def test_a_selection_zip_with_odd_flags_is_no_selection(tmp_path) -> None:
    path = write_selection(tmp_path / "s.npz", {}, {"x": np.arange(30.0)})
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\1\2")
    for place, value in ((start + 10, 99), (8, 99)):  # compression method in both headers
        data[place] = value
    path.write_bytes(data)
    with pytest.raises(ResultError):
        read_selection(path)


def test_objects_are_refused_when_written_not_when_read(tmp_path) -> None:
    with pytest.raises((ResultError, ValueError, TypeError)):
        write_selection(tmp_path / "s.npz", {}, {"x": np.array([{}], dtype=object)})


def test_an_array_named_like_the_header_is_refused(tmp_path) -> None:
    with pytest.raises((ResultError, ValueError)):
        write_selection(tmp_path / "s.npz", {"a": 1}, {"header": np.zeros(2)})
