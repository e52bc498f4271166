"""A store of format 1 that was written once, read as any release must read it."""

import hashlib
import json
import shutil
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import golden
import h5py
import numpy as np
import pytest

from savs.stores import StoreFormatError, open_store
from savs.stores.format.manifest import write_manifest
from savs.stores.maintain.verify import verify

DATA = Path(__file__).parents[2] / "data" / "format-1"
SPLITS = ("train", "test")


@pytest.fixture
def data() -> Path:
    return DATA


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("skipped", [False, True], ids=["examples", "skipped"])
def test_every_column_is_read(data, split, skipped) -> None:
    store = open_store(data)
    found = store.skipped(split) if skipped else store.examples(split)
    expected = [golden.cells(split, place) for place in golden.kept(split, skipped=skipped)]
    for place, row in zip(golden.kept(split, skipped=skipped), expected, strict=True):
        row |= {"reason": golden.SKIPPED[split][place]} if skipped else {}
    assert found.to_dicts() == expected
    assert set(found.columns) == {*golden.cells("test", 0)} | ({"reason"} if skipped else set())


@pytest.mark.parametrize("split", SPLITS)
def test_every_feature_and_output_is_read(data, split) -> None:
    store = open_store(data)
    assert store.heads == [(0, 0), (0, 1), (2, 0), (2, 2)]
    narrow = np.pad(golden.features(split, 2), ((0, 0), (0, 0), (0, 1)))  # to the width of layer 0
    expected = np.concatenate([golden.features(split, 0), narrow])
    found = store.features(split)
    np.testing.assert_array_equal(found, expected, strict=True)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))  # 0 and -0 differ
    for name, values in golden.outputs(split).items():
        np.testing.assert_array_equal(store.output(split, name), values, strict=True)


def test_the_manifest_is_read_and_the_store_verifies(data) -> None:
    manifest = open_store(data).manifest
    assert (manifest.identity, manifest.runs) == (golden.IDENTITY, (golden.RUN,))
    assert {split: len(plan.ids) for split, plan in manifest.plan.splits.items()} == {
        "train": 5,
        "test": 4,
    }
    report = verify(data)
    assert (report.problems, report.shards, report.sealed) == ((), 4, True)


@pytest.mark.parametrize("version", [2, 0, "1", None, 1.0, True], ids=repr)
def test_an_unknown_version_is_refused_with_a_remedy(tmp_path, data, version) -> None:
    shutil.copytree(data, tmp_path / "store")
    path = tmp_path / "store" / "store.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"format": version}), "utf-8")
    message = rf"store\.json: format is {version!r}, expected 1, .*; install the savs release"
    for read in (open_store, verify):
        with pytest.raises(StoreFormatError, match=message):
            read(tmp_path / "store")


def test_shards_of_an_earlier_format_stay_readable_in_a_store_of_a_new_one(
    tmp_path, data, monkeypatch
) -> None:
    store = Path(shutil.copytree(data, tmp_path / "store"))
    newer = replace(open_store(data).manifest, format=2)
    write_manifest(store, newer, replace_old=True)
    with pytest.raises(StoreFormatError, match="format is 2, expected 1, the format of this rel"):
        open_store(store)
    for module in ("format.manifest", "shard.read"):
        monkeypatch.setattr(f"savs.stores.{module}.READABLE", (1, 2))
    assert open_store(store).manifest == newer
    assert verify(store).problems == ()  # store.json keeps its number
    np.testing.assert_array_equal(
        open_store(store).features("test"), open_store(data).features("test")
    )


def test_the_page_suffices_to_read_a_shard(data) -> None:
    """Follow docs/reference/store-format.md with h5py and numpy alone."""
    with h5py.File(data / "test-00000.h5") as file:
        attributes = {n: v.decode() if isinstance(v, bytes) else v for n, v in file.attrs.items()}
        assert len(attributes.pop("plan")) == 64
        assert json.loads(attributes.pop("run")) == golden.RUN
        assert attributes.pop("identity") == sha256_of(manifest(data)["identity"])
        assert attributes == {"format": 1, "split": "test", "number": 0, "dtype": "bfloat16"}

        layer = file["layers/00002"]
        assert (layer.shape, layer.dtype, layer.chunks) == ((2, 2, 3), np.dtype("<u2"), None)
        assert layer.attrs["heads"].tolist() == [0, 2]
        floats = (layer[1].astype(np.uint32) << 16).view(np.float32)  # bfloat16: the upper half
        assert floats.tolist() == [[100, 101, 102], [103, 104, 105]]

        assert column(file["examples/index"]) == [0, 2]  # example 1 was skipped
        assert column(file["examples/label"]) == ["un chat", "鳥"]
        assert column(file["examples/subtask"]) == ["one", None]
        assert column(file["examples/media"]) == [["t0.png"], ["t2.png"]]
        assert column(file["skipped/id"]) == ["test:1"]
        assert column(file["skipped/reason"]) == ["broken.png: the image is truncated (ß)"]
        answers = file["outputs/answers"]
        np.testing.assert_array_equal(answers[()], np.float32(golden.ANSWERS["test"][:2]))


def test_the_page_suffices_to_read_a_shard_by_its_index(data) -> None:
    """Follow docs/reference/store-format.md with the standard library alone."""
    whole = (data / "test-00000.h5").read_bytes()
    word, length, checksum = whole[-29:].split(b" ")
    assert (word, whole[-1:]) == (b"savs-index", b"\n")
    text = whole[-29 - int(length) : -29]
    assert zlib.crc32(text) == int(checksum, 16)
    index = json.loads(text)
    assert {n: index["attributes"][n] for n in ("format", "split")} == {
        "format": 1,
        "split": "test",
    }

    offset, dtype, shape, sums = index["arrays"]["layers/00002"]
    assert (dtype, shape) == ("<u2", [2, 2, 3])
    slabs = [whole[offset + 12 * n : offset + 12 * (n + 1)] for n in (0, 1)]
    assert sums == "".join(f"{zlib.crc32(slab):08x}" for slab in slabs)
    floats = [struct.unpack("<f", bytes(2) + slabs[1][i : i + 2])[0] for i in range(0, 12, 2)]
    assert floats == [100, 101, 102, 103, 104, 105]

    offset, dtype, (size,), checksum = index["arrays"]["examples/label"]
    block = whole[offset : offset + size]
    assert (dtype, json.loads(block)) == ("|u1", ["un chat", "鳥"])
    assert checksum == f"{zlib.crc32(block):08x}"


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "store.json").read_text("utf-8"))


def sha256_of(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def column(dataset: h5py.Dataset) -> list[Any]:
    assert dataset.dtype == np.uint8
    return json.loads(dataset[()].tobytes())


def test_the_page_suffices_to_check_store_json(data) -> None:
    value = manifest(data)
    assert value.pop("check") == sha256_of(value)
    assert [shard["rows"] for shard in value["shards"]] == [3, 2, 2, 1]
    for shard in value["shards"]:
        found = (data / shard["name"]).read_bytes()
        assert (len(found), hashlib.sha256(found).hexdigest()) == (shard["bytes"], shard["sha256"])


def test_this_release_writes_the_same(tmp_path, data) -> None:
    golden.write_golden(tmp_path)
    for key in ("format", "identity", "plan", "runs"):
        ours, theirs = (json.loads((f / "store.json").read_text("utf-8")) for f in (tmp_path, data))
        assert ours[key] == theirs[key]
    for path in sorted(data.glob("*.h5")):
        assert contents(tmp_path / path.name) == contents(path), path.name


def contents(path: Path) -> dict[str, object]:
    """Return all datasets and attributes; another HDF5 release may lay out its bytes otherwise."""
    found: dict[str, object] = {}

    def look(name: str, member: h5py.Group | h5py.Dataset) -> None:
        found.update({f"{name}@{n}": np.asarray(v).tolist() for n, v in member.attrs.items()})
        if isinstance(member, h5py.Dataset):
            values = b"" if name == "index" else member[()].tobytes()  # it says where all lies
            found[name] = (member.dtype.str, values)

    with h5py.File(path) as file:
        look("", file)
        file.visititems(look)
    assert len(found) > 30
    return found
