"""`heads_frame`: each head's similarities, vote and margin against the slow method."""

import numpy as np
import oracle
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import savs.stores.read.shards
from savs.pipeline.selection.heads_table import HEAD_VOTE_SCHEMA, heads_frame
from savs.stores import HeadNotFoundError, LayerGrid, StoreIncompleteError, open_store
from stores import identity, make_store, write_store

pytestmark = pytest.mark.thorough

TASKS = {"train": [None, "t", "t", None] * 3, "test": ["t", None, None, "t", None]}
LABELS = {"train": ["b", "x", "y", "a"] * 3, "test": ["y", "a", "b", "x", "new"]}
"""Two subtasks with classes of their own; `b` comes before `a`, and `new` was never trained."""
CLASSES = {None: ["b", "a"], "t": ["x", "y"]}


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        s: rng.normal(size=(4, n, 5)).astype(np.float32) for s, n in (("train", 12), ("test", 5))
    }


@pytest.fixture
def make(tmp_path, arrays):
    """Return a function that writes the store in shards of a number of rows."""

    def write(shard_rows: int = 2, dtype: str = "float32"):
        rows = {split: [{"subtask": task} for task in TASKS[split]] for split in TASKS}
        return make_store(
            *(tmp_path / f"{dtype}-{shard_rows}", arrays["train"], LABELS["train"]),
            *(arrays["test"], LABELS["test"]),
            train_rows=rows["train"],
            test_rows=rows["test"],
            shard_rows=shard_rows,
            dtype=dtype,
        )

    return write


def slow_rows(store, heads: list[int], split: str) -> dict[tuple[str, str], dict]:
    """Return id and head -> subtask, cosines, vote and margin, in float64."""
    train, asked = (store.features(s).astype(float).tolist() for s in ("train", split))
    found = {}
    for place, task in enumerate(TASKS[split]):
        rows = [row for row, name in enumerate(TASKS["train"]) if name == task]
        numbers = [CLASSES[task].index(LABELS["train"][row]) for row in rows]
        for head in heads:
            centroids = oracle.centroids_of([train[head][row] for row in rows], numbers, 2)
            cosines = [oracle.cosine(asked[head][place], centroid) for centroid in centroids]
            best = oracle.nearest(asked[head][place], centroids)
            found[f"{split}:{place}", f"L0.H{head}"] = {
                "subtask": task,
                "similarity": dict(zip(CLASSES[task], cosines, strict=True)),
                "vote": CLASSES[task][best],
                "margin": cosines[best] - cosines[1 - best],
            }
    return found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("split", ["test", "train"])
def test_every_row_is_that_of_the_slow_method(make, split, dtype) -> None:
    store = make(dtype=dtype)
    rows = heads_frame(store, split=split).collect()
    slow = slow_rows(store, [0, 1, 2, 3], split)
    assert rows.height == len(slow)
    for row in rows.iter_rows(named=True):
        expected = slow.pop((row["id"], row["name"]))
        assert (row["split"], row["name"]) == (split, f"L{row['layer']}.H{row['head']}")
        assert row["label"] == LABELS[split][int(row["id"].split(":")[1])]
        assert row["subtask"] == expected["subtask"]
        assert [s["class"] for s in row["similarity"]] == list(expected["similarity"])
        similarity = {s["class"]: s["cosine"] for s in row["similarity"]}
        assert similarity == pytest.approx(expected["similarity"], abs=1e-5)
        assert row["margin"] == pytest.approx(expected["margin"], abs=1e-5)
        assert row["vote"] == expected["vote"]
        assert row["correct"] == (row["vote"] == row["label"])
    assert slow == {}


def test_ties_go_to_the_first_class_and_margins_to_the_next_best(tmp_path) -> None:
    # centroids (1, 0) and (0, 1): (1, 1) and the zero vector are as near to one as to the other
    train = np.float32([[[1, 0], [0, 1]]])
    test = np.float32([[[1, 1], [0, 0], [1, 3]]])
    store = make_store(tmp_path / "s", train, ["z", "a"], test, ["a", "z", "a"])
    rows = heads_frame(store).collect()
    assert rows["vote"].to_list() == ["z", "z", "a"]
    assert rows["correct"].to_list() == [False, True, True]
    # cosines of (1, 3): 3 / sqrt(10) and 1 / sqrt(10)
    assert rows["margin"].to_list() == pytest.approx([0, 0, 2 / 10**0.5], abs=1e-6)
    train = np.float32([[[1, 0, 0], [0, 1, 0], [0, 0, 1]]])
    store = make_store(tmp_path / "t", train, list("abc"), np.float32([[[1, 3, 2]]]), ["b"])
    (row,) = heads_frame(store).collect().to_dicts()
    assert row["margin"] == pytest.approx(1 / 14**0.5, abs=1e-6)  # (3 - 2) / |(1, 3, 2)|
    similarity = {one["class"]: one["cosine"] for one in row["similarity"]}
    assert similarity == pytest.approx({"a": 1 / 14**0.5, "b": 3 / 14**0.5, "c": 2 / 14**0.5})


def test_a_vote_on_what_has_no_label_is_neither_right_nor_wrong(tmp_path) -> None:
    features = {0: np.float32([[[1, 0], [0, 1]]])}
    store = write_store(
        tmp_path / "s",
        identity(grid=(LayerGrid(0, (0,), 2),)),
        {"train": features, "unlabelled": features},
        {"train": [{"label": "z"}, {"label": "a"}], "unlabelled": [{"label": None}] * 2},
    )
    rows = heads_frame(store, split="unlabelled").collect()
    assert rows.select("vote", "correct").rows() == [("z", None), ("a", None)]


def test_heads_come_in_the_order_asked(make) -> None:
    store, heads = make(), [(0, 3), (0, 0), (0, 2)]
    rows = heads_frame(store, heads).collect()
    for _, part in rows.group_by("id"):
        assert part["name"].to_list() == ["L0.H3", "L0.H0", "L0.H2"]
    everything = heads_frame(store).filter(pl.col("head") != 1).collect()
    assert_frame_equal(rows.sort("id", "head"), everything.sort("id", "head"))


def test_rows_are_the_same_whatever_the_shards(make) -> None:
    frames = [heads_frame(make(rows)).collect().sort("id", "head") for rows in (1, 2, 100)]
    for other in frames[1:]:
        assert_frame_equal(frames[0], other, abs_tol=1e-6)


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_a_part_of_the_frame_is_that_part(make, engine) -> None:
    store = make()
    whole, lazy = heads_frame(store).collect(), heads_frame(store)
    assert dict(lazy.collect_schema()) == dict(whole.schema) == dict(HEAD_VOTE_SCHEMA)
    wrong = ~pl.col("correct") & (pl.col("layer") == 0)
    for query in (
        lambda frame: frame.filter(wrong),
        lambda frame: frame.select("margin", "id"),
        lambda frame: frame.head(7),
        lambda frame: frame.filter(wrong).select("name").head(3),
        lambda frame: frame.select(pl.len()),
        lambda frame: frame.filter(pl.col("vote") == "nothing"),
    ):
        assert_frame_equal(query(lazy).collect(engine=engine), query(whole))
    counted = lazy.group_by("name").agg(pl.col("correct").sum()).sort("name").collect(engine=engine)
    assert counted["correct"].sum() == whole["correct"].sum()


def test_nothing_is_read_before_the_frame_is_collected(make, monkeypatch) -> None:
    store, opened = make(), []
    open_shard = savs.stores.read.shards.open_shard
    monkeypatch.setattr(
        savs.stores.read.shards,
        "open_shard",
        lambda path, *a: opened.append(path) or open_shard(path, *a),
    )
    lazy = heads_frame(store, [(0, 1)]).filter(pl.col("correct"))
    assert opened == []
    lazy.collect()
    assert {path.name.split("-")[0] for path in opened} == {"train", "test"}


def test_a_missing_head_or_shard_is_named(make) -> None:
    store = make()
    with pytest.raises(HeadNotFoundError, match=r"holds no head L0\.H9"):
        heads_frame(store, [(0, 1), (0, 9)]).collect()
    (store.path / "test-00001.h5").unlink()
    with pytest.raises(StoreIncompleteError, match=r"shard test-00001\.h5 is missing"):
        heads_frame(open_store(store.path)).collect()


def test_a_subtask_whose_training_examples_may_still_come_is_left_out(arrays, tmp_path) -> None:
    values, own = arrays["train"][:, :4], [{"subtask": name} for name in "sstt"]
    given = (values, [*"abab"], values, [*"abab"])
    path = make_store(tmp_path, *given, train_rows=own, test_rows=own, shard_rows=2).path
    (path / "train-00001.h5").unlink()
    known = heads_frame(open_store(path, partial=True), [(0, 1)]).collect()
    assert set(known["subtask"]) == {"s"}
