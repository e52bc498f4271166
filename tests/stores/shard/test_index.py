"""The index that a shard ends in: what it says, what it refuses, that HDF5 says the same."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from shard_files import TRAILER_BYTES, craft, index, index_bytes, index_start, rewrite

from savs.stores import (
    FeatureStore,
    LayerGrid,
    StoreCorruptError,
    open_store,
)
from savs.stores.files.raw_file import RawFile
from savs.stores.format.layout import EXAMPLE_COLUMNS
from savs.stores.maintain.verify import verify
from savs.stores.shard.index import read_index, write_index
from stores import identity, write_store

SHARD = "train-00001.h5"


@pytest.fixture
def store(tmp_path, toy) -> FeatureStore:
    toy.skip = {"train": {1: "no image"}}
    toy.write(tmp_path / "store")
    return open_store(tmp_path / "store")


STORED = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", STORED)
def test_an_index_says_what_hdf5_says(tmp_path, toy, dtype) -> None:
    toy.dtype, toy.skip = dtype, {"train": {1: "no image"}}
    toy.write(tmp_path)
    for path in tmp_path.glob("*.h5"):
        table, data = index(path), path.read_bytes()
        with h5py.File(path) as file:
            assert file["index"][()].tobytes() == data[index_start(data) :]
            kept = {n: v.decode() if isinstance(v, bytes) else v for n, v in file.attrs.items()}
            assert table["attributes"] == kept
            assert (kept["dtype"], file["layers/00002"].dtype) == (dtype, STORED[dtype])
            assert file["layers/00002"].attrs["heads"].tolist() == [0, 1, 2]
            assert set(file["examples"]) == set(EXAMPLE_COLUMNS)
            names: list[str] = []
            file.visititems(lambda n, m, to=names: to.append(n) if hasattr(m, "shape") else None)
            assert {*names} == {*table["arrays"], "index"}
            for name, (offset, kind, shape, _) in table["arrays"].items():
                values = np.ndarray(shape, kind, data, offset)
                np.testing.assert_array_equal(values, file[name][()], strict=True)


@pytest.mark.thorough
def test_every_changed_byte_of_an_index_is_refused(store) -> None:
    path = store.path / SHARD
    data = path.read_bytes()
    start = index_start(data)
    places = [*range(start, start + 700, 7), *range(len(data) - TRAILER_BYTES, len(data))]
    for place in places:
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(StoreCorruptError, match=rf"{SHARD}.*index"):
            open_store(store.path).features("train")
    assert [p.file for p in verify(store.path, quick=True).problems] == [SHARD]


def array(name: str, value: list[Any]) -> Callable[[dict[str, Any]], object]:
    return lambda table: table["arrays"].update({name: value})


LAYER, ZEROS = "layers/00002", "0" * 24
CRAFTED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "after the end": (array(LAYER, [2**39, "<f4", [3, 2, 4], ZEROS]), "is not within"),
    "before the beginning": (array(LAYER, [-8, "<f4", [3, 2, 4], ZEROS]), "index is damaged"),
    "between two bytes": (array(LAYER, [8.5, "<f4", [3, 2, 4], ZEROS]), "index is damaged"),
    "nowhere": (array(LAYER, [None, "<f4", [3, 2, 4], ZEROS]), "index is damaged"),
    "without a type": (array(LAYER, [8, [3, 2, 4], ZEROS]), "index is damaged"),
    "huge": (array(LAYER, [8, "<f4", [3, 2, 10**9], ZEROS]), r"expected \[3, 2, 4\] <f4"),
    "negative": (array(LAYER, [8, "<f4", [3, 2, -4], ZEROS]), "index is damaged"),
    "objects": (array(LAYER, [8, "|O", [3, 2, 4], ZEROS]), r"holds \(3, 2, 4\) \|O, expected"),
    "another byte order": (array(LAYER, [8, ">f4", [3, 2, 4], ZEROS]), "holds .* >f4, expected"),
    "another array's bytes": (array(LAYER, [8, "<f4", [3, 2, 4], ZEROS]), "head 0 fails its crc32"),
    "no layer": (lambda table: table["arrays"].pop(LAYER), "is missing"),
    "too few crc32": (
        lambda table: table["arrays"][LAYER].__setitem__(3, ZEROS[:16]),
        "is damaged: ValueError",
    ),
    "no arrays": (lambda table: table.pop("arrays"), "index is damaged"),
    "no attributes": (lambda table: table.pop("attributes"), "index is damaged"),
    "no object": (lambda table: table.clear(), "index is damaged"),
}


@pytest.mark.thorough
@pytest.mark.parametrize(("change", "message"), CRAFTED.values(), ids=CRAFTED.keys())
def test_a_crafted_index_is_refused(store, change, message) -> None:
    rewrite(store.path / SHARD, change)
    with pytest.raises(StoreCorruptError, match=rf"{SHARD}.*{message}"):
        open_store(store.path).features("train")


ENDS = {
    **{str(text[:9]): (index_bytes(text), "is damaged") for text in (b"[" * 5000, b"[]")},
    "no text": (index_bytes(b"\xff\xff"), "is damaged"),
    "another text": (index_bytes(b'{"attributes":[]}'), "is damaged"),
    **{
        f"length {length}": (b"savs-index %08d 00000000\n" % length, "index")
        for length in (0, 2**22 + 1, 99_999_999)
    },
}


@pytest.mark.parametrize(("end", "message"), ENDS.values(), ids=ENDS.keys())
def test_an_index_of_another_text_or_a_false_length_is_refused(store, end, message) -> None:
    path = store.path / SHARD
    data = path.read_bytes()
    kept = len(data) - TRAILER_BYTES if message == "index" else index_start(data)
    path.write_bytes(data[:kept] + end)
    with pytest.raises(StoreCorruptError, match=rf"{SHARD}.*{message}"):
        open_store(store.path).features("train")


def test_verify_finds_that_hdf5_says_something_else(tmp_path, toy) -> None:
    toy.write(tmp_path, only=1)  # no seal, whose SHA-256 would find it
    path = tmp_path / "train-00000.h5"
    craft(path, lambda file: file["layers/00000"].attrs.modify("heads", np.uint32([1, 0])))
    (problem,) = [p for p in verify(tmp_path).problems if p.file == path.name]
    assert (problem.kind, "other arrays, attributes or heads" in problem.what) == ("damaged", True)
    path.write_bytes(path.read_bytes().replace(b"\x89HDF\r\n\x1a\n", bytes(8)))
    (problem,) = [p for p in verify(tmp_path).problems if p.file == path.name]
    assert (problem.kind, "HDF5 structure is damaged" in problem.what) == ("damaged", True)
    assert open_store(tmp_path, partial=True).features("train").shape == (5, 2, 4)


@pytest.mark.thorough
@pytest.mark.parametrize("heads", [1, 3000])
@pytest.mark.parametrize("rows", [1, 2])
def test_the_index_ends_the_file_whatever_its_size(tmp_path, toy, heads, rows) -> None:
    toy.grid = (LayerGrid(0, tuple(range(heads)), 2),)
    toy.shard_rows = rows
    content = toy.content

    def long_run(spec):
        found = content(spec)
        return type(found)(found.layers, found.examples, found.skipped, {"note": "x" * 9_000})

    toy.content = long_run
    toy.write(tmp_path)
    data = (tmp_path / "train-00000.h5").read_bytes()
    assert len(data) - index_start(data) > 9_000 + 8 * heads
    store = open_store(tmp_path)
    np.testing.assert_array_equal(store.features("train"), toy.values("train", 0)[:, :5])
    assert verify(tmp_path).problems == ()


@pytest.mark.parametrize("length", [2**14 - 30, 2**14 - 29, 2**14 - 28, 2**14, 2**14 + 1])
def test_an_index_about_as_long_as_what_is_read_at_once_is_read(tmp_path, length) -> None:
    """Its text, `length` bytes, has a trailer of 29 after it; 2**14 bytes are read at once."""
    empty = b'{"attributes":{"note":""},"arrays":{}}'
    note = "x" * (length - len(empty))
    path = tmp_path / "train-00000.h5"
    path.write_bytes(b"features" * 2000 + write_index({"note": note}, {}).tobytes())
    assert path.stat().st_size == 16_000 + length + TRAILER_BYTES
    with RawFile(path) as file:
        assert read_index(file).table.attributes == {"note": note}


def test_a_file_that_comes_in_pieces_is_read_whole(tmp_path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(range(100)))
    with RawFile(path) as file:
        inner, values = file.file, np.empty((5, 4), np.uint32)
        file.file = SimpleNamespace(
            seek=inner.seek, readinto=lambda data: inner.readinto(memoryview(data).cast("B")[:7])
        )
        file.fill(values, 10)
        assert values.tobytes() == bytes(range(10, 90))
        with pytest.raises(StoreCorruptError, match="x ends 10 bytes early; "):
            file.fill(values, 30)
        file.file = inner


def test_layers_of_some_size_begin_with_a_page(tmp_path) -> None:
    grid = (LayerGrid(0, (0, 1), 4), LayerGrid(1, (0,), 4096), LayerGrid(2, (0,), 4096))
    layers = {g.layer: np.ones((len(g.heads), 8, g.head_dim), np.float32) for g in grid}
    write_store(tmp_path, identity(grid=grid), {"train": layers}, {"train": [{"label": "a"}] * 8})
    arrays = index(tmp_path / "train-00000.h5")["arrays"]
    assert [arrays[f"layers/0000{n}"][0] % 4096 for n in (1, 2)] == [0, 0]


def test_a_shard_that_is_written_again_while_it_is_read_is_refused(tmp_path, toy) -> None:
    toy.skip = {"train": {1: "no image"}}
    toy.write(tmp_path)
    store = open_store(tmp_path)
    assert store.examples("train").height == 4
    toy.skip = {}
    toy.write(tmp_path / "other")
    (tmp_path / "other" / "train-00000.h5").replace(tmp_path / "train-00000.h5")
    with pytest.raises(ValueError, match=r"train-00000\.h5 changed while it was read"):
        store.features("train")
    assert open_store(tmp_path).features("train").shape[1] == 5
