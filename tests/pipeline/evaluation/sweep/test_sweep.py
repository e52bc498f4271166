"""A sweep gives what select and evaluate give, draw by draw."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from text_stores import make_text_store

from savs import evaluate, select, sweep
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.sweep.draws import default_shots, make_draws, pool_variance
from savs.pipeline.evaluation.sweep.table import SUMMARY_SCHEMA, VALUES_SCHEMA
from savs.pipeline.evaluation.trials import UNIT_SCHEMA
from savs.pipeline.readouts import READOUTS
from savs.pipeline.readouts.calm import POSTERIOR
from savs.pipeline.readouts.heads_fit import HeadsFit, score_fits
from savs.pipeline.readouts.hec import HEC_T
from savs.pipeline.readouts.lda import LDA
from savs.pipeline.readouts.readout import NAMES
from savs.pipeline.readouts.vote import VOTE
from savs.pipeline.selection.training_data import StoredTraining
from savs.pipeline.statistics.intervals import estimate_over_draws, weigh_units
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


def parts_of(store):
    """Return features and labels of the train split, and of the test split."""
    return [
        part
        for split in ("train", "test")
        for part in (store.features(split), store.examples(split)["label"].to_list())
    ]


def drawn(store, tmp_path, draw, name):
    """Return a store whose train split is a draw's examples."""
    (train, labels, *tests), rows = parts_of(store), draw.task.rows
    return make_store(tmp_path / name, train[:, rows], [labels[row] for row in rows], *tests)


MARKS = {"vote": (), **dict.fromkeys(("lda", "knn", "neurons"), pytest.mark.thorough)}


@pytest.mark.parametrize(
    "readout",
    [pytest.param(n, marks=MARKS.get(n, pytest.mark.costly)) for n in READOUTS],
)
def test_each_cell_is_a_selection_and_an_evaluation_of_the_draw(store, tmp_path, readout):
    found = sweep(store, heads=[1, 3, "all"], shots=[2, 3], draws=2, readouts=[readout], seed=5)
    values = found.values.filter(pl.col("metric") == "accuracy")
    assert values.height == 3 * 2 * 2
    every = sum(store.widths(store.heads)) if readout == "neurons" else 6
    for draw in make_draws(StoredTraining(store).tasks(), [2, 3], 2, seed=5):
        alone = drawn(store, tmp_path, draw, f"{draw.key.shots}-{draw.key.number}")
        for count in (1, 3, every):
            expected = evaluate(alone, select(alone, heads=count, readout=readout))
            cell = values.filter(heads=count, shots=draw.key.shots, draw=draw.key.number)
            assert cell["value"].to_list() == pytest.approx([expected.metrics[0].value])


@pytest.mark.parametrize("readout", ["vote", "lda"])
def test_rows_in_another_order_in_the_shards_keep_their_features(store, tmp_path, readout):
    groups = [f"image {row % 4}" for row in range(13)]
    mixed = make_store(tmp_path / "mixed", *parts_of(store), test_groups=groups, shard_rows=5)
    assert mixed.manifest.plan.splits["test"].order is not None
    options = {"shots": [2], "draws": 2, "readouts": [readout]}
    ours, theirs = (sweep({"s": one}, **options).values for one in (mixed, store))
    assert ours.equals(theirs)


SHOTS = {
    "too many": ([1, 5], r"5 shots .*the pool has 4 examples of class 'bird'.*1 to 4, or all"),
    "zero": ([1, 0], "shots has 0, expected positive integers or all"),
    "negative": ([1, -1], "shots has -1, expected positive integers or all"),
    "none": ([], "no number of shots was given, expected positive integers or all"),
}


@pytest.mark.parametrize(("shots", "message"), SHOTS.values(), ids=SHOTS)
def test_a_number_of_shots_that_the_pool_does_not_have_is_refused(store, shots, message):
    with pytest.raises(SelectionError, match=message):
        sweep(store, shots=shots, draws=1)


@pytest.mark.parametrize("shots", [1, 2, 3])
def test_intervals_are_about_other_pools_too(store, shots):
    found = sweep(store, shots=[shots], draws=4, readouts=["vote", "lda"], heads=[3])
    units = found.units.filter(metric="accuracy").collect()
    scores = {
        str(readout): np.array(part["scores"].to_list()).T
        for (readout,), part in units.group_by("readout", maintain_order=True)
    }
    weights = weigh_units(units.filter(readout="vote"))
    ratio = shots**2 / (16 - shots**2)  # a pool of four of each class
    for row in found.summary.filter(metric="accuracy").iter_rows(named=True):
        of = scores[row["readout"]]
        alone = estimate_over_draws(weights, of, pool_variance=ratio)
        assert (row["low"], row["high"]) == pytest.approx(alone.interval())
        if row["readout"] == "lda":
            apart = estimate_over_draws(weights, of - scores["vote"], pool_variance=ratio)
            ends = row["difference_low"], row["difference_high"]
            assert ends == pytest.approx(apart.difference_interval())
            assert row["p"] == pytest.approx(apart.p())


def test_a_pool_of_unequal_classes_has_the_ratio_of_the_sums(tmp_path):
    labels = [*["cat"] * 2, *["dog"] * 4, *["bird"] * 8]
    tasks = StoredTraining(
        make_store(tmp_path / "s", noisy(labels), labels, noisy(["cat"]), ["cat"])
    ).tasks()
    # two of 2, 4 and 8: squared shares 1, 1/4 and 1/16, in all 21/16, the rest 27/16
    assert pool_variance(tasks, 2) == pytest.approx(21 / 27)
    assert pool_variance(tasks, None) == 0
    assert default_shots(tasks, [1, 2, 4]) == [1, "all"]
    alone = StoredTraining(
        make_store(tmp_path / "t", noisy(CLASSES), CLASSES, noisy(["cat"]), ["cat"])
    ).tasks()
    assert pool_variance(alone, 1) == 0  # the whole pool
    with pytest.raises(SelectionError, match=r"has 1 example of class .*; use `shots` 1, or all$"):
        make_draws(alone, [2], 1, seed=0)


def test_thumbnails_change_nothing(store, tmp_path):
    """A skipped example has none, so the two tables of a split have other columns."""
    options, found = {"shots": [2], "draws": 2, "readouts": ["vote", "lda"]}, []
    for name, own in (("plain", {}), ("small", {"thumbnail": b"jpeg"})):
        stored = make_store(
            *(tmp_path / name, *parts_of(store)),
            train_rows=[own] * 12,
            test_rows=[{} if row == 4 else own for row in range(13)],
            test_skipped=[4],
        )
        assert ("thumbnail" in stored.examples("test").columns) == bool(own)
        methods = sweep({"s": stored, "same": store}, heads=[6], **options).values
        found.append((sweep({"s": stored}, **options).values, methods.filter(store="s")))
    for plain, small in zip(*found, strict=True):
        assert plain.height
        assert small.equals(plain)


@pytest.mark.parametrize("limit", ["MEMORY", "VOTES_KEPT", "TABLE", "LARGEST_TABLE", "BLOCK"])
def test_no_limit_of_memory_changes_a_value(store, monkeypatch, limit):
    options = {"shots": [1, 3], "draws": 3, "readouts": ["vote", "lda"]}
    whole = sweep(store, **options).values
    is_of_sweep = limit in ("MEMORY", "VOTES_KEPT")
    of_sweep = "evaluation.sweep.passes" if is_of_sweep else "readouts.heads_fit"
    monkeypatch.setattr(f"savs.pipeline.{of_sweep}.{limit}", 1)
    assert sweep(store, **options).values.equals(whole)


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
    fits = [VOTE.fit(draw, labels, [""] * classes, [width] * heads) for draw in draws]
    order = list(range(heads))
    differences = 0
    together = score_fits(fits, [order] * len(fits), features, [heads])
    for own, (found,) in zip(fits, together, strict=True):
        choice = own.scores(features).choice
        differences += int((choice != found.choice).sum())
    assert differences == 0


@pytest.mark.parametrize("most", [6, 4], ids=["all heads", "each its own heads"])
@pytest.mark.parametrize("rule", [VOTE, POSTERIOR, LDA], ids=lambda rule: rule.name)
@pytest.mark.parametrize("seed", range(4))
def test_a_batch_gives_the_scores_of_each_fit_ties_and_twins_included(seed, rule, most):
    rng = np.random.default_rng(seed)
    features = rng.integers(-1, 2, size=(6, 40, 4)).astype(np.float32)
    features[1, 3] = features[0] = 0
    labels = np.array([0, 1, 2] * 4)
    counts = [c for c in (1, 2, 4, 6) if c <= most]
    fits, orders = [], []
    for _ in range(3):
        train = rng.integers(-1, 2, size=(6, 12, 4)).astype(np.float32)
        train[2, labels == 2] = train[2, labels == 0]  # twins: their votes go to the first class
        orders.append(rng.permutation(6)[:most].tolist())
        fits.append(rule.fit(train[orders[-1]], labels, list("abc"), [4] * most))
    found = score_fits(fits, orders, features, counts)
    for fit, order, scores in zip(fits, orders, found, strict=True):
        for count, ours in zip(counts, scores, strict=True):
            arrays = {name: getattr(fit, name)[:count] for name in rule.arrays}
            expected = HeadsFit(fit.pool, **arrays).scores(features[order[:count]])
            np.testing.assert_allclose(ours.scores, expected.scores, atol=1e-6)
            np.testing.assert_allclose(ours.soft, expected.soft, atol=1e-6)
            np.testing.assert_array_equal(ours.choice, expected.choice)


def test_draws_differ_and_fewer_shots_are_among_more(store):
    tasks = StoredTraining(store).tasks()
    found = {d.key[:2]: set(d.task.rows) for d in make_draws(tasks, [1, 3], 4, seed=0)}
    assert len({tuple(sorted(rows)) for rows in found.values()}) == 8
    for number in range(4):
        assert found[1, number] < found[3, number]
        assert len(found[3, number]) == 9
    again = make_draws(tasks, [1, 3], 4, seed=0)
    assert [set(d.task.rows) for d in again] == list(found.values())
    assert set(make_draws(tasks, [3], 1, seed=1)[0].task.rows) != found[3, 0]


@pytest.mark.parametrize("shots", [[4], ["all"], ["all", 4]], ids=str)
def test_the_whole_pool_is_one_cell_and_its_evaluation(store, shots):
    found = sweep(store, shots=shots, draws=3, heads=[3])
    (cell,) = found.values.filter(metric="accuracy").to_dicts()
    assert (cell["shots"], cell["draw"]) == (4, 0)
    assert cell["value"] == evaluate(store, select(store, heads=3)).metrics[0].value
    row = found.summary.row(0, named=True)
    assert (row["draws"], row["sd"], row["low"], row["high"]) == (1, None, None, None)


def test_all_of_an_unbalanced_pool_is_more_than_its_rarest_class_has(tmp_path):
    train, test = [*CLASSES * 3, "cat", "dog"], (CLASSES * 5)[:13]
    store = make_store(tmp_path / "s", noisy(train), train, noisy(test, seed=1), test)
    found = sweep(store, draws=2, heads=[3])
    best = replace(found, summary=found.summary.filter(pl.col("shots").is_null()))
    assert repr(best).splitlines()[1].endswith(" vote of 3 heads, shots: all")
    points = found.summary.filter(metric="accuracy").select("shots", "draws").rows()
    assert points == [(1, 2), (2, 2), (None, 1)]
    draws = make_draws(StoredTraining(store).tasks(), [3, "all"], 2, 0)
    assert [draw.key.shots for draw in draws] == [3, 3, None]
    whole = found.values.filter(pl.col("shots").is_null(), metric="accuracy")["value"].item()
    assert whole == evaluate(store, select(store, heads=3)).metrics[0].value


def test_a_pool_is_whole_only_if_all_of_each_subtask_are_drawn(tmp_path):
    labels, subtasks = [*"ababab"], [*"xxxxyy"]
    values = np.zeros((1, 6, 3), np.float32)
    rows = [{"subtask": subtask} for subtask in subtasks]
    store = make_store(tmp_path / "s", values, labels, values, labels, train_rows=rows)
    tasks = StoredTraining(store).tasks()
    for some, keys in (
        (tasks, [(1, 0), (1, 1), (1, 2), (None, 0)]),
        (tasks[:1], [(1, 0), (1, 1), (1, 2), (2, 0)]),
        (tasks[1:], [(1, 0)]),
    ):
        draws = make_draws(some, [1, "all"], 3, seed=0)
        expected = [(task.subtask, *key) for task in some for key in keys]
        assert [(draw.task.subtask, *draw.key[:2]) for draw in draws] == expected


def test_differences_are_paired_and_corrected(store):
    found = sweep(store, shots=[1, 2], draws=3, heads=[2, 6], readouts=["vote", "knn", "lda"])
    assert dict(found.values.schema) == VALUES_SCHEMA
    assert dict(found.summary.schema) == SUMMARY_SCHEMA
    assert found.summary.filter(readout="vote")["difference"].null_count() == 4 * 2
    values = found.values.filter(metric="accuracy").pivot("readout", values="value")
    compared = found.summary.filter(pl.col("against") == "vote")
    for row in compared.filter(metric="accuracy").iter_rows(named=True):
        point = values.filter(heads=row["heads"], shots=row["shots"])
        expected = (point[row["readout"]] - point["vote"]).mean()
        assert row["difference"] == pytest.approx(expected, abs=1e-12)
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
        assert row["p"] <= row["p_holm"] <= 1
    headline = compared["metric"] == found.summary["metric"][0]
    assert headline.sum() == 2 * 2 * 2
    assert compared.filter(~headline)["p_holm"].null_count() == (~headline).sum()


def test_units_have_the_scores_of_every_draw(store):
    found = sweep(store, shots=[1, "all"], draws=3, heads=[2], readouts=["vote", "lda"])
    units = found.units.collect()
    assert units.columns == list(UNIT_SCHEMA)
    for row in found.summary.filter(metric="accuracy").iter_rows(named=True):
        rows = units.filter(
            pl.col("shots").eq_missing(pl.lit(row["shots"])),
            readout=row["readout"],
            metric="accuracy",
        )
        assert rows["unit"].to_list() == list(range(13))
        scores = np.array(rows["scores"].to_list())
        assert scores.shape == (13, row["draws"])
        assert scores.mean() == pytest.approx(row["mean"])
    assert found.units.filter(unit=3).head(2).collect().height == 2


def test_a_skipped_test_example_counts_as_wrong(tmp_path):
    labels = CLASSES * 4
    clear = np.stack([np.eye(len(CLASSES), dtype=np.float32)[[0, 1, 2] * 4]] * 2)  # all are right
    store = make_store(tmp_path / "s", clear, labels, clear, labels, test_skipped=range(6))
    found = sweep(store, shots=[2], draws=3, heads=[1])
    assert found.values["units"].unique().to_list() == [12]
    row = found.summary.row(0, named=True)
    assert (row["metric"], row["mean"]) == ("accuracy", 0.5)
    assert row["low"] < 0.5 < row["high"]


def test_heads_are_ordered_by_the_texts_of_each_readout(tmp_path):
    """The texts of a file are right in head 0 alone, the names in head 1 alone."""
    labels = list("ab") * 4
    x = np.tile(np.float32([[1, 0], [0, 1]]), (2, 4, 1))  # both heads: a is east, b is north
    right, wrong = [[1, 0], [0, 1]], [[0, 1], [1, 0]]
    texts = np.float32([[*right, *wrong], [*wrong, *right]])  # of each head: file, then names
    store = make_text_store(
        tmp_path / "s",
        {"train": x, "test": x, "classes": texts},
        {"train": labels, "test": labels, "classes": list("abab")},
        ["file", "file", "names", "names"],
        scale=None,
    )
    by_name = replace(HEC_T, name="hec-names", texts=NAMES)
    found = sweep(store, heads=[1], shots=["all"], readouts=[HEC_T, by_name])
    assert found.values.filter(metric="accuracy")["value"].to_list() == [1.0, 1.0]


def test_a_subtask_that_a_split_lacks(tmp_path):
    """Without test examples it is not measured; without training examples it is refused."""
    arrays = noisy(CLASSES * 2), list(CLASSES * 2)
    one, both = [{"subtask": "x"}] * 6, [{"subtask": name} for name in "xxxyyy"]
    for name, train, test in (("more", both, one), ("fewer", one, both)):
        own = {"train_rows": train, "test_rows": test}
        make_store(tmp_path / name, *arrays, *arrays, **own)
    values = sweep(tmp_path / "more", shots=["all"], heads=[2]).values
    assert values.filter(metric="accuracy")["units"].to_list() == [6]
    with pytest.raises(SelectionError, match="subtask 'y' of the test split has no training exam"):
        sweep(tmp_path / "fewer", shots=["all"])


def test_all_readouts_get_the_same_draws(store):
    options = {"shots": [2], "draws": 2, "heads": [6]}
    found = sweep(store, readouts=["posterior", "vote"], **options).values
    alone = sweep(store, readouts=["vote"], **options).values
    assert found.filter(readout="vote").equals(alone)
