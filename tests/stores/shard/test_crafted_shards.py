"""Shards of an attacker, who can make any checksum: refused, without a large array."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import fuzzing
import h5py
import numpy as np
import pytest
from shard_files import craft, rewrite

from savs.stores import StoreCorruptError, open_store
from savs.stores.format.layout import digest
from savs.stores.maintain.verify import verify

pytestmark = pytest.mark.thorough

INDEX, LABEL, OUTPUT = "examples/index", "examples/label", "outputs/answers"
SHAPES = {
    "a float": (INDEX, "|u1", [4.0]),
    "a truth": (LABEL, "|u1", [True]),
    "null": (LABEL, "|u1", [None]),
    "no list": (LABEL, "|u1", 2),
    "negative": (LABEL, "|u1", [-1]),
    "beyond the file": (LABEL, "|u1", [10**30]),
    "another type": (LABEL, "<i8", [2]),
    "a float after a row": (OUTPUT, "<f4", [4, 2.0]),
    "another type of output": (OUTPUT, "<f8", [4, 2]),
    "another number of rows": (OUTPUT, "<f4", [3, 2]),
    "no axis": (OUTPUT, "<f4", []),
    "many types": (LABEL, "i4," * 300, [2]),
    "no type": (LABEL, None, [2]),
}


@pytest.fixture
def shard(tmp_path) -> Path:
    """Return the only shard of an unsealed store, with skipped examples and outputs."""
    fuzzing.write_original(tmp_path)
    return tmp_path / fuzzing.SHARD


@pytest.mark.parametrize(("name", "dtype", "shape"), SHAPES.values(), ids=SHAPES.keys())
def test_a_shape_or_type_is_refused_by_all_that_read_it(shard, name, dtype, shape) -> None:
    rewrite(shard, lambda table: table["arrays"].update({name: [8, dtype, shape, "0" * 8]}))
    store = open_store(shard.parent)
    with pytest.raises(StoreCorruptError, match=rf"{shard.name}:/(index|{name}) ") as caught:
        store.output("train", "answers") if name == OUTPUT else store.examples("train")
    assert len(str(caught.value)) < 500
    assert [problem.file for problem in verify(shard.parent).problems] == [shard.name]


@pytest.mark.parametrize("width", [10**12, 2**62, -4, 0])
def test_a_width_of_store_json_is_compared_before_room_is_made(shard, width) -> None:
    path = shard.parent / "store.json"
    value = json.loads(path.read_text())
    value["identity"]["grid"][0]["head_dim"] = width
    value["check"] = digest({k: v for k, v in value.items() if k != "check"})
    path.write_text(json.dumps(value))
    with pytest.raises(StoreCorruptError):
        open_store(shard.parent).features("train")


@pytest.mark.parametrize("name", ["store.json", fuzzing.SHARD])
def test_no_pipe_and_no_device_is_opened(shard, name) -> None:
    path = shard.parent / name
    path.unlink()
    os.mkfifo(path)  # opening it would wait for a writer
    with pytest.raises(StoreCorruptError, match=r"is not a regular file, expected a file; move it"):
        open_store(shard.parent).features("train")
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(StoreCorruptError, match=r"is not a regular file"):
        open_store(shard.parent).features("train")


def test_a_folder_of_the_name_is_called_a_folder(shard) -> None:
    for name in (fuzzing.SHARD, "store.json"):
        (shard.parent / name).unlink()
        (shard.parent / name).mkdir()
        with pytest.raises(StoreCorruptError, match=rf"{name} is a folder, expected a file"):
            open_store(shard.parent).features("train")


def moved_behind_a_link(file: h5py.File) -> None:
    file.move("layers", "elsewhere")
    file["layers"] = h5py.SoftLink("/elsewhere")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3, 2, 4), np.float32)
    layout[...] = h5py.VirtualSource("other.h5", "layers/00002", (3, 2, 4))
    file.create_virtual_dataset("outputs/virtual", layout)


def another_type(file: h5py.File) -> None:
    values = file["outputs/answers"][()]
    del file["outputs/answers"]
    file["outputs/answers"] = values.view("<i4")


def time_type(file: h5py.File) -> None:
    space = h5py.h5s.create_simple((2,))
    h5py.h5d.create(file["examples"].id, b"time", h5py.h5t.UNIX_D32LE, space)


def names_without_number(file: h5py.File) -> None:
    group = file["skipped"]
    for _ in range(60):  # 2 ** 60 names
        below = group.create_group("one")
        group["two"] = below
        group = below


FAR = [("/etc/passwd", 0, 12)]
CRAFTED: dict[str, Callable[[h5py.File], object]] = {
    "nothing": lambda file: None,
    "an external link": lambda file: file.update(elsewhere=h5py.ExternalLink("/etc/passwd", "/")),
    "a soft link": lambda file: file["examples"].update(elsewhere=h5py.SoftLink("/layers")),
    "moved after a link": moved_behind_a_link,
    "a loop": lambda file: file["examples"].update(loop=file["examples"]),
    "names without number": names_without_number,
    "odd names": lambda file: file["examples"].create_group(b"\xff\xfe"),
    "virtual": virtual,
    "external": lambda file: file.create_dataset("outputs/far", (3,), np.float32, external=FAR),
    "chunked": lambda file: file.create_dataset("outputs/x", data=np.ones((4, 2)), chunks=(1, 2)),
    "compressed": lambda file: file.create_dataset(
        "outputs/x", data=np.ones((4, 2)), compression="gzip"
    ),
    "objects": lambda file: file.create_dataset("outputs/x", (3,), h5py.string_dtype()),
    "unwritten": lambda file: file.create_dataset("outputs/x", (10**6, 10**6), np.float64),
    "a time": time_type,
    "another type": another_type,
    "other heads": lambda file: file["layers/00002"].attrs.update(
        heads=np.array([2, 1, 0], np.uint32)
    ),
    "more attributes": lambda file: file.attrs.update(note="any text"),
    "fewer attributes": lambda file: file.attrs.pop("identity"),
    "a list in an attribute": lambda file: file.attrs.update(number=np.array([0, 1])),
    "a note on a layer": lambda file: file["layers/00002"].attrs.update(note=1),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_verify_finds_what_format_1_has_not_and_readers_never_follow_it(shard, name) -> None:
    before = open_store(shard.parent).features("train")
    assert verify(shard.parent).problems == ()
    craft(shard, CRAFTED[name])
    found = [(problem.file, problem.kind) for problem in verify(shard.parent).problems]
    assert found == ([] if name == "nothing" else [(shard.name, "damaged")])
    np.testing.assert_array_equal(open_store(shard.parent).features("train"), before)


@pytest.mark.parametrize("run", ["5", "[]", '"x"', "null", "[" * 2000, "{"])
def test_a_run_that_is_no_object_is_refused(shard, run) -> None:
    rewrite(shard, lambda table: table["attributes"].update(run=run))
    with pytest.raises(StoreCorruptError, match=r"attribute run is damaged"):
        open_store(shard.parent).seconds("train")
    assert [problem.file for problem in verify(shard.parent).problems] == [shard.name]
