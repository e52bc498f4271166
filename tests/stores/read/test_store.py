from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import savs.stores.read.shards
from savs.stores import (
    ANSWERS_HEAD,
    AnswersHead,
    HeadNotFoundError,
    LayerGrid,
    StoreIncompleteError,
    open_store,
    open_writer,
)
from savs.stores.format.layout import NEURONS, holder, is_neuron, neuron
from stores import GRID, identity, make_store, write_store

GAPS = (LayerGrid(1, (2, 5), 4), LayerGrid(4, (0,), 6), LayerGrid(7, (1, 3), 2))
"""Layers and heads with gaps, of three widths."""


@pytest.fixture
def store(tmp_path, toy):
    toy.grid = GAPS
    assert toy.write(tmp_path)
    return open_store(tmp_path)


def expected(toy, split: str, rows: int, heads) -> np.ndarray:
    """Return the features that the toy store holds, padded head by head."""
    columns = []
    for address in heads:
        layer, head = holder(address)
        (grid,) = [grid for grid in toy.grid if grid.layer == layer]
        values = toy.values(split, layer)[grid.heads.index(head), :rows]
        index = address[1] % NEURONS
        columns.append(values[:, [index]] if is_neuron(address) else values)
    block = np.zeros((len(heads), rows, max(v.shape[1] for v in columns)), np.float32)
    for place, values in enumerate(columns):
        block[place, :, : values.shape[1]] = values
    return block


ALL = [(1, 2), (1, 5), (4, 0), (7, 1), (7, 3)]
ASKED = {
    "all by default": None,
    "in order": ALL,
    "backwards": ALL[::-1],
    "layers mixed": [(7, 3), (1, 2), (7, 1), (1, 5)],
    "one": [(4, 0)],
    "one width": [(7, 3), (7, 1)],
    "twice": [(1, 5), (1, 2), (1, 5)],
    "neurons": [neuron((1, 5), 3), neuron((7, 3), 0), neuron((1, 5), 0)],
    "heads and neurons": [neuron((1, 5), 3), (7, 3), (1, 5)],
    "numpy numbers": [tuple(np.array([7, 3])), tuple(np.array([1, 2]))],
}


@pytest.mark.parametrize("heads", ASKED.values(), ids=ASKED.keys())
def test_heads_come_in_the_order_asked_padded_with_zeros(store, toy, heads) -> None:
    assert store.heads == ALL
    for split, rows in (("train", 5), ("test", 3)):
        block = expected(toy, split, rows, ALL if heads is None else heads)
        np.testing.assert_array_equal(store.features(split, heads), block, strict=True)


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("heads", [None, [(7, 3), (1, 2)], [neuron((7, 3), 1), neuron((1, 2), 0)]])
def test_blocks_are_the_shards_of_the_features(tmp_path, toy, raw, heads, reuse) -> None:
    toy.grid, toy.dtype = GAPS, "bfloat16"
    toy.write(tmp_path)
    store = open_store(tmp_path)
    given, blocks = [], []
    for block in store.blocks("train", heads, raw=raw, reuse=reuse):
        given.append(block.features)
        blocks.append(replace(block, features=block.features.copy()))
    is_copied = heads is not None and is_neuron(heads[0])
    assert np.shares_memory(given[0], given[1]) == (reuse and not is_copied)
    assert [block.features.shape[1] for block in blocks] == [2, 2, 1]
    assert [block.examples["id"].to_list() for block in blocks] == [
        ["train:0", "train:1"],
        ["train:2", "train:3"],
        ["train:4"],
    ]
    features = store.features("train", heads, raw=raw)
    assert features.dtype == (np.uint16 if raw else np.float32)
    np.testing.assert_array_equal(
        np.concatenate([block.features for block in blocks], axis=1), features, strict=True
    )


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize(
    ("rows", "sizes"), [(0, [2, 1, 0]), (3, [2, 1]), (4, [3, 0]), (5, [3]), (99, [3])]
)
def test_small_shards_are_one_block(tmp_path, toy, rows, sizes, reuse) -> None:
    # shards of two planned rows, two and one, of which the last two lack one each
    toy.skip = {"train": {2: "no such image", 4: "nor this one"}}
    toy.write(tmp_path)
    store = open_store(tmp_path)
    found = [
        (block.examples["id"].to_list(), block.features.copy())
        for block in store.blocks("train", rows=rows, reuse=reuse)
    ]
    assert [len(ids) for ids, _ in found] == sizes
    assert [name for ids, _ in found for name in ids] == ["train:0", "train:1", "train:3"]
    features = np.concatenate([features for _, features in found], axis=1)
    np.testing.assert_array_equal(features, store.features("train"), strict=True)


def test_examples_come_in_the_order_of_the_input(store) -> None:
    frame = store.examples()
    ids = [f"train:{i}" for i in range(5)] + [f"test:{i}" for i in range(3)]
    assert frame["id"].to_list() == ids
    assert frame["label"].to_list() == list("abcab") + list("abc")
    assert frame["index"].to_list() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert frame["media"].to_list() == [[]] * 8
    assert store.examples("test").equals(frame[5:])


def test_skipped_examples_stand_apart_with_their_reasons(tmp_path, toy) -> None:
    # shard 0 keeps both rows, shard 1 keeps one, shard 2 (row 4 alone) keeps none
    toy.skip = {"train": {2: "no such image", 4: "数据 is broken"}}
    toy.write(tmp_path)
    store = open_store(tmp_path)
    skipped = store.skipped("train").select("index", "id", "label", "reason").rows()
    assert skipped == [(2, "train:2", "c", "no such image"), (4, "train:4", "b", "数据 is broken")]
    assert store.skipped("test").height == 0
    assert store.skipped().height == 2
    # the number is known without the rows
    opened = open_store(store.path)
    assert [opened.rows(split) for split in ("train", "test")] == [
        store.examples(split).height for split in ("train", "test")
    ]
    assert store.examples("train")["index"].to_list() == [0, 1, 3]
    np.testing.assert_array_equal(
        store.features("train", [(0, 1)])[0], toy.values("train", 0)[1, [0, 1, 3]]
    )


@pytest.mark.parametrize("head", [(1, 3), (2, 2), (7, 0), (-1, 2)])
def test_a_head_that_is_not_there_is_named(store, head) -> None:
    message = rf"holds no head L{head[0]}\.H{head[1]}; it has 5 heads from L1\.H2 to L7\.H3$"
    with pytest.raises(HeadNotFoundError, match=message) as refusal:
        store.features("train", [(1, 2), head])
    assert isinstance(refusal.value, KeyError)
    message = r"holds no head L7\.H3\.N2; it has 5 heads"  # that head is two wide
    with pytest.raises(HeadNotFoundError, match=message):
        store.features("train", ["L7.H3.N1", "L7.H3.N2"])
    with pytest.raises(HeadNotFoundError, match="holds nothing for an empty list"):
        store.features("train", [])


def test_facts_are_known_without_opening_a_shard(tmp_path, store, monkeypatch) -> None:
    def refuse(*args):
        raise AssertionError("a shard was opened")

    monkeypatch.setattr(savs.stores.read.shards, "open_shard", refuse)
    for name, file in (("b", "metrics.json"), ("a", "metrics.json"), ("c", "config.json")):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / file).write_text("{}")
    facts = open_store(str(tmp_path)).facts
    assert facts == {
        "path": str(tmp_path),
        "model": {"name": "toy", "revision": None, "class": "Toy", "config": "c", "weights": "w"},
        "processor": {"class": "ToyProcessor", "settings": "s"},
        "benchmark": {"name": "general", "options": {}},
        "dtype": "float32",
        "layers": 3,
        "heads": 5,
        "head_dims": [2, 4, 6],
        "planned": {"train": 5, "test": 3},
        "shards": 5,
        "missing_shards": [],
        "bytes": sum(path.stat().st_size for path in tmp_path.glob("*.h5")),
        "sealed": True,
        "runs": [{"made": "by hand"}],
        "late_labels": 0,
        "results": ["a", "b"],
    }
    store.require_complete()
    assert store.missing() == []
    with pytest.raises(AssertionError, match="was opened"):
        store.features("train")


def test_an_incomplete_store_gives_facts_and_no_features(tmp_path, store) -> None:
    for name in ("train-00001.h5", "train-00002.h5"):
        (tmp_path / name).unlink()
    assert store.facts["missing_shards"] == ["train-00001.h5", "train-00002.h5"]
    assert store.facts["bytes"] == sum(path.stat().st_size for path in tmp_path.glob("*.h5"))
    assert store.missing("test") == []
    with pytest.raises(StoreIncompleteError, match=r"shard train-00001\.h5 is missing"):
        store.features("train")
    with pytest.raises(StoreIncompleteError, match=r"2 of 5 shards .*train-00001\.h5 first"):
        store.require_complete()
    assert store.features("test").shape == (5, 3, 6)
    assert store.examples("train")["id"].to_list() == ["train:0", "train:1"]
    for path in tmp_path.glob("test-*.h5"):
        path.unlink()
    with pytest.raises(StoreIncompleteError, match="has no finished test shard yet; run `savs ext"):
        open_store(tmp_path).examples("test")
    with pytest.raises(StoreIncompleteError, match=r"shard test-00000\.h5 is missing"):
        open_store(tmp_path, partial=True).features("test")


def test_all_that_is_known_of_rows_goes_with_them_into_one_split(tmp_path) -> None:
    known = {"group": "g", "category": "c", "extra": '{"k": 1}', "media": '["a.png"]'}
    pair = [{"label": "a", **known}, {"label": "a"}]
    rows = dict.fromkeys(("train", "test", "classes"), pair)
    layers = {g.layer: np.ones((len(g.heads), 2, g.head_dim), np.float32) for g in GRID}
    store = write_store(tmp_path, identity(), dict.fromkeys(rows, layers), rows)
    everyone = ["test:0", "test:1", "train:0", "train:1"]
    for split, ids in (("test", everyone), ("train", ["train:0"])):
        found = store.in_one_split(split, {"train:0": "b"}).examples(split)
        assert found["id"].to_list() == ids
        first = {"label": "b", **known, "extra": '{"k":1}', "media": ["a.png"]}
        assert found.select(list(first)).row(ids.index("train:0"), named=True) == first


def test_a_split_that_is_not_there_is_named(store) -> None:
    with pytest.raises(StoreIncompleteError, match=r"has no val split, only train, test"):
        store.features("val")
    with pytest.raises(StoreIncompleteError, match="has no val split"):
        store.examples("val")


def test_memory_is_used_again_where_it_suffices(tmp_path) -> None:
    """The first of three shards lacks a row, and the last one is planned with fewer."""
    features = np.random.default_rng(0).standard_normal((2, 8, 4), np.float32)
    store = make_store(tmp_path / "s", features, "abababab", features, "abababab", test_skipped=[0])
    found = [block.features for block in store.blocks("test", reuse=True)]
    assert [part.shape[1] for part in found] == [2, 3, 2]
    assert [np.shares_memory(part, found[0]) for part in found] == [True, True, True]
    np.testing.assert_array_equal(found[2], features[:, 6:])

    first, larger = (block.features for block in store.blocks("test", rows=5, reuse=True))
    assert not np.shares_memory(first, larger)
    np.testing.assert_array_equal(first, features[:, 1:3])
    np.testing.assert_array_equal(larger, features[:, 3:])


@pytest.mark.parametrize("first", [0, 1], ids=["an earlier shard comes", "a later shard comes"])
def test_a_shard_that_comes_later_stays_out_of_a_store_that_is_open(tmp_path, toy, first) -> None:
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        spec = writer.missing()[first]
        writer.write(spec, toy.content(spec))
        store, whole = open_store(tmp_path, partial=True), open_store(tmp_path)
        assert repr(store).endswith(" test, unfinished)")
        assert store.examples("train").height == whole.examples("train").height == 2
        for other in writer.missing():
            writer.write(other, toy.content(other))
    expected = toy.values("train", 0)[:, spec.start : spec.stop]
    np.testing.assert_array_equal(store.features("train")[:2], expected)
    np.testing.assert_array_equal(next(store.blocks("train")).features[:2], expected)
    scanned = store.scan().filter(pl.col("split") == "train").collect()
    assert scanned["id"].to_list() == [f"train:{2 * first + n}" for n in (0, 1)]
    with pytest.raises(StoreIncompleteError, match="is missing"):
        whole.features("train")
    assert open_store(tmp_path).features("train").shape[1] == 5


def test_answers_stay_a_head_under_another_benchmark_and_without_later_rows(store) -> None:
    said = np.arange(2 * store.rows("test"), dtype=np.float32).reshape(-1, 2)
    seen = store.with_rows({"test": {}}, store.benchmark)
    seen = seen.with_answers(AnswersHead(2, lambda _, split: said))
    for one in (seen.with_benchmark({"name": "another"}), seen.as_extracted()):
        assert one.manifest != seen.manifest
        np.testing.assert_array_equal(one.features("test", [ANSWERS_HEAD])[0], said)
    with pytest.raises(HeadNotFoundError):
        store.features("test", [ANSWERS_HEAD])
