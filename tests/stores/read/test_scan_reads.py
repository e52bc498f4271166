"""What a scan reads of the files: the heads and shards that a query is about, nothing else."""

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
from shard_files import index

import savs.stores.shard.read
from savs.stores import FeatureStore, StoreCorruptError, open_store
from stores import make_store

IO = Path("/proc/self/io")


@pytest.fixture
def store(tmp_path, toy) -> FeatureStore:
    """Return five train and three test examples, two a shard, with heads L0.H0 to L2.H2."""
    toy.write(tmp_path / "store")
    return open_store(tmp_path / "store")


@pytest.fixture
def read(monkeypatch) -> list[tuple[str, str]]:
    """Return a list to which each head that is read from a shard is added."""
    found: list[tuple[str, str]] = []
    heads = savs.stores.shard.read.Shard.heads

    def counting(shard, wanted, out=None):
        found.extend(
            (shard._spec.name.removesuffix(".h5"), f"L{grid.layer}.H{head}")
            for grid, head in wanted
        )
        return heads(shard, wanted, out)

    monkeypatch.setattr(savs.stores.shard.read.Shard, "heads", counting)
    return found


ALL = ("train-00000", "train-00001", "train-00002", "test-00000", "test-00001")
BIG = pl.col("L2.H1").arr.get(0)
QUERIES: dict[str, tuple[Callable[[pl.LazyFrame], pl.LazyFrame], list[tuple[str, str]]]] = {
    "no head": (lambda scan: scan.select("id", "label"), []),
    "only a count": (lambda scan: scan.select(pl.len()), []),
    "one head": (lambda scan: scan.select("id", "L2.H1"), [(s, "L2.H1") for s in ALL]),
    "one head in an aggregate": (
        lambda scan: scan.group_by("label").agg(pl.col("L0.H1").arr.get(1).mean()),
        [(s, "L0.H1") for s in ALL],
    ),
    "a predicate on examples": (
        lambda scan: scan.filter(pl.col("id") == "train:2").select("L0.H1"),
        [("train-00001", "L0.H1")],
    ),
    "a split": (
        lambda scan: scan.filter(pl.col("split") == "test").select("L0.H0"),
        [("test-00000", "L0.H0"), ("test-00001", "L0.H0")],
    ),
    "a predicate that no row meets": (lambda scan: scan.filter(pl.col("label") == "z"), []),
    "a predicate on a head": (
        lambda scan: scan.filter(BIG > 0).select("id"),
        [(s, "L2.H1") for s in ALL],
    ),
    "a predicate on both": (
        lambda scan: scan.filter(BIG > 0, split="test").select("L0.H0"),
        [
            ("test-00000", "L0.H0"),
            ("test-00000", "L2.H1"),
            ("test-00001", "L0.H0"),
            ("test-00001", "L2.H1"),
        ],
    ),
    "a limit": (
        lambda scan: scan.head(3).select("L2.H0"),
        [("train-00000", "L2.H0"), ("train-00001", "L2.H0")],
    ),
}


@pytest.mark.parametrize(("query", "expected"), QUERIES.values(), ids=QUERIES.keys())
def test_a_query_reads_the_heads_and_shards_that_it_is_about(store, read, query, expected) -> None:
    lazy = query(store.scan())
    assert read == []
    lazy.collect()
    assert read == expected


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_the_shards_after_a_limit_are_not_opened(store, engine) -> None:
    (store.path / "train-00002.h5").write_bytes(b"no HDF5")
    first = store.scan().select("id", "L0.H0")
    assert first.head(4).collect(engine=engine)["id"].to_list() == [f"train:{i}" for i in range(4)]
    with pytest.raises(
        (StoreCorruptError, pl.exceptions.ComputeError), match="does not end with the index"
    ):
        first.head(5).collect(engine=engine)


def flip(path: Path, layer: str, head: int) -> None:
    """Change one bit of a head's first value."""
    with h5py.File(path) as file:
        dataset = file[f"layers/{layer}"]
        place = dataset.id.get_offset() + head * dataset[0].nbytes
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_a_damaged_head_is_noticed_where_it_is_named(store, tmp_path, engine) -> None:
    flip(store.path / "test-00000.h5", "00002", 1)
    message = r"test-00000\.h5:/layers/00002 head 1 fails its crc32"
    for lazy in (store.scan(), store.scan().select("L2.H1"), store.scan().filter(BIG > 1e9)):
        with pytest.raises((StoreCorruptError, pl.exceptions.ComputeError), match=message):
            lazy.collect(engine=engine)
    with pytest.raises((StoreCorruptError, pl.exceptions.ComputeError), match=message):
        store.scan().select("L2.H1").sink_parquet(tmp_path / "out.parquet")


def test_a_damaged_head_is_not_noticed_where_it_is_not_named(store, toy) -> None:
    flip(store.path / "test-00000.h5", "00002", 1)
    found = store.scan().select("L2.H0", "L2.H2").collect()
    expected = np.concatenate([toy.values("train", 2)[:, :5], toy.values("test", 2)[:, :3]], axis=1)
    np.testing.assert_array_equal(found["L2.H2"].to_numpy(), expected[2])
    train = store.scan().filter(pl.col("split") == "train").select("L2.H1").collect()
    np.testing.assert_array_equal(train["L2.H1"].to_numpy(), expected[1, :5])


def test_a_damaged_column_is_noticed_where_it_is_named(store) -> None:
    path = store.path / "test-00000.h5"
    data = bytearray(path.read_bytes())
    data[index(path)["arrays"]["examples/prompt"][0]] ^= 1
    path.write_bytes(data)
    with pytest.raises((StoreCorruptError, pl.exceptions.ComputeError), match="prompt fails its"):
        store.scan().select("prompt").collect()
    assert store.scan().select("id", "L0.H0").collect().height == 8


def bytes_read(work: Callable[[], object]) -> int:
    """Return how many bytes this process reads from files while it does some work."""

    def count() -> int:
        found = re.search(r"^rchar: (\d+)$", IO.read_text("ascii"), re.MULTILINE)
        assert found is not None
        return int(found[1])

    before = count()
    work()
    return count() - before


@pytest.mark.skipif(not IO.exists(), reason="this kernel does not count bytes read")
def test_one_head_of_many_costs_the_bytes_of_one_head(tmp_path) -> None:
    shards, rows, width, heads = 4, 1024, 64, 32
    values = np.random.default_rng(0).normal(size=(heads, rows // 2, width)).astype(np.float32)
    labels = ["a"] * (rows // 2)
    store = make_store(tmp_path, values, labels, values, labels, shard_rows=rows // shards)
    lazy = store.scan().select("id", "L0.H17")
    lazy.collect()  # imports and the like are read once
    slabs = rows * width * 4
    ids = rows * 8 + sum(len(f"{split}:{i}") for split in ("train", "test") for i in range(512))
    index = rows * 8  # the column that ties the others together
    allowance = shards * 16_384  # HDF5's own tables, whatever the heads
    assert slabs + ids + index < bytes_read(lazy.collect) < 1.3 * (slabs + ids + index) + allowance
    assert bytes_read(store.scan().collect) > 0.9 * heads * slabs
