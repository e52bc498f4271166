"""Shards and stores of an attacker, who can make any checksum: refused, without a large array."""

import json
import os
from pathlib import Path

import fuzzing
import h5py
import numpy as np
import pytest
from shard_files import cut_header, rewrite

import savs.stores.shard.shard_file
from savs.stores import StoreCorruptError, StoreReadError, open_store
from savs.stores.format.layout import digest
from savs.stores.maintain.verify import verify

pytestmark = pytest.mark.thorough

INDEX, PART, OUTPUT = "examples/index", "examples/label/bytes", "outputs/answers"
SHAPES = {
    "a float": (INDEX, "<i8", [4.0]),
    "a truth": (PART, "|u1", [True]),
    "null": (PART, "|u1", [None]),
    "no list": (PART, "|u1", 2),
    "negative": (PART, "|u1", [-1]),
    "beyond the file": (PART, "|u1", [10**30]),
    "a float behind a row": (OUTPUT, "<f4", [4, 2.0]),
    "three axes": (OUTPUT, "<f4", [4, 1, 2]),
    "many types": (PART, "i4," * 900, [2]),
    "no type": (PART, None, [2]),
}


@pytest.fixture
def shard(tmp_path) -> Path:
    """Return the only shard of an unsealed store, with skipped examples and all outputs."""
    fuzzing.write_original(tmp_path)
    return tmp_path / fuzzing.SHARD


@pytest.mark.parametrize(("name", "dtype", "shape"), SHAPES.values(), ids=SHAPES.keys())
def test_a_shape_or_type_is_refused_by_all_that_read_it(shard, name, dtype, shape) -> None:
    rewrite(shard, lambda table: table["arrays"].update({name: [8, dtype, shape]}))
    store = open_store(shard.parent)
    read = {INDEX: lambda: store.features("train"), PART: lambda: store.examples("train")}
    with pytest.raises(StoreCorruptError, match=rf"{shard.name}:/{name} ") as caught:
        read.get(name, lambda: store.output("train", "answers"))()
    assert len(str(caught.value)) < 500
    assert [problem.file for problem in verify(shard.parent).problems] == [shard.name]


def test_text_that_overlaps_is_refused(shard) -> None:
    with h5py.File(shard, "r+") as file:
        label = file["examples/label"]
        label["offsets"][...] = [0, 3, 0, 3, 4]
        parts = [label[n][...] for n in ("bytes", "offsets", "valid")]
        checksum = savs.stores.shard.shard_file.crc32(*parts)
        label.attrs["crc32"] = np.uint32(checksum)
    rewrite(shard, lambda t: t["crc32"].update({"examples/label": f"{checksum:08x}"}))
    with pytest.raises(
        StoreCorruptError, match=r"examples/label/offsets do not ascend from 0 to 4"
    ):
        open_store(shard.parent).examples("train")


@pytest.mark.parametrize("width", [10**12, 2**62, -4, 0])
def test_a_width_of_store_json_is_compared_before_room_is_made(shard, width) -> None:
    path = shard.parent / "store.json"
    value = json.loads(path.read_text())
    value["identity"]["heads"][0]["head_dim"] = width
    value["check"] = digest({k: v for k, v in value.items() if k != "check"})
    path.write_text(json.dumps(value))
    with pytest.raises(StoreCorruptError):
        open_store(shard.parent).features("train")


def test_no_regular_file_is_opened(shard) -> None:
    shard.unlink()
    os.mkfifo(shard)  # opening it would wait for a writer
    with pytest.raises(StoreCorruptError, match=r"is no regular file, not a shard; move it away"):
        open_store(shard.parent).features("train")
    shard.unlink()
    shard.symlink_to("/dev/zero")
    with pytest.raises(StoreCorruptError, match=r"is no regular file"):
        open_store(shard.parent).features("train")


def external_link(file: h5py.File) -> None:
    file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file: h5py.File) -> None:
    file["examples/elsewhere"] = h5py.SoftLink("/layers")


def other_heads(file: h5py.File) -> None:
    file["layers/00002"].attrs["heads"] = np.array([2, 1, 0], np.uint32)


def more_attributes(file: h5py.File) -> None:
    file.attrs["note"] = "any text"


def a_note_on_a_layer(file: h5py.File) -> None:
    file["layers/00002"].attrs["note"] = 1


def a_loop(file: h5py.File) -> None:
    file["examples/loop"] = file["examples"]


def ways_without_number(file: h5py.File) -> None:
    group = file["skipped"]
    for _ in range(60):  # 2 ** 60 names
        below = group.create_group("one")
        group["two"] = below
        group = below


def nothing(file: h5py.File) -> None:
    pass


@pytest.mark.timeout(60)
@pytest.mark.parametrize("has_header", [True, False], ids=["header", "HDF5 alone"])
@pytest.mark.parametrize(
    "change",
    [
        *(external_link, soft_link, a_loop, ways_without_number),
        *(other_heads, more_attributes, a_note_on_a_layer, nothing),
    ],
)
def test_verify_finds_what_format_1_has_not(shard, change, has_header) -> None:
    if not has_header:
        cut_header(shard)
    assert verify(shard.parent).problems == ()
    size = shard.stat().st_size
    with h5py.File(shard, "r+") as file:
        change(file)
    if has_header:
        with shard.open("ab") as file:  # HDF5 may shorten or lengthen the file
            file.truncate(max(size, shard.stat().st_size))
        rewrite(shard, lambda table: table.update(bytes=shard.stat().st_size))
    found = [(problem.file, problem.kind) for problem in verify(shard.parent).problems]
    assert found == ([] if change is nothing else [(shard.name, "damaged")])


def test_a_shard_that_is_replaced_while_it_is_opened_is_not_called_damaged(
    shard, monkeypatch
) -> None:
    cut_header(shard)
    before, whole = h5py.File, shard.read_bytes()

    def replaced(*args, **options):
        (shard.parent / "new").write_bytes(whole)
        (shard.parent / "new").replace(shard)
        return before(*args, **options)

    monkeypatch.setattr(savs.stores.shard.shard_file.h5py, "File", replaced)
    with pytest.raises(StoreReadError, match=r"was replaced while it was read; read it again"):
        open_store(shard.parent).features("train")
    assert [problem.kind for problem in verify(shard.parent).problems] == ["unreadable"]


def test_a_header_of_two_megabytes_is_not_read(shard) -> None:
    data = shard.read_bytes()
    shard.write_bytes(b"savs-header 02097153 00000000\n" + data[30:])
    with pytest.raises(StoreCorruptError, match="has a damaged header"):
        open_store(shard.parent).features("train")
