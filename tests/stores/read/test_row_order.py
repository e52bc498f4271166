"""Shards hold rows in any order; what a reader gives stands in the order of the input file."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from savs.stores import (
    FeatureStore,
    StoreCorruptError,
    StoreMismatchError,
    open_store,
)
from savs.stores.format.plan import Segment
from savs.stores.maintain.copy import merge, slim
from savs.stores.maintain.verify import verify
from stores import GRID, identity, write_store

IMAGES = ["a", "b", "a", "c", "b", "a", "c"]
"""The image of each row: rows of one image shall lie side by side."""


def write(folder, images, *, skip=(), split="test") -> FeatureStore:
    count = len(images)
    layers = {
        g.layer: np.float32(
            [[[100 * head + row] * g.head_dim for row in range(count)] for head in g.heads]
        )
        for g in GRID
    }
    rows = [{"label": str(row)} for row in range(count)]
    return write_store(
        folder,
        identity(),
        {split: layers},
        {split: rows},
        groups={split: images},
        skipped={split: skip},
        shard_rows=2,
    )


@pytest.mark.parametrize("skip", [(), (2,), (0, 6), tuple(range(1, 7))], ids=str)
def test_everything_is_read_in_the_order_of_the_file(tmp_path, skip) -> None:
    store = write(tmp_path, IMAGES, skip=skip)
    plan = store.manifest.plan.splits["test"]
    assert plan.order == (0, 2, 5, 1, 4, 3, 6)  # images side by side, by first appearance
    kept = [row for row in range(7) if row not in skip]
    assert store.examples("test")["label"].to_list() == [str(row) for row in kept]
    assert store.skipped("test")["label"].to_list() == [str(row) for row in skip]
    features = store.features("test", [(0, 1), (2, 2)])
    assert features[:, :, 0].tolist() == [[100 + r for r in kept], [200 + r for r in kept]]
    assert verify(tmp_path).problems == ()


def test_blocks_and_scans_keep_each_example_with_its_values(tmp_path) -> None:
    store = write(tmp_path, IMAGES)
    blocks = list(store.blocks("test", [(0, 1)]))
    labels = [block.examples["label"].to_list() for block in blocks]
    assert labels == [["0", "2"], ["5", "1"], ["4", "3"], ["6"]]
    for block in blocks:
        assert block.features[0, :, 0].tolist() == [100 + int(n) for n in block.examples["label"]]
    frame = store.scan().select("label", pl.col("L0.H1").arr.get(0)).collect()
    assert {int(label): value - 100 for label, value in frame.iter_rows()} == {
        row: row for row in range(7)
    }


def test_blocks_have_their_skipped_examples(tmp_path) -> None:
    store = write(tmp_path, IMAGES, skip=(0, 6))
    for rows, expected in ((0, [["0"], [], [], ["6"]]), (100, [["0", "6"]])):
        blocks = store.blocks("test", [(0, 1)], rows=rows)
        assert [block.skipped["label"].to_list() for block in blocks] == expected


def test_a_longer_input_keeps_the_shards_that_are_there(tmp_path) -> None:
    before = write(tmp_path, IMAGES[:4])
    written = {s.name: (tmp_path / s.name).stat().st_mtime_ns for s in before.present()}
    store = write(tmp_path, IMAGES)
    plan = store.manifest.plan.splits["test"]
    assert plan.order == (0, 2, 1, 3, 4, 5, 6)
    parts = Segment(2, "", "a"), Segment(5, "", "b")
    sources = replace(plan, segments=parts).sources()  # the first two in shards are rows 0 and 2
    assert sources == {f"test:{row}": "a" if row in (0, 2) else "b" for row in range(7)}
    assert written == {name: (tmp_path / name).stat().st_mtime_ns for name in written}
    assert store.examples("test")["label"].to_list() == [str(row) for row in range(7)]
    assert write(tmp_path, IMAGES).manifest == store.manifest
    with pytest.raises(StoreMismatchError, match="examples are not the first of the 3 given now"):
        write(tmp_path, IMAGES[:3])


def test_a_slim_copy_keeps_the_order(tmp_path) -> None:
    store = write(tmp_path / "full", IMAGES, skip=(5,))
    small = slim(store, [(2, 1)], tmp_path / "slim")
    np.testing.assert_array_equal(small.features("test"), store.features("test", [(2, 1)]))
    assert small.examples().equals(store.examples())


def test_merged_parts_keep_their_order(tmp_path) -> None:
    store = write(tmp_path / "a", IMAGES, split="test")
    with pytest.raises(StoreMismatchError, match="example 'test:0' is in"):
        merge([store, write(tmp_path / "b", ["x", "y", "x"])], tmp_path / "merged")
    twice = merge([store, open_store(tmp_path / "a")], tmp_path / "same")
    np.testing.assert_array_equal(twice.features("test"), store.features("test"))


@pytest.mark.parametrize(
    "order", ["[0, 0, 1, 2, 3, 4, 5]", "[0]", '["x"]', "[7, 1, 2, 3, 4, 5, 6]"]
)
def test_an_order_that_is_no_permutation_is_refused(tmp_path, order) -> None:
    write(tmp_path, IMAGES)
    path = tmp_path / "store.json"
    text = path.read_text()
    start = text.index('"order": ') + 9
    path.write_text(text[:start] + order + text[text.index("]", start) + 1 :])
    with pytest.raises(StoreCorruptError, match=r"store\.json is damaged"):
        open_store(tmp_path)


def test_a_store_may_have_other_splits(tmp_path) -> None:
    store = write(tmp_path, ["", "", ""], split="classes")
    assert [spec.name for spec in store.present()] == ["classes-00000.h5", "classes-00001.h5"]
    assert store.features("classes").shape == (5, 3, 4)
    assert store.examples()["split"].unique().to_list() == ["classes"]
    assert verify(tmp_path).problems == ()
    assert repr(store) == f"FeatureStore({str(tmp_path)!r}: toy, 5 heads, 3 classes)"
