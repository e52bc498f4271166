"""Files that were damaged, decayed or crafted: one clear error each, never a wrong number."""

import h5py
import numpy as np
import pytest
from shard_files import cut_header

from savs.stores import (
    StoreCorruptError,
    StoreError,
    open_store,
)

pytestmark = pytest.mark.thorough


def array_attribute(file):
    file.attrs["number"] = np.array([0, 1])


def time_type(file):
    kind = h5py.h5t.UNIX_D32LE
    space = h5py.h5s.create_simple((2,))
    del file["examples/index"]
    h5py.h5d.create(file["examples"].id, b"index", kind, space)


def scalar_index(file):
    attrs = dict(file["examples/index"].attrs)
    del file["examples/index"]
    file["examples/index"] = np.int64(0)
    file["examples/index"].attrs.update(attrs)


def short_checksums(file):
    file["layers/00002"].attrs["crc32"] = np.zeros(1, np.uint32)


def scalar_checksum(file):
    file["layers/00002"].attrs["crc32"] = np.uint32(0)


def array_checksum(file):
    file["examples/label"].attrs["crc32"] = np.zeros(2, np.uint32)


def odd_names(file):
    file["examples"].create_group(b"\xff\xfe")
    file["examples"].create_group("unknown")


def bad_utf8(file):
    import zlib

    label = file["examples/label"]
    label["bytes"][0] = 0xFF
    parts = [label[n][...].tobytes() for n in ("bytes", "offsets", "valid")]
    label.attrs["crc32"] = np.uint32(zlib.crc32(b"".join(parts)))


def huge(file):
    for name in ("examples/index", "layers/00000", "layers/00002"):
        attrs = dict(file[name].attrs)
        shape = tuple(10**13 if n == 2 else n for n in file[name].shape)
        dtype = file[name].dtype
        if name.startswith("layers"):
            shape = (file[name].shape[0], 10**13, 4)
        del file[name]
        file.create_dataset(name, shape, dtype)
        file[name].attrs.update(attrs)


def test_examples_read_while_incomplete_are_not_kept_for_later(tmp_path, toy) -> None:
    toy.write(tmp_path, only=1)
    store = open_store(tmp_path)
    assert store.examples("train").height == 2
    toy.write(tmp_path)
    assert store.examples("train").height == store.features("train").shape[1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda t: t.replace('"shard_rows": 2', '"shard_rows": Infinity'),
        lambda t: t.replace('"head_dim": 4', '"head_dim": 1e999'),
        lambda t: "[" * 100_000,
    ],
    ids=["infinite", "too large", "too deep"],
)
def test_a_manifest_of_any_bytes_is_refused_by_a_store_error(tmp_path, toy, damage) -> None:
    toy.write(tmp_path)
    path = tmp_path / "store.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(StoreCorruptError):
        open_store(tmp_path)


@pytest.mark.parametrize("value", ["true", "1.0"])
def test_a_format_that_is_no_integer_is_refused(tmp_path, toy, value) -> None:
    toy.write(tmp_path)
    path = tmp_path / "store.json"
    path.write_text(path.read_text().replace('"format": 1,', f'"format": {value},'))
    with pytest.raises(StoreError):
        open_store(tmp_path)


def test_a_split_outside_the_folder_is_refused(tmp_path, toy) -> None:
    toy.write(tmp_path / "s")
    path = tmp_path / "s" / "store.json"
    path.write_text(path.read_text().replace('"train": {', '"../train": {'))
    with pytest.raises(StoreCorruptError):
        open_store(tmp_path / "s")


def test_a_manifest_without_heads_is_refused(tmp_path, toy) -> None:
    import json

    toy.write(tmp_path)
    path = tmp_path / "store.json"
    value = json.loads(path.read_text())
    value["identity"]["heads"] = []
    path.write_text(json.dumps(value))
    with pytest.raises(StoreError):
        open_store(tmp_path).features("train")


def test_a_store_json_that_is_a_folder_is_no_traceback(tmp_path) -> None:
    (tmp_path / "store.json").mkdir()
    with pytest.raises(StoreError):
        open_store(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [array_attribute, time_type, scalar_index, short_checksums, scalar_checksum, array_checksum,
     bad_utf8, odd_names, huge],
)  # fmt: skip
def test_a_crafted_or_decayed_shard_is_refused_by_a_store_error(tmp_path, toy, damage) -> None:
    toy.write(tmp_path)
    cut_header(tmp_path / "train-00000.h5")
    with h5py.File(tmp_path / "train-00000.h5", "r+") as file:
        damage(file)
    with pytest.raises(StoreCorruptError):  # noqa: PT012
        store = open_store(tmp_path)
        store.features("train")
        store.examples("train")


def test_a_skipped_shard_that_lost_its_reasons_is_refused(tmp_path, toy) -> None:
    toy.skip = {"train": {1: "why"}}
    toy.write(tmp_path)
    cut_header(tmp_path / "train-00000.h5")
    with h5py.File(tmp_path / "train-00000.h5", "r+") as file:
        del file["skipped/reason"]
    with pytest.raises(StoreCorruptError):
        open_store(tmp_path).skipped("train")
