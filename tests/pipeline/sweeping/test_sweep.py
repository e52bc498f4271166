"""A sweep gives what select and evaluate give, draw by draw."""

import numpy as np
import polars as pl
import pytest

from savs.datasets import Units
from savs.pipeline import evaluate, select, sweep
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.centroids import class_centroids
from savs.pipeline.heads.training_set import training_tasks
from savs.pipeline.readouts import READOUTS
from savs.pipeline.readouts.vote import VOTE
from savs.pipeline.sweeping.draws import make_draws
from savs.pipeline.sweeping.summary import Cell, summarise_cells
from savs.pipeline.sweeping.vote_batched import many_votes
from stores import make_store

pytestmark = pytest.mark.thorough

CLASSES = ("cat", "dog", "bird")


def noisy(labels, heads=6, width=8, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(heads, len(CLASSES), width))
    pull = np.linspace(0, 1, heads)[:, None, None]
    places = [CLASSES.index(label) for label in labels]
    return (pull * centres[:, places] + rng.normal(size=(heads, len(labels), width))).astype("f4")


@pytest.fixture
def store(tmp_path):
    train, test = CLASSES * 4, (CLASSES * 5)[:13]
    return make_store(tmp_path / "s", noisy(train), train, noisy(test, seed=1), test, shard_rows=5)


def drawn(store, tmp_path, draw, name):
    """Return a store whose train split is a draw's examples."""
    rows = draw.task.rows
    examples, test = store.examples("train"), store.examples("test")
    return make_store(
        tmp_path / name,
        store.features("train")[:, rows],
        examples["label"].to_numpy()[rows].tolist(),
        store.features("test"),
        test["label"].to_list(),
    )


@pytest.mark.parametrize(
    "readout",
    [pytest.param(n, marks=[] if n == "vote" else pytest.mark.thorough) for n in READOUTS],
)
def test_each_cell_is_a_selection_and_an_evaluation_of_the_draw(store, tmp_path, readout):
    found = sweep(store, heads=[1, 3, "all"], shots=[2, 3], draws=2, readouts=[readout], seed=5)
    values = found.draws.filter(pl.col("metric") == "accuracy")
    assert values.height == 3 * 2 * 2
    for draw in make_draws(training_tasks(store), [2, 3], 2, seed=5):
        alone = drawn(store, tmp_path, draw, f"{draw.shots}-{draw.number}")
        for count in (1, 3, 6):
            expected = evaluate(alone, select(alone, heads=count, readout=readout))
            cell = values.filter(heads=count, shots=draw.shots, draw=draw.number)
            assert cell["value"].to_list() == pytest.approx([expected.metrics[0].value])


@pytest.mark.parametrize("readout", ["vote", "lda"])
def test_rows_in_another_order_in_the_shards_keep_their_features(store, tmp_path, readout):
    labels = [store.examples(split)["label"].to_list() for split in ("train", "test")]
    features = [store.features(split) for split in ("train", "test")]
    mixed = make_store(
        *(tmp_path / "mixed", features[0], labels[0], features[1], labels[1]),
        test_groups=[f"image {row % 4}" for row in range(13)],
        shard_rows=5,
    )
    assert mixed.manifest.plan.splits["test"].order is not None
    options = {"shots": [2], "draws": 2, "readouts": [readout]}
    assert sweep(mixed, **options).draws.equals(sweep(store, **options).draws)


def test_a_pass_a_draw_gives_what_one_pass_gives(store, monkeypatch):
    whole = sweep(store, shots=[2], draws=3, readouts=["vote", "lda"])
    monkeypatch.setattr("savs.pipeline.sweeping.passes.MEMORY", 1)
    assert sweep(store, shots=[2], draws=3, readouts=["vote", "lda"]).draws.equals(whole.draws)


def test_votes_one_fit_at_a_time_are_those_of_all_at_once(store, monkeypatch):
    whole = sweep(store, shots=[1, 3], draws=3)
    monkeypatch.setattr("savs.pipeline.sweeping.vote_batched.TABLE", 1)
    assert sweep(store, shots=[1, 3], draws=3).draws.equals(whole.draws)
    monkeypatch.setattr("savs.pipeline.sweeping.passes.LARGEST_TABLE", 1)
    assert sweep(store, shots=[1, 3], draws=3).draws.equals(whole.draws)


@pytest.mark.parametrize(
    ("heads", "classes", "width", "low", "high", "shots"),
    [(5, 4, 8, -2, 3, 3), (5, 4, 8, -1, 2, 4), (10, 6, 16, -1, 2, 2), (1, 4, 8, -1, 2, 3)],
)
def test_integer_features_tie_alike_in_a_sweep_and_in_an_evaluation(
    heads, classes, width, low, high, shots
):
    # small integers: thousands of cosines are equal, and each product rounds them differently
    rng = np.random.default_rng(heads)
    features = rng.integers(low, high, size=(heads, 200, width)).astype(np.float32)
    labels = np.arange(classes * shots) % classes
    draws = rng.integers(low, high, size=(30, heads, classes * shots, width)).astype(np.float32)
    fits = [class_centroids(draw, labels, classes) for draw in draws]
    order = list(range(heads))
    differences = 0
    for own, (found,) in zip(
        fits, many_votes(features, fits, [order] * len(fits), [heads]), strict=True
    ):
        choice = VOTE.load(centroids=own).scores(features).choice
        differences += int((choice != found.choice).sum())
    assert differences == 0


@pytest.mark.parametrize("seed", range(4))
def test_many_votes_are_votes_ties_and_twins_included(seed):
    rng = np.random.default_rng(seed)
    features = rng.integers(-1, 2, size=(6, 40, 4)).astype(np.float32)
    fits = [rng.integers(-1, 2, size=(6, 3, 4)).astype(np.float32) for _ in range(3)]
    fits[0][2, 2] = fits[0][2, 0]  # a twin: its votes go to the first class
    orders = [rng.permutation(6).tolist() for _ in fits]
    for own, order, found in zip(
        fits, orders, many_votes(features, fits, orders, [1, 2, 5, 6]), strict=True
    ):
        for count, scores in zip([1, 2, 5, 6], found, strict=True):
            ranked = order[:count]
            expected = VOTE.load(centroids=own[ranked]).scores(features[ranked])
            np.testing.assert_array_equal(scores.scores, expected.scores)
            np.testing.assert_array_equal(scores.choice, expected.choice)
            np.testing.assert_allclose(scores.soft, expected.soft, atol=1e-6)


def test_draws_differ_and_fewer_shots_are_among_more(store):
    tasks = training_tasks(store)
    found = {(d.shots, d.number): set(d.task.rows) for d in make_draws(tasks, [1, 3], 4, seed=0)}
    assert len({tuple(sorted(rows)) for rows in found.values()}) == 8
    for number in range(4):
        assert found[1, number] < found[3, number]
        assert len(found[3, number]) == 9
    again = make_draws(tasks, [1, 3], 4, seed=0)
    assert [set(d.task.rows) for d in again] == list(found.values())
    assert set(make_draws(tasks, [3], 1, seed=1)[0].task.rows) != found[3, 0]


def test_as_many_shots_as_the_pool_has_are_refused(store):
    with pytest.raises(SelectionError, match=r"the pool has 4 examples of class 'bird'.*below 4"):
        sweep(store, shots=[2, 4])


def test_all_readouts_get_the_same_draws(store):
    found = sweep(store, shots=[2], draws=2, readouts=["posterior", "vote"], heads=[6]).draws
    alone = sweep(store, shots=[2], draws=2, readouts=["vote"], heads=[6]).draws
    assert found.filter(readout="vote").equals(alone)


def test_the_interval_covers_draws_and_clusters():
    # one draw right on all units, one wrong on all: mean .5, SD sqrt(.5); with both draws resampled
    # a replicate is 0, .5 or 1, so the interval is 0 to 1, whatever the clusters are
    def units(score):
        frame = pl.DataFrame({"score": [score] * 6, "cluster": list("aabbcc"), "stratum": "all"})
        return [Units("accuracy", frame, chance=0.5)]

    cells = {Cell("vote", 1, 1, 0): units(0.0), Cell("vote", 1, 1, 1): units(1.0)}
    (row,) = summarise_cells(cells, seed=0).summary.to_dicts()
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((0.5, 0.0, 1.0))
    assert row["draws"] == 2
    assert row["sd"] == pytest.approx(0.5**0.5)


def test_a_skipped_test_example_counts_as_wrong(tmp_path):
    labels = CLASSES * 4
    clear = np.stack([np.eye(len(CLASSES), dtype=np.float32)[[0, 1, 2] * 4]] * 2)  # all are right
    store = make_store(tmp_path / "s", clear, labels, clear, labels, test_skipped=range(6))
    found = sweep(store, shots=[2], draws=3, heads=[1])
    assert found.draws["units"].unique().to_list() == [12]
    row = found.summary.row(0, named=True)
    assert (row["metric"], row["mean"]) == ("accuracy", 0.5)
    assert row["low"] < 0.5 < row["high"]
