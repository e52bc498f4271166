import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from shard_files import rewrite

from savs.stores import StoreCorruptError, open_store
from stores import planned

pytestmark = pytest.mark.thorough

SHARD = "train-00001.h5"
LAYER = "layers/00002"


@pytest.fixture
def folder(tmp_path, toy) -> Path:
    toy.write(tmp_path / "store")
    return tmp_path / "store"


def other_model(folder: Path, toy) -> None:
    toy.write(folder.parent / "other", model="other")
    (folder.parent / "other" / SHARD).rename(folder / SHARD)


def other_examples(folder: Path, toy) -> None:
    rows = {"train": planned("train", 7), "test": planned("test", 3)}
    toy.rows = lambda: rows
    toy.write(folder.parent / "other")
    (folder.parent / "other" / SHARD).rename(folder / SHARD)


def make_folder(folder: Path, toy) -> None:
    (folder / SHARD).unlink()
    (folder / SHARD).mkdir()


def plain_hdf5(folder: Path, toy) -> None:
    with h5py.File(folder / SHARD, "w") as file:
        file["layers/00002"] = np.zeros((3, 2, 4), np.float32)


SHARDS = {
    "text": (
        lambda folder, toy: (folder / SHARD).write_text("hello"),
        "does not end with the index",
    ),
    "empty": (lambda folder, toy: (folder / SHARD).write_bytes(b""), "does not end with the index"),
    "folder": (make_folder, "is a folder, expected a file"),
    "truncated": (
        lambda folder, _: os.truncate(path := folder / SHARD, path.stat().st_size - 1),
        r"does not end with the index of a shard: it is truncated",
    ),
    "longer": (
        lambda folder, _: os.truncate(path := folder / SHARD, path.stat().st_size + 1),
        r"does not end with the index of a shard: .*too long",
    ),
    "HDF5 of others": (plain_hdf5, "not a shard of format 1"),
    "another number": (
        lambda folder, _: shutil.copy(folder / "train-00000.h5", folder / SHARD),
        "number is 0, expected 1",
    ),
    "another split": (
        lambda folder, _: (folder / "test-00001.h5").rename(folder / SHARD),
        "split is 'test', expected 'train'",
    ),
    "another store": (other_model, "identity is "),
    "other examples": (other_examples, "plan is "),
    "no identity": (
        lambda folder, _: rewrite(folder / SHARD, lambda t: t["attributes"].pop("identity")),
        "identity is None",
    ),
    "another format": (
        lambda folder, _: rewrite(folder / SHARD, lambda t: t["attributes"].update(format=2)),
        "format is 2, expected 1",
    ),
}


@pytest.mark.parametrize(("damage", "message"), SHARDS.values(), ids=SHARDS.keys())
def test_a_file_that_is_not_the_planned_shard_is_refused(folder, toy, damage, message) -> None:
    damage(folder, toy)
    store = open_store(folder)
    for read in (lambda: store.features("train"), lambda: store.examples("train")):
        with pytest.raises(StoreCorruptError, match=rf"{SHARD} .*{message}"):
            read()


@pytest.mark.parametrize(
    "byte", [0, 13, 31]
)  # first, some and last byte of a head of 2 x 4 float32
def test_a_flipped_byte_is_found_where_its_head_is_read(folder, toy, byte) -> None:
    with h5py.File(folder / SHARD) as file:
        start = file[LAYER].id.get_offset() + 32  # head 1 follows the 32 bytes of head 0
    data = bytearray((folder / SHARD).read_bytes())
    data[start + byte] ^= 0x10
    (folder / SHARD).write_bytes(data)
    store = open_store(folder)
    with pytest.raises(
        StoreCorruptError, match=f"{SHARD}.*00002 head 1 fails its crc32.*`savs verify --repair`"
    ):
        store.features("train")
    others = store.features("train", [(2, 0), (2, 2)])  # heads that are whole can be read
    np.testing.assert_array_equal(others, toy.values("train", 2)[[0, 2], :5])
