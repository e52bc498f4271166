import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from savs.stores import StoreCorruptError, StoreNotFoundError, open_store
from savs.stores.format.manifest import PlacedRow, read_manifest


@pytest.fixture
def folder(tmp_path, toy):
    toy.write(tmp_path / "store")
    return tmp_path / "store"


@pytest.mark.parametrize("only", [0, 2, None], ids=["new", "half", "sealed"])
def test_a_manifest_comes_back_as_written(tmp_path, toy, only) -> None:
    toy.write(tmp_path, only=only)
    manifest = read_manifest(tmp_path)
    assert manifest.identity == toy.identity()
    assert manifest.to_text() == (tmp_path / "store.json").read_text("utf-8")
    assert manifest.sealed == (only is None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "nothing is not a folder, so it is not a feature store; pass one"),
        ("empty", r"empty holds no store\.json"),
        ("file", "file is not a folder"),
    ],
)
def test_what_is_no_store_is_not_found(tmp_path, name, message) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreNotFoundError, match=message) as refusal:
        open_store(tmp_path / name)
    assert isinstance(refusal.value, FileNotFoundError)


def test_a_row_that_its_source_moved_or_removed_is_known_by_what_was_planned(folder) -> None:
    manifest = read_manifest(folder)
    first, second, *others = manifest.plan.splits["train"].ids
    rows = {first: PlacedRow("new", "test", None), second: PlacedRow(second, None, None)}
    now = replace(manifest, rows={"train": rows})
    assert now.planned == {("test", "new"): ("train", first)}
    assert now.ids("train") == tuple(others)
    assert now.ids("test") == (*manifest.ids("test"), "new")
    assert [name for name, row in now.changes["train"].items() if row["split"] is None] == [second]
    assert (now.is_changed, manifest.is_changed, manifest.changes) == (True, False, {})
    twice = {first: PlacedRow(manifest.ids("test")[0], "test", None)}
    with pytest.raises(ValueError, match=r"^rows: test would have 'test:0' twice$"):
        replace(manifest, rows={"train": twice})


def change(*place, value) -> Callable[[str], bytes]:
    """Return a function that sets, or with `...` removes, one value in a JSON text."""

    def apply(text: str) -> bytes:
        whole = found = json.loads(text)
        *path, key = place
        for step in path:
            found = found[step]
        if value is ...:
            del found[key]
        else:
            found[key] = value
        return json.dumps(whole).encode()

    return apply


MANIFESTS = {
    "empty": lambda text: b"",
    "truncated": lambda text: text.encode()[:-20],
    "not UTF-8": lambda text: text.replace("toy", "ö").encode("latin-1"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "list": lambda text: b"[]",
    "null": lambda text: b"null",
    "no format": change("format", value=...),
    "no plan": change("plan", value=...),
    "no prompt": change("identity", "prompt", value=...),
    "model is null": change("identity", "model", value=None),
    "unknown dtype": change("identity", "dtype", value="int8"),
    "dtype is a list": change("identity", "dtype", value=["float32"]),
    "heads are null": change("identity", "grid", value=None),
    "head is text": change("identity", "grid", 0, "heads", 1, value="x"),
    "splits are a list": change("plan", "splits", value=[]),
    "no shard rows": change("plan", "shard_rows", value=0),
    "an id less": change("plan", "splits", "train", "ids", 0, value=...),
    "a row more": change("plan", "splits", "train", "segments", 0, "rows", value=6),
    "a run is text": change("runs", 0, value="x"),
    "a shard is a number": change("shards", 0, value=1),
    "a size is text": change("shards", 0, "bytes", value="many"),
    "infinite": lambda text: text.replace('_rows": 2', '_rows": Infinity').encode(),
    "too large": lambda text: text.replace('"head_dim": 4', '"head_dim": 1e999').encode(),
    "too deep": lambda text: b"[" * 100_000,
    "a split outside the folder": lambda text: text.replace('"train": {', '"../train": {').encode(),
    "no heads": change("identity", "grid", value=[]),
}


@pytest.mark.parametrize("damage", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_damaged_manifest_is_refused(folder, damage) -> None:
    path = folder / "store.json"
    path.write_bytes(damage(path.read_text("utf-8")))
    with pytest.raises(StoreCorruptError, match=r"store/store\.json is "):
        open_store(folder)
