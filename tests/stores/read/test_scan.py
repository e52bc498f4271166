"""`FeatureStore.scan`: the same rows and values as the eager reads, whatever the query."""

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from savs.stores import FeatureStore, LayerGrid, StoreIncompleteError, open_store
from savs.stores.shard.content import EXAMPLE_SCHEMA

pytestmark = pytest.mark.thorough

DATA = Path(__file__).parents[2] / "data" / "format-1"
WIDTHS = (LayerGrid(0, (0, 1), 4), LayerGrid(3, (2,), 6), LayerGrid(7, (1, 3), 2))
NAMES = {"L0.H0": 4, "L0.H1": 4, "L3.H2": 6, "L7.H1": 2, "L7.H3": 2}
ENGINES = ("in-memory", "streaming")


@pytest.fixture
def store(tmp_path, toy) -> FeatureStore:
    toy.grid = WIDTHS
    assert toy.write(tmp_path / "store")
    return open_store(tmp_path / "store")


def eager(store: FeatureStore) -> pl.DataFrame:
    """Return the frame that a scan stands for, from whole reads, head by head."""
    heads = []
    for grid in store.grid:
        for head in grid.heads:
            parts = [store.features(split, [(grid.layer, head)])[0] for split in ("train", "test")]
            kind = pl.Array(pl.Float32, grid.head_dim)
            heads.append(pl.Series(f"L{grid.layer}.H{head}", np.concatenate(parts), dtype=kind))
    return store.examples().select(list(EXAMPLE_SCHEMA)).with_columns(heads)


def test_the_columns_are_those_of_the_examples_and_then_the_heads(store) -> None:
    schema = store.scan().collect_schema()
    columns = ["index", "id", "split", "label", "group", "subtask", "category", "prompt"]
    assert schema.names() == [*columns, "media", "media_sha256", "extra", *NAMES]
    assert {schema[name] for name in ("media", "media_sha256")} == {pl.List(pl.String)}
    assert schema["index"] == pl.Int64
    assert {n: schema[n] for n in NAMES} == {n: pl.Array(pl.Float32, w) for n, w in NAMES.items()}
    found = store.scan().collect()
    assert found.schema == schema
    assert store.scan().filter(pl.col("id") == "nobody").collect().schema == schema


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("shard_rows", [1, 2, 100])
def test_a_whole_scan_is_examples_and_features(tmp_path, toy, dtype, shard_rows) -> None:
    toy.grid, toy.dtype, toy.shard_rows = WIDTHS, dtype, shard_rows
    toy.write(tmp_path)
    store = open_store(tmp_path)
    found = store.scan().collect()
    assert_frame_equal(found, eager(store))
    for grid in WIDTHS:
        wanted = [toy.values("train", grid.layer)[:, :5], toy.values("test", grid.layer)[:, :3]]
        for values, head in zip(np.concatenate(wanted, axis=1), grid.heads, strict=True):
            np.testing.assert_array_equal(found[f"L{grid.layer}.H{head}"].to_numpy(), values)


def test_counts_groups_joins_and_files_are_those_of_a_frame(store, tmp_path) -> None:
    assert store.scan().select(pl.len()).collect().item() == 8
    assert store.scan().filter(pl.col("split") == "test").select(pl.len()).collect().item() == 3
    store.scan().filter(pl.col("split") == "train").sink_parquet(tmp_path / "out.parquet")
    sunk = pl.read_parquet(tmp_path / "out.parquet")
    assert_frame_equal(sunk, eager(store).filter(pl.col("split") == "train"))
    first = pl.col("L3.H2").arr.get(0).sum().alias("sum")
    whole = eager(store)
    assert_frame_equal(
        store.scan().group_by("label").agg(pl.len(), first).sort("label").collect(),
        whole.group_by("label").agg(pl.len(), first).sort("label"),
    )
    other = pl.DataFrame({"id": ["test:2", "train:4", "nobody"], "prediction": ["x", "y", "z"]})
    joined = store.scan().join(other.lazy(), on="id").select("id", "prediction", "L7.H3")
    expected = whole.join(other, on="id").select("id", "prediction", "L7.H3")
    assert_frame_equal(joined.sort("id").collect(), expected.sort("id"))
    assert expected["prediction"].sort().to_list() == ["x", "y"]


def test_an_incomplete_store_is_refused_and_a_partial_one_gives_what_is_there(store) -> None:
    whole = eager(store)
    (store.path / "train-00001.h5").unlink()
    with pytest.raises(StoreIncompleteError, match=r"1 of 5 shards .*train-00001\.h5 first"):
        open_store(store.path).scan()
    found = open_store(store.path, partial=True).scan().collect()
    assert_frame_equal(found, whole.filter(~pl.col("id").is_in(["train:2", "train:3"])))


GOLDEN = eager(open_store(DATA))
"""Whose examples were skipped in part: they are no rows."""
EXAMPLES = st.sampled_from(
    [
        pl.col("split") == "test",
        pl.col("label") == "un chat",
        pl.col("subtask").is_null(),
        pl.col("index") > 1,
        pl.col("media").list.len() > 0,
        pl.col("group").str.starts_with("g"),
        pl.col("index").is_in([0, 4]),
        pl.lit(False),
    ]
)
HEADS = st.builds(
    lambda name, place, limit: pl.col(name).arr.get(place) > limit,
    *(st.sampled_from(GOLDEN.columns[-4:]), st.integers(0, 2), st.integers(-20, 120)),
)
SOME = EXAMPLES | HEADS
PREDICATES = (
    SOME | st.builds(lambda a, b: a & b, SOME, SOME) | st.builds(lambda a, b: a | b, SOME, SOME)
)
SLICES = st.tuples(st.integers(-3, 4), st.none() | st.integers(1, 9))


@settings(deadline=None, max_examples=150)
@given(
    predicates=st.lists(EXAMPLES | PREDICATES, max_size=2),
    part=st.none() | SLICES,
    columns=st.lists(st.sampled_from(GOLDEN.columns[:-4]), max_size=2, unique=True),
    heads=st.lists(st.sampled_from(GOLDEN.columns[-4:]), min_size=1, max_size=3, unique=True),
    engine=st.sampled_from(ENGINES),
)
def test_any_query_gives_what_it_gives_on_the_whole_frame(
    predicates, part, columns, heads, engine
) -> None:
    found, expected = open_store(DATA).scan(), GOLDEN
    for predicate in predicates:
        found, expected = found.filter(predicate), expected.filter(predicate)
    if part is not None:
        found, expected = found.slice(*part), expected.slice(*part)
    names = [*columns, *heads]
    assert_frame_equal(found.select(names).collect(engine=engine), expected.select(names))
