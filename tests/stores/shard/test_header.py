"""The header that a shard begins with: what it says, what it refuses, that HDF5 says the same."""

import io
import json
import zlib
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest
from shard_files import SIGNATURE, cut_header, header, rewrite

from savs.stores import (
    FeatureStore,
    LayerGrid,
    ShardContent,
    StoreCorruptError,
    open_store,
    open_writer,
)
from savs.stores.maintain.verify import verify
from savs.stores.shard.header import FIRST_LINE_BYTES
from savs.stores.shard.sparse import PAGE_BYTES, SparseFile
from stores import columns, identity, planned

SHARD = "train-00001.h5"


@pytest.fixture
def store(tmp_path, toy) -> FeatureStore:
    toy.skip = {"train": {1: "no image"}}
    toy.write(tmp_path / "store")
    return open_store(tmp_path / "store")


def test_a_header_says_what_hdf5_says(store) -> None:
    for path in store.path.glob("*.h5"):
        table, data = header(path), path.read_bytes()
        assert table["bytes"] == len(data)
        with h5py.File(path) as file:
            assert file.userblock_size == data.index(SIGNATURE)
            kept = {n: v.decode() if isinstance(v, bytes) else v for n, v in file.attrs.items()}
            assert table["attributes"] == kept
            for name, (offset, dtype, shape) in table["arrays"].items():
                values = np.ndarray(shape, dtype, data, offset)
                np.testing.assert_array_equal(values, file[name][()], strict=True)
            sums = {n: f"{v:08x}" for n in ("index", "label") for v in [_sum(file, n)]}
            assert {n: table["crc32"][f"examples/{n}"] for n in sums} == sums
            layer = file["layers/00002"].attrs["crc32"]
            assert table["crc32"]["layers/00002"] == "".join(f"{v:08x}" for v in layer)


def _sum(file: h5py.File, name: str) -> int:
    return int(file[f"examples/{name}"].attrs["crc32"])


def test_a_shard_is_the_same_without_its_header(store) -> None:
    before = [store.features("train"), store.examples(), store.skipped()]
    for path in store.path.glob("*.h5"):
        cut_header(path)
    plain = open_store(store.path)
    np.testing.assert_array_equal(plain.features("train"), before[0], strict=True)
    assert plain.examples().equals(before[1])
    assert plain.skipped().equals(before[2])


@pytest.mark.thorough
@pytest.mark.parametrize("byte", [0, 5, 11, 12, 19, 20, 22, 28, 29, 30, 200, -1])
def test_a_changed_byte_of_a_header_is_never_another_value(store, byte) -> None:
    path = store.path / SHARD
    data, length = (
        bytearray(path.read_bytes()),
        len(json.dumps(header(path), separators=(",", ":"))),
    )
    data[byte if byte >= 0 else FIRST_LINE_BYTES + length - 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreCorruptError, match=rf"{SHARD}.* header"):
        open_store(store.path).features("train")
    assert [p.file for p in verify(store.path, quick=True).problems] == [SHARD]


def place(name: str, value: list[Any]) -> Callable[[dict[str, Any]], object]:
    return lambda table: table["arrays"].update({name: value})


LAYER = "layers/00002"
CRAFTED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "behind the end": (place(LAYER, [2**40, "<f4", [3, 2, 4]]), "does not lie within"),
    "before the beginning": (place(LAYER, [-8, "<f4", [3, 2, 4]]), "does not lie within"),
    "between two bytes": (place(LAYER, [8.5, "<f4", [3, 2, 4]]), "does not lie within"),
    "nowhere": (place(LAYER, [None, "<f4", [3, 2, 4]]), "is damaged: TypeError"),
    "without a type": (place(LAYER, [8, [3, 2, 4]]), "is damaged: TypeError"),
    "huge": (place(LAYER, [8, "<f4", [3, 2, 10**15]]), r"expected \[3, 2, 4\] <f4"),
    "negative": (place(LAYER, [8, "<f4", [3, 2, -4]]), r"expected \[3, 2, 4\] <f4"),
    "objects": (place(LAYER, [8, "|O", [3, 2, 4]]), r"holds \[3, 2, 4\] \|O, expected"),
    "another byte order": (place(LAYER, [8, ">f4", [3, 2, 4]]), "holds .* >f4, expected"),
    "another place": (place(LAYER, [8, "<f4", [3, 2, 4]]), "head 0 fails its crc32"),
    "no layer": (lambda table: table["arrays"].pop(LAYER), "is missing"),
    "no crc32": (lambda table: table["crc32"].pop(LAYER), "is damaged: KeyError"),
    "too few crc32": (
        lambda table: table["crc32"].update({LAYER: "0" * 16}),
        "is damaged: ValueError",
    ),
    "no arrays": (lambda table: table.pop("arrays"), "is missing"),
    "no bytes": (lambda table: table.pop("bytes"), "the header is damaged: KeyError"),
    "other bytes": (lambda table: table.update(bytes=1), "is too long: it has"),
    "no attributes": (lambda table: table.pop("attributes"), "attribute format is damaged"),
    "no object": (lambda table: table.clear(), "header is damaged"),
}


@pytest.mark.thorough
@pytest.mark.parametrize(("change", "message"), CRAFTED.values(), ids=CRAFTED.keys())
def test_a_crafted_header_is_refused(store, change, message) -> None:
    rewrite(store.path / SHARD, change)
    with pytest.raises(StoreCorruptError, match=rf"{SHARD}.*{message}"):
        open_store(store.path).features("train")


def test_a_header_of_another_text_is_refused(store) -> None:
    path = store.path / SHARD
    for text in (b"[" * 1000, b"[]", b"\xff\xff"):
        data = path.read_bytes()
        line = b"savs-header %08d %08x\n" % (len(text), zlib.crc32(text))
        path.write_bytes(line + text + data[len(line + text) :])
        with pytest.raises(StoreCorruptError, match=rf"{SHARD}: the header is damaged"):
            open_store(store.path).features("train")


def test_verify_finds_that_hdf5_says_something_else(tmp_path, toy) -> None:
    toy.write(tmp_path, only=1)  # no seal, whose SHA-256 would find it
    path = tmp_path / "train-00000.h5"
    with h5py.File(path, "r+") as file:
        file["examples/label"].attrs["crc32"] = np.uint32(0)
    (problem,) = [p for p in verify(tmp_path).problems if p.file == path.name]
    assert (problem.kind, "declares other arrays or heads" in problem.what) == ("damaged", True)
    path.write_bytes(path.read_bytes().replace(SIGNATURE, bytes(8)))
    (problem,) = [p for p in verify(tmp_path).problems if p.file == path.name]
    assert (problem.kind, "cannot be opened as HDF5" in problem.what) == ("damaged", True)
    assert open_store(tmp_path, partial=True).features("train").shape == (5, 2, 4)


@pytest.mark.thorough
@pytest.mark.parametrize("heads", [1, 3000])
def test_a_header_has_the_room_that_it_needs(tmp_path, toy, heads) -> None:
    toy.grid = (LayerGrid(0, tuple(range(heads)), 2),)
    content = toy.content

    def long_run(spec):
        found = content(spec)
        return type(found)(found.layers, found.examples, found.skipped, {"note": "x" * 9_000})

    toy.content = long_run
    toy.write(tmp_path)
    path = tmp_path / "train-00000.h5"
    assert path.read_bytes().index(SIGNATURE) == (16_384 if heads == 1 else 65_536)
    store = open_store(tmp_path)
    np.testing.assert_array_equal(store.features("train"), toy.values("train", 0)[:, :5])
    assert verify(tmp_path).problems == ()


def test_layers_of_some_size_begin_with_a_page(tmp_path) -> None:
    grid = (LayerGrid(0, (0, 1), 4), LayerGrid(1, (0,), 4096), LayerGrid(2, (0,), 4096))
    plan = {"train": planned("train", 8)}
    with open_writer(tmp_path, identity(grid=grid), plan) as writer:
        spec = writer.missing()[0]
        nothing = columns("train", []) | {"reason": []}
        layers = {g.layer: np.ones((len(g.heads), 8, g.head_dim), np.float32) for g in grid}
        writer.write(spec, ShardContent(layers, columns("train", [{}] * 8), nothing, {}))
    arrays = header(tmp_path / "train-00000.h5")["arrays"]
    assert [arrays[f"layers/0000{n}"][0] % 4096 for n in (1, 2)] == [0, 0]


def test_a_sparse_file_is_a_file() -> None:
    sparse, plain = SparseFile(), io.BytesIO()
    rng = np.random.default_rng(0)
    for _ in range(40):
        start, data = int(rng.integers(3 * PAGE_BYTES)), rng.bytes(int(rng.integers(PAGE_BYTES)))
        for file in (sparse, plain):
            file.seek(start)
            assert file.write(data) == len(data)
    assert sparse.seek(0, io.SEEK_END) == plain.seek(0, io.SEEK_END)
    for file in (sparse, plain):
        file.truncate(2 * PAGE_BYTES + 7)
        file.seek(5)
    assert sparse.read(PAGE_BYTES) == plain.read(PAGE_BYTES)
    assert sparse.read() == plain.read()
    assert sparse.read(1) == b""


def test_a_sparse_file_takes_room_for_what_was_written() -> None:
    file = SparseFile()
    file.seek(2**50)
    file.write(b"end")
    file.seek(2**50 - 2)
    assert file.read() == b"\0\0end"
