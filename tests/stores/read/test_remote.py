"""A store after an address: read by ranges, never written."""

import importlib.util

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from web import serve

from savs.stores import StoreNotFoundError, StoreReadError, open_store
from stores import make_store

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of aiohttp's own sessions
]
HEADS, ROWS, WIDTH = 40, 64, 128


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    rng = np.random.default_rng(0)
    train, test = (rng.standard_normal((HEADS, ROWS, WIDTH), np.float32) for _ in range(2))
    labels = ["a", "b"] * (ROWS // 2)
    return make_store(tmp_path_factory.mktemp("far"), train, labels, test, labels, shard_rows=64)


@pytest.fixture
def far(local):
    with serve(local.path) as (address, sent):
        yield open_store(address), sent


def test_it_reads_as_the_local_one_does(local, far) -> None:
    store, _ = far
    assert_frame_equal(store.examples(), local.examples())
    np.testing.assert_array_equal(store.features("test"), local.features("test"))
    facts = store.facts
    assert facts["planned"] == {"train": ROWS, "test": ROWS}
    assert (facts["bytes"], facts["missing_shards"]) == (local.facts["bytes"], [])


def test_only_the_blocks_of_the_wanted_heads_are_fetched(far) -> None:
    store, sent = far
    found = store.scan().filter(pl.col("split") == "test").select("label", "L0.H7").collect()
    assert found.height == ROWS
    fetched = sum(size for name, size in sent if name == "test-00000.h5")
    slab, whole = ROWS * WIDTH * 4, HEADS * ROWS * WIDTH * 4
    assert slab < fetched < slab + 6 * 2**16 < whole / 2


def test_a_shard_of_skipped_examples_is_read(tmp_path, toy) -> None:
    toy.skip = {"train": {0: "gone", 1: "gone"}, "test": {2: "gone"}}
    toy.write(tmp_path)
    expected = open_store(tmp_path)
    with serve(tmp_path) as (address, _):
        store = open_store(address)
        for split in ("train", "test"):
            np.testing.assert_array_equal(store.features(split), expected.features(split))
        assert_frame_equal(store.examples(), expected.examples())
        assert_frame_equal(store.skipped(), expected.skipped())


def test_all_columns_are_fetched_in_few_requests(far) -> None:
    store, sent = far
    sent.clear()
    store.examples("test")
    assert len([name for name, _ in sent if name == "test-00000.h5"]) <= 3


def test_a_network_that_fails_is_no_damage(far, monkeypatch) -> None:
    store, _ = far

    def fail(*args):
        raise ValueError("the server hung up")  # as fsspec says it, which is no OSError

    monkeypatch.setattr("fsspec.spec.AbstractBufferedFile.readinto", fail)
    with pytest.raises(StoreReadError, match=r"cannot be read: the server hung up; .* network"):
        store.features("test", [(0, 1)])


def test_the_commands_ask_where_results_shall_go(savs, far, tmp_path) -> None:
    store, _ = far
    refused = savs("select", str(store.path), "--heads", "3")
    assert refused.returncode == 2
    assert "pass --out for the results" in refused.stderr
    done = savs("select", str(store.path), "--heads", "3", "--out", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    done = savs("evaluate", str(store.path), "--selection", tmp_path / "r", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "metrics.json").exists()
    assert savs("show", str(store.path)).returncode == 0


def test_an_address_without_a_store_is_named(local) -> None:
    with serve(local.path) as (address, _), pytest.raises(StoreNotFoundError, match="nowhere"):
        open_store(f"{address}/nowhere")


def test_without_the_packages_the_remedy_is_named(monkeypatch) -> None:
    monkeypatch.setattr(
        "savs.stores.files.addresses.find_spec",
        lambda name: None if name == "upath" else importlib.util,
    )
    for store, extra in (("https://example.org/store", "remote"), ("s3://bucket/store", "s3")):
        with pytest.raises(
            StoreReadError, match=rf"is a URL, which needs an extra; install with: .*\[{extra}\]"
        ):
            open_store(store)
