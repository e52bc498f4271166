"""Columns and facts of other writers: each checksum is right, the content is not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from shard_files import craft, rewrite
from zlib_ng import zlib_ng

from savs.stores import FeatureStore
from savs.stores.format.layout import digest
from savs.stores.format.manifest import write_manifest
from stores import make_store

pytestmark = pytest.mark.thorough

COMMANDS = (
    ("show",),
    ("select", "--heads", "2"),
    ("evaluate",),
    ("evaluate", "--folds", "5"),
    ("sweep",),
    ("query", "SELECT * FROM examples"),
    ("export", "--heads", "all", "--to", "parquet", "--out", "out.parquet"),
    ("export", "--heads", "all", "--to", "store", "--out", "small"),
)
FULL = {"show", "select", "evaluate", "sweep"}
"""Commands that read the labels of both splits; the others may not need them all."""


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    """Return a store that does not know its shards' digests, with shards of three rows."""
    rng = np.random.default_rng(4)
    train, test = rng.normal(size=(2, 3, 6, 4)).astype(np.float32)
    found = make_store(tmp_path / "s", train, list("ababab"), test, list("abbaab"))
    write_manifest(found.path, replace(found.manifest, shards=()), replace_old=True)
    return found


def put(path: Path, name: str, content: Any) -> None:
    """Put a column into a shard, with the checksum that it needs."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    offset = []

    def change(file: h5py.File) -> None:
        del file[name]
        offset.append(file.create_dataset(name, data=np.frombuffer(text, np.uint8)).id.get_offset())

    craft(path, change)
    entry = [offset[0], "|u1", [len(text)], f"{zlib_ng.crc32(text):08x}"]
    rewrite(path, lambda table: table["arrays"].update({name: entry}))


BAD = {
    "media is no JSON": ("test", "media", b"a.png"),
    "media is an object": ("test", "media", {"a": 1}),
    "media is text": ("test", "media", ["a.png", "b.png", "c.png"]),
    "media of numbers": ("test", "media", [[1], [2], [3]]),
    "digests are null": ("test", "media_sha256", [None, None, None]),
    "an unknown id": ("test", "id", ["test:0", "test:9", "test:2"]),
    "an id of another shard": ("test", "id", ["test:0", "test:3", "test:2"]),
    "a null id": ("test", "id", ["test:0", None, "test:2"]),
    "an id twice": ("test", "id", ["test:0", "test:0", "test:2"]),
    "another split": ("test", "split", ["test", "train", "test"]),
    "a null label in training": ("train", "label", ["a", None, "a"]),
    "no label in training": ("train", "label", [None, None, None]),
    "some null labels in test": ("test", "label", ["a", None, "b"]),
    "a label that is a number": ("test", "label", ["a", 1, "b"]),
    "an index that is text": ("train", "index", ["0", "1", "2"]),
    "too few rows": ("train", "prompt", ["?"]),
}


@pytest.mark.parametrize(("split", "column", "content"), BAD.values(), ids=BAD)
def test_a_bad_column_is_named_by_each_command_and_by_verify(savs, store, split, column, content):
    file = f"{split}-00000.h5"
    put(store.path / file, f"examples/{column}", content)
    refused = []
    for name, *more in COMMANDS:
        done = savs(name, store.path, *more)
        if done.returncode:
            last = done.stderr.splitlines()[-1]
            assert done.returncode == 3
            assert last.startswith(f"error: {store.path / file}:/examples")
            assert f"{column}" in last
            assert "run `savs verify --repair`, then the same `savs extract`" in last
            refused.append(name)
    assert {"query", "export"} <= set(refused)
    assert set(refused) & FULL
    found = savs("verify", store.path)
    assert found.returncode == 3
    assert f"{file}: /examples" in found.stderr
    assert column in found.stderr


def test_labels_in_some_shards_only_are_named(savs, store) -> None:
    put(store.path / "test-00000.h5", "examples/label", [None, None, None])
    for command in ("evaluate", "sweep"):
        done = savs(command, store.path)
        assert done.returncode == 3
        assert "test examples is damaged: ValueError: label: expected one in every" in done.stderr
    found = savs("verify", store.path)
    assert found.returncode == 3
    assert "test-00001.h5: it has labels, or none, unlike earlier shards" in found.stderr


FACTS = {
    "no benchmark": ({"benchmark": {}}, "benchmark.name: expected text, got None"),
    "a benchmark without text": (
        {"benchmark": {"name": 3}},
        "benchmark.name: expected text, got 3",
    ),
    "benchmark is null": ({"benchmark": None}, "Expected `object`, got `null`"),
    "odd options": ({"benchmark": {"name": "general", "options": 3}}, "options: expected an obj"),
    "no model": ({"model": {}}, "model.name: expected text, got None"),
    "no class": ({"model": {"name": "m"}}, "model.class: expected text, got None"),
    "odd answers": ({"outputs": {"answers": 3}}, "answers: expected an object, got 3"),
}


@pytest.mark.parametrize(("facts", "reason"), FACTS.values(), ids=FACTS)
def test_a_store_json_without_its_facts_is_named(savs, store, facts, reason) -> None:
    path = store.path / "store.json"
    value = json.loads(path.read_text())
    value["identity"] |= facts
    value["check"] = digest({name: item for name, item in value.items() if name != "check"})
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    for name, *more in (*COMMANDS, ("verify",)):
        done = savs(name, store.path, *more)
        assert done.returncode == 3
        assert done.stderr.startswith(f"error: {path} is damaged: ")
        assert reason in done.stderr


def test_a_plan_with_an_id_twice_is_named(savs, store) -> None:
    path = store.path / "store.json"
    path.write_text(path.read_text().replace('"test:5"', '"test:0"'))
    done = savs("evaluate", store.path)
    assert done.returncode == 3
    assert "ids: expected each once" in done.stderr
