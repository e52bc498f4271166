"""`slim`: some heads of a store, everything else as it was, and so are its evaluations."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from polars.testing import assert_frame_equal

from savs import evaluate, load_selection, save_selection, select
from savs.pipeline.errors import SelectionError
from savs.stores import (
    HeadNotFoundError,
    LayerGrid,
    StoreCorruptError,
    StoreIncompleteError,
    StoreMismatchError,
    StoreWriteError,
    open_store,
    reserve,
)
from savs.stores.maintain.copy import slim
from savs.stores.maintain.verify import verify
from savs.stores.shard.read import open_shard
from stores import identity, write_store

DATA = Path(__file__).parents[2] / "data" / "format-1"
"""A store with skipped examples, thumbnails, outputs, two widths, bfloat16, text of many kinds."""
CHOICES = {
    "one": [(2, 2)],
    "one a layer": [(0, 1), (2, 0)],
    "backwards and twice": [(2, 2), (0, 0), (2, 2)],
    "all": [(0, 0), (0, 1), (2, 0), (2, 2)],
}


@pytest.mark.thorough
@pytest.mark.parametrize("heads", CHOICES.values(), ids=CHOICES.keys())
def test_everything_but_the_other_heads_is_kept_bit_for_bit(tmp_path, heads) -> None:
    full, small = open_store(DATA), slim(open_store(DATA), heads, tmp_path / "slim")
    assert small.heads == sorted(set(heads))
    for split in ("train", "test"):
        kept = full.features(split, small.heads, raw=True)
        np.testing.assert_array_equal(small.features(split, raw=True), kept, strict=True)
        assert_frame_equal(small.examples(split), full.examples(split))
        assert_frame_equal(small.skipped(split), full.skipped(split))
        for name in ("answers", "ranks"):
            values = full.output(split, name)
            np.testing.assert_array_equal(small.output(split, name), values, strict=True)
    assert "thumbnail" in small.examples().columns
    assert small.skipped()["reason"].to_list() == ["broken.png: the image is truncated (ß)"]
    assert small.manifest.runs == full.manifest.runs


def test_a_slim_store_verifies_and_says_the_same_of_itself(tmp_path) -> None:
    full, small = open_store(DATA), slim(open_store(DATA), [(2, 0)], tmp_path / "deep/slim")
    report = verify(small.path)
    assert (report.problems, report.sealed, report.shards) == ((), True, 4)
    assert small.grid == (LayerGrid(2, (0,), 3),)
    ours, theirs = small.manifest.identity.to_json(), full.manifest.identity.to_json()
    assert {key for key in theirs if ours[key] != theirs[key]} == {"grid"}
    for split, plan in full.manifest.plan.splits.items():
        assert small.manifest.plan.splits[split].ids == plan.ids
    assert [(s.name, s.rows) for s in small.present()] == [(s.name, s.rows) for s in full.present()]
    for ours, theirs in zip(small.present(), full.present(), strict=True):
        runs = []
        for store, spec in ((small, ours), (full, theirs)):
            with open_shard(store.path / spec.name, spec, store.manifest) as shard:
                runs.append(shard.run)
        assert runs[0] == runs[1]


@pytest.mark.thorough
def test_the_full_store_is_left_as_it_was(tmp_path, listing) -> None:
    shutil.copytree(DATA, tmp_path / "full")
    before = listing(tmp_path / "full")
    slim(open_store(tmp_path / "full"), [(0, 0)], tmp_path / "slim")
    assert listing(tmp_path / "full") == before
    assert {p.name for p in (tmp_path / "slim").iterdir()} == set(before)


@pytest.mark.thorough
def test_a_store_whose_limit_was_raised_can_be_slimmed(tmp_path, toy) -> None:
    assert toy.write(tmp_path / "full", train=3, test=1)
    assert toy.write(tmp_path / "full", train=8, test=3)  # a segment more in each split
    full = open_store(tmp_path / "full")
    assert [s.rows for s in full.present()] == [2, 1, 2, 2, 1, 1, 2]
    assert len(full.manifest.plan.splits["train"].segments) == 2
    small = slim(full, [(0, 1), (2, 2)], tmp_path / "slim")
    assert verify(small.path).problems == ()
    assert [s.rows for s in small.present()] == [2, 1, 2, 2, 1, 1, 2]
    assert_frame_equal(small.examples(), full.examples())
    expected = [toy.values("train", 0)[1, :8], toy.values("train", 2)[2, :8]]
    np.testing.assert_array_equal(small.features("train"), expected)


@pytest.mark.thorough
def test_a_slim_store_can_be_slimmed_again(tmp_path, toy) -> None:
    toy.skip = {"train": {0: "gone", 1: "gone"}}  # the first shard has no example left
    toy.write(tmp_path / "full")
    first = slim(open_store(tmp_path / "full"), [(0, 0), (2, 1)], tmp_path / "first")
    again = slim(first, [(2, 1)], tmp_path / "again")
    assert verify(again.path).problems == ()
    np.testing.assert_array_equal(again.features("train")[0], toy.values("train", 2)[1, 2:5])
    assert again.skipped("train")["id"].to_list() == ["train:0", "train:1"]


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ([(0, 0), (1, 0)], r"holds no head L1\.H0; it has 4 heads from L0\.H0 to L2\.H2"),
        ([(2, 1)], r"holds no head L2\.H1"),
        ([], "holds nothing for an empty list"),
    ],
)
def test_a_head_that_is_not_there_is_refused(tmp_path, heads, message) -> None:
    with pytest.raises(HeadNotFoundError, match=message):
        slim(open_store(DATA), heads, tmp_path / "slim")
    assert not (tmp_path / "slim").exists()


@pytest.mark.thorough
def test_a_folder_with_something_in_it_is_refused(tmp_path, listing) -> None:
    shutil.copytree(DATA, tmp_path / "full")
    (tmp_path / "used").mkdir()
    (tmp_path / "used/notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = listing(tmp_path / "full")
    for out in ("used", "full", "file"):
        with pytest.raises(
            StoreMismatchError, match=f"{out} exists and is not empty; pass a new or empty"
        ):
            slim(open_store(tmp_path / "full"), [(0, 0)], tmp_path / out)
    assert listing(tmp_path / "full") == before
    assert [p.name for p in (tmp_path / "used").iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    assert slim(open_store(tmp_path / "full"), [(0, 0)], tmp_path / "empty").heads == [(0, 0)]


def test_a_link_to_nothing_is_no_new_folder(tmp_path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(StoreMismatchError, match="link exists and is not empty"):
        slim(open_store(DATA), [(0, 0)], tmp_path / "link")
    with (
        pytest.raises(StoreWriteError, match="link is a file, not a folder"),
        reserve(tmp_path / "link"),
    ):
        pass


@pytest.mark.thorough
def test_an_incomplete_or_damaged_store_is_refused(tmp_path, toy) -> None:
    toy.write(tmp_path / "full")
    data = bytearray((tmp_path / "full/train-00001.h5").read_bytes())
    place = bytes(data).index(toy.values("train", 2)[1, 2:4].tobytes())
    data[place] ^= 1
    (tmp_path / "full/train-00001.h5").write_bytes(data)
    with pytest.raises(StoreCorruptError, match=r"train-00001\.h5:/layers/00002 head 1 fails its"):
        slim(open_store(tmp_path / "full"), [(2, 1)], tmp_path / "damaged")
    assert slim(open_store(tmp_path / "full"), [(2, 0)], tmp_path / "other").heads == [(2, 0)]
    (tmp_path / "full/train-00001.h5").unlink()
    with pytest.raises(StoreIncompleteError, match=r"1 of 5 shards .*train-00001\.h5 first"):
        slim(open_store(tmp_path / "full"), [(2, 0)], tmp_path / "slim")
    assert not (tmp_path / "slim").exists()


WIDTHS = (LayerGrid(0, (0, 1, 2), 4), LayerGrid(1, (0, 3), 6), LayerGrid(5, (2,), 8))
"""Heads of three widths: a slim store is often narrower than the full one."""


@pytest.fixture
def full(tmp_path):
    """Return a function that writes a store of sixteen train and eleven test examples."""

    def write(dtype: str = "float32", *, subtasks: str = "st"):
        rng, counts = np.random.default_rng(8), {"train": 16, "test": 11}
        features = {
            split: {g.layer: rng.normal(size=(len(g.heads), n, g.head_dim)) for g in WIDTHS}
            for split, n in counts.items()
        }
        row = [{"subtask": subtasks[i % 2], "label": "abpq"[i % 4]} for i in range(16)]
        rows = {split: row[:n] for split, n in counts.items()}
        return write_store(tmp_path / "full", identity(dtype, WIDTHS), features, rows, shard_rows=8)

    return write


@pytest.mark.thorough
@pytest.mark.parametrize("subtasks", ["tt", "st"], ids=["one task", "two tasks"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_slim_store_evaluates_to_the_same(full, tmp_path, dtype, subtasks) -> None:
    store = full(dtype, subtasks=subtasks)
    selection = select(store, heads=2)
    small = slim(store, selection.heads, tmp_path / "slim")
    assert len(small.heads) < len(store.heads)
    saved = load_selection(save_selection(selection, tmp_path / "saved"))
    expected, found = evaluate(store, selection), evaluate(small, saved)
    assert_frame_equal(found.predictions, expected.predictions, check_exact=True)
    figures = [one.to_json() for one in (expected, found)]
    of_full, of_small = (one["cost"].pop("bytes") for one in figures)
    full_row, small_row = (one.manifest.identity.row_bytes for one in (store, small))
    assert of_small * full_row == of_full * small_row
    assert figures[1] == figures[0]
    again = select(small, heads=len(small.heads))
    for ours, theirs in zip(again.tasks, selection.tasks, strict=True):
        scores = dict(zip(ours.heads, ours.scores, strict=True))
        assert [scores[head] for head in theirs.heads] == [*theirs.scores]


@pytest.mark.thorough
def test_a_slim_store_without_a_chosen_head_is_refused(full, tmp_path) -> None:
    store = full()
    selection = select(store, heads=2)
    others = [head for head in store.heads if head != selection.heads[0]]
    with pytest.raises(
        SelectionError, match=r"head grid: '[23] layers, . heads' in the selection, '[23] layers, 5"
    ):
        evaluate(slim(store, others, tmp_path / "slim"), selection)
