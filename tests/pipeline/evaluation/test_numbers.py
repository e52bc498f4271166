"""Stores of numbers: select and evaluate against scikit-learn's Ridge in float64, and refusals."""

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from number_stores import GRID, TEST, TRAIN, make_numbers, options
from sklearn.linear_model import Ridge
from sklearn.metrics import cohen_kappa_score

import savs
from savs.foundation.errors import ParameterError, SavsError
from savs.pipeline.errors import OwnCodeError, SelectionError
from savs.pipeline.evaluation.cross_validation import INFLATION
from savs.pipeline.evaluation.results import Result
from savs.pipeline.evaluation.suggest import CANDIDATES
from savs.pipeline.evaluation.suspects import suspects
from savs.pipeline.heads.folds import number_folds
from savs.pipeline.readouts.ridge import NUMBER_STRENGTHS, RIDGE
from savs.pipeline.reports.suggestions.suggestions import write_suggestions
from savs.pipeline.targets.numbers import NumberRule, fit_reach
from savs.pipeline.targets.tasks import Measuring
from savs.stores import LayerGrid
from stores import identity, make_store, write_store


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    root = tmp_path_factory.mktemp("numbers")
    return {kind: make_numbers(root / kind, kind) for kind in ("regression", "ordinal")}


def unit(rows):
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def side_by_side(features, heads):
    places = {(grid.layer, h): i for grid in GRID for i, h in enumerate(grid.heads)}
    return np.hstack([unit(features[layer][places[layer, h]]) for layer, h in heads])


def oracle(rows, numbers, clusters, new):
    """Prediction of new rows by the best strength, and the least left-out squared error."""

    def fitted(kept, strength):
        spread = np.square(rows[kept] - rows[kept].mean(axis=0)).sum()
        return Ridge(strength * spread, solver="svd").fit(rows[kept], numbers[kept])

    folds = number_folds(numbers, 5, clusters)
    errors = np.zeros(len(NUMBER_STRENGTHS))
    for fold in range(5):
        out = folds == fold
        for place, strength in enumerate(NUMBER_STRENGTHS):
            errors[place] += np.square(
                fitted(~out, strength).predict(rows[out]) - numbers[out]
            ).sum()
    best = len(errors) - 1 - errors[::-1].argmin()
    everything = np.ones(len(rows), bool)
    return fitted(everything, NUMBER_STRENGTHS[best]).predict(new), errors[best]


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["regression", "ordinal"])
def test_predictions_intervals_and_scores_are_those_of_scikit_learn(stores, kind):
    store, numbers, features = stores[kind]
    clusters = np.arange(TRAIN) // 2
    calibrated = savs.calibrate(store, savs.select(store, heads=3))
    selection = calibrated.selection
    (task,) = selection.tasks
    assert (selection.readout, selection.scoring, selection.labels) == ("ridge", "kfold", kind)
    train, truth = numbers[:TRAIN], numbers[TRAIN:]
    explained = {
        head: TRAIN * (1 - head_error(features, head, train, clusters)) for head in store.heads
    }
    best = sorted(explained, key=lambda head: -explained[head])[:3]
    assert [*task.heads] == best
    assert task.scores == pytest.approx([explained[head] for head in best], abs=1e-3)
    rows = side_by_side(features, best)
    expected, _ = oracle(rows[:TRAIN], train, clusters, rows[TRAIN:])
    table = savs.evaluate(store, selection).predictions
    assert table["value"].to_numpy() == pytest.approx(expected, abs=1e-3)
    (left_out,) = calibrated.left_out
    errors = np.abs(task.decision.numbers(left_out.scores.soft) - train[left_out.rows])
    # 40 clusters of two, of which each and a new one weigh 1 / 41: 39 of 41 are the first 95 %
    ordered = np.sort(errors)
    assert task.decision.reach == pytest.approx(ordered[int(np.ceil(0.95 * 41 * 2 - 1e-9)) - 1])
    low, high = expected - task.decision.reach, expected + task.decision.reach
    if kind == "ordinal":
        levels = np.unique(train)
        said = levels[np.abs(expected[:, None] - levels).argmin(axis=1)]
        assert table["prediction"].cast(pl.Float64).to_numpy().tolist() == said.tolist()
        inside = (levels >= low[:, None]) & (levels <= high[:, None]) | (levels == said[:, None])
        low, high = np.where(inside, levels, 9).min(axis=1), np.where(inside, levels, 0).max(axis=1)
        assert (table["correct"].to_numpy() == (said == truth)).all()
    assert table["low"].to_numpy() == pytest.approx(low, abs=1e-3)
    assert table["high"].to_numpy() == pytest.approx(high, abs=1e-3)
    (run,) = selection.runs()
    said = selection.target.said(run, run.score(store.features("test", list(run.heads))))
    assert [one.prediction for one in said] == table["prediction"].to_list()
    ends = np.array([one.interval for one in said], float)
    assert ends == pytest.approx(table.select("low", "high").to_numpy(), abs=0.01)
    (run,) = savs.select(store, heads=3).runs()  # not calibrated: no interval is known
    said = selection.target.said(run, run.score(store.features("test", list(run.heads))))
    assert {one.interval for one in said} == {None}


def test_a_users_readout_of_numbers_is_fitted_and_checked(stores):
    store, *_ = stores["regression"]
    own = replace(RIDGE, name="own", fit_numbers=lambda *given: RIDGE.fit_numbers(*given))
    expected = savs.evaluate(store, savs.select(store, heads=3)).predictions
    found = savs.evaluate(store, savs.select(store, heads=3, readout=own)).predictions
    assert found["value"].equals(expected["value"])
    with pytest.raises(OwnCodeError, match="of the readout 'own' raises ZeroDivisionError"):
        savs.select(store, readout=replace(own, fit_numbers=lambda *given: 1 / 0))


def head_error(features, head, numbers, clusters):
    """Least left-out squared error of a head alone, in that of the mean of the others."""
    rows, folds = side_by_side(features, [head])[:TRAIN], number_folds(numbers, 5, clusters)
    _, error = oracle(rows, numbers, clusters, rows[:1])
    means = np.array([numbers[folds != fold].mean() for fold in folds])
    return error / np.square(numbers - means).sum()


def test_folds_keep_clusters_whole_and_spread_the_numbers():
    rng = np.random.default_rng(0)
    numbers, clusters = rng.normal(size=120), np.arange(120)
    parts = number_folds(numbers, 5, clusters)
    assert np.bincount(parts).tolist() == [24] * 5
    assert max(np.bincount(parts[numbers > np.quantile(numbers, 0.9)], minlength=5)) <= 4
    together = number_folds(numbers, 5, clusters // 3)
    assert all(len(set(together[start : start + 3])) == 1 for start in range(0, 120, 3))


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["regression", "ordinal"])
def test_what_is_saved_is_read_again_and_metrics_are_of_the_table(stores, kind, tmp_path):
    store, numbers, _ = stores[kind]
    selection = savs.calibrate(store, savs.select(store, heads=3)).selection
    folder = savs.save_selection(selection, tmp_path / "saved")
    result = savs.evaluate(store, savs.load_selection(folder))
    again = savs.evaluate(store, selection)
    assert result.predictions.equals(again.predictions)
    metrics = {metric.name: metric for metric in result.metrics}
    table, truth, train = result.predictions, numbers[TRAIN:], numbers[:TRAIN]
    errors = table["value"].to_numpy() - truth
    assert metrics["MAE"].value == pytest.approx(np.abs(errors).mean())
    assert metrics["MAE"].chance == pytest.approx(np.abs(truth - np.median(train)).mean())
    assert metrics["MAE"].clusters == TEST // 2
    assert ("quadratic kappa" in metrics) == (kind == "ordinal")
    if kind == "ordinal":
        levels = table["prediction"].cast(pl.Float64).to_numpy()
        known = sorted({*train, *truth, *levels})
        expected = cohen_kappa_score(truth, levels, labels=known, weights="quadratic")
        assert metrics["quadratic kappa"].value == pytest.approx(expected)
    inside = (table["low"].to_numpy() <= truth) & (truth <= table["high"].to_numpy())
    assert metrics["interval coverage"].value == pytest.approx(inside.mean())
    assert 0.8 < inside.mean() < 1
    savs.save_evaluation(result, tmp_path / "result")
    assert Result(tmp_path / "result").metrics["metrics"][0]["scale"] == "error"
    assert Result(tmp_path / "result").predictions()["value"].equals(table["value"])


@pytest.mark.thorough
def test_left_out_intervals_come_from_the_other_folds(stores):
    store, numbers, _ = stores["regression"]
    result = savs.evaluate(store, savs.select(store, heads=3), on="folds")
    table = result.predictions
    assert table.height == TRAIN
    errors = np.abs(table["value"].to_numpy() - numbers[:TRAIN])
    clusters = np.arange(TRAIN) // 2
    folds = number_folds(numbers[:TRAIN], 5, clusters)
    reaches = [fit_reach(errors[folds != fold], clusters[folds != fold]) for fold in folds]
    assert (table["high"] - table["low"]).to_numpy() / 2 == pytest.approx(reaches, abs=1e-6)
    metrics = {metric.name: metric for metric in result.metrics}
    assert metrics["RMSE"].value == pytest.approx(
        np.sqrt(np.square(table["value"].to_numpy() - numbers[:TRAIN]).mean())
    )
    alone, shared = (
        result.target.measure(
            table.lazy(), result.selection, {}, Measuring(metrics=lambda *_: [], inflation=factor)
        ).tables["ranges"]
        for factor in (1, INFLATION)
    )
    assert result.tables["ranges"].equals(shared)
    assert (shared["low"] < alone["low"]).all()
    one_out = savs.evaluate(store, savs.select(store, heads=3), on="folds", folds="loo")
    assert "40-fold" in one_out.notes[0]


def test_coverage_counts_the_left_out_examples_that_have_an_interval(tmp_path):
    features = np.random.default_rng(0).normal(size=(1, 23, 4)).astype(np.float32)
    rows = [{"label": repr(float(row[0] + row[1]))} for row in features[0]]
    store = write_store(
        tmp_path / "few",
        identity(grid=(LayerGrid(0, (0,), 4),), options=options("regression")),
        {"train": {0: features}},
        {"train": rows},
    )
    result = savs.evaluate(store, savs.select(store), on="folds")
    # three folds of 5 leave 18 others, one too few for an interval; two of 4 leave 19
    table = result.predictions.drop_nulls("low")
    assert table.height == 8
    coverage = result.metrics[-1]
    assert (coverage.name, coverage.units) == ("interval coverage", 8)
    assert coverage.value == table["correct"].mean()
    assert any(note.startswith("there are no intervals for 15") for note in result.notes)


def test_a_skipped_example_counts_as_the_mean(tmp_path):
    store, numbers, _ = make_numbers(tmp_path / "skips", skipped=(4,))
    result = savs.evaluate(store, savs.select(store, heads=2))
    row = result.predictions.row(4, named=True)
    assert (row["prediction"], row["value"], row["correct"]) == (None, None, False)
    errors = result.units[0].scores["score"]
    assert errors[4] == pytest.approx(abs(numbers[TRAIN + 4] - numbers[:TRAIN].mean()))
    assert any("with the mean of the training numbers" in note for note in result.notes)
    assert any(f"there are no intervals for {TEST - 1} ex" in note for note in result.notes)
    calibrated = savs.calibrate(store, savs.select(store, heads=2)).selection
    result = savs.evaluate(store, calibrated)
    coverage = result.metrics[-1]
    assert (coverage.name, coverage.units) == ("interval coverage", TEST)  # one is outside
    assert coverage.value == result.predictions["correct"].mean()


def test_levels_that_training_lacks_are_named(tmp_path):
    numbers = [str(1 + i % 3) for i in range(12)]
    values = np.random.default_rng(0).normal(size=(1, 14, 4)).astype(np.float32)
    store = write_store(
        tmp_path / "levels",
        identity(grid=(LayerGrid(0, (0,), 4),), options=options("ordinal")),
        {"train": {0: values[:, :12]}, "test": {0: values[:, 12:]}},
        {"train": [{"label": n} for n in numbers], "test": [{"label": "3"}, {"label": "7"}]},
    )
    result = savs.evaluate(store, savs.select(store))
    assert any(note.startswith("level 7 of 1 example is in no training") for note in result.notes)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["1", "2", "3", "4"], r"has 4 independent training examples, from 'train:0' to 'train:3'"),
        (
            ["5"] * 6,
            r"all 6 training examples of .*, from 'train:0' to 'train:5', have the number 5",
        ),
    ],
)
def test_too_few_rows_and_one_number_are_named(tmp_path, labels, message):
    store = write_store(
        tmp_path / "odd",
        identity(grid=(LayerGrid(0, (0,), 2),), options=options("regression")),
        {"train": {0: np.ones((1, len(labels), 2), np.float32)}},
        {"train": [{"label": label} for label in labels]},
    )
    with pytest.raises(SelectionError, match=message):
        savs.select(store)


def test_features_without_any_spread_predict_the_mean(tmp_path):
    store = write_store(
        tmp_path / "flat",
        identity(grid=(LayerGrid(0, (0,), 2),), options=options("regression")),
        {split: {0: np.ones((1, 8, 2), np.float32)} for split in ("train", "test")},
        {split: [{"label": str(i)} for i in range(8)] for split in ("train", "test")},
    )
    result = savs.evaluate(store, savs.select(store))
    assert result.predictions["value"].to_list() == [3.5] * 8
    assert [metric.name for metric in result.metrics] == ["MAE", "RMSE", "R2"]


def test_what_is_for_classes_is_refused(stores, tmp_path):
    store, _, _ = stores["regression"]
    selection = savs.select(store, heads=2)
    cases = [
        (
            SelectionError,
            "`readout` vote is for classes",
            lambda: savs.select(store, readout="vote"),
        ),
        (SelectionError, "`scoring` loo is for classes", lambda: savs.select(store, scoring="loo")),
        (
            SelectionError,
            "has a number, for which a risk does not work; omit `risk`",
            lambda: savs.evaluate(store, selection, risk=0.1),
        ),
        (
            SelectionError,
            "own answer does not work; use ridge",
            lambda: savs.evaluate(store, "zero-shot"),
        ),
        (ParameterError, "`joint_heads` is for", lambda: savs.select(store, joint_heads=True)),
    ]
    for kind, message, call in cases:
        with pytest.raises(kind, match=message):
            call()
    ones = np.ones((1, 2, 2), np.float32)
    one = make_store(tmp_path / "one", ones, ["a", "b"], ones, ["a", "b"])
    mixed = replace(savs.select(one, heads=1), source=selection.source)
    with pytest.raises(SelectionError, match="labels: one label in the selection, a number in"):
        savs.evaluate(store, mixed)


@pytest.mark.thorough
def test_suspects_are_the_numbers_farthest_from_what_the_others_say(tmp_path):
    store, numbers, _ = make_numbers(tmp_path / "wrong")
    wrong = repr(float(numbers[7]) + 400)
    savs.label(store, {"train:7": wrong})
    store = savs.open_store(store.path)
    selection = savs.calibrate(store, savs.select(store)).selection
    table = suspects(store, selection)
    assert table["id"][0] == "train:7"
    assert (table["label"][0], table["strength"][0]) == (wrong, 1.0)
    assert table["margin"].to_list() == sorted(table["margin"], reverse=True)
    errors = savs.evaluate(store, selection, on="folds").predictions
    errors = errors.select(error=pl.col("value") - pl.col("label").cast(pl.Float64))["error"]
    shares = [(errors.abs() <= margin + 1e-3).mean() for margin in table["margin"]]
    assert table["strength"].to_list() == pytest.approx(shares)
    low, high = errors.quantile(0.25, "linear"), errors.quantile(0.75, "linear")
    far = (errors < low - 1.5 * (high - low)) | (errors > high + 1.5 * (high - low))
    assert table.height == far.sum()
    assert table.height < 5
    assert abs(table["margin"][0] - 400) < 40


def test_reach_is_that_of_split_conformal_without_clusters():
    errors = np.random.default_rng(0).normal(size=99)
    assert fit_reach(errors, np.arange(99)) == np.sort(np.abs(errors))[94]
    assert fit_reach(np.ones(18), np.arange(18)) is None
    # 19 of 20 clusters are 95 %, whatever the sum of their sevenths is in floats
    assert fit_reach(np.ones(19 * 7), np.repeat(np.arange(19), 7)) == 1


def test_an_interval_of_levels_has_one_at_least():
    rule = NumberRule.of(np.array([1.0, 2, 5]), is_ordinal=True)
    low, high = rule.intervals(np.array([1.4, 3.0, 3.6, 9.0]), 0.2)
    assert low.tolist() == [1, 2, 5, 5]
    assert high.tolist() == [1, 2, 5, 5]
    assert rule.nearest(np.array([1.5, 3.5])).tolist() == [1, 2]  # the lower of two
    assert [ends.item() for ends in rule.intervals(np.array([1.5]), 0.5)] == [1, 2]


def test_a_number_can_be_corrected_and_a_wrong_one_is_named(tmp_path):
    store, numbers, _ = make_numbers(tmp_path / "corrected")
    first = store.examples("train")["id"][0]
    changed = savs.label(store, {first: "2001.5"}).changes
    assert changed["label"].to_list() == ["2001.5"]
    again = savs.open_store(store.path)
    assert again.examples("train")["label"].to_list()[0] == "2001.5"
    assert savs.select(again).tasks[0].decision.mean == pytest.approx(
        (numbers[:TRAIN].sum() - numbers[0] + 2001.5) / TRAIN
    )
    with pytest.raises(SavsError, match="expected a finite number"):
        savs.label(store, {first: "many"})


@pytest.mark.thorough
def test_the_widest_intervals_are_suggested_and_of_equal_ones_the_images_that_differ(
    stores, tmp_path
):
    store, _, _ = stores["ordinal"]
    selection = savs.calibrate(store, savs.select(store)).selection
    table = savs.evaluate(store, selection).predictions
    widths = dict(zip(table["id"], table["high"] - table["low"], strict=True))
    least = sorted(widths.values(), reverse=True)[CANDIDATES * 2 - 1]
    suggested = savs.suggest(store, selection, n=2).table
    assert all(widths[name] >= least for name in suggested["id"])
    assert suggested["margin"].to_list() == [-widths[name] for name in suggested["id"]]

    write_suggestions(store, savs.suggest(store, selection, n=2), out=tmp_path / "next.html")
    levels = sorted({*store.examples("train")["label"]}, key=float)
    keys = re.findall(r'data-key="\d" data-class="(.*?)"', (tmp_path / "next.html").read_text())
    assert keys == levels[:10]

    store, _, _ = stores["regression"]
    selection = savs.calibrate(store, savs.select(store)).selection
    write_suggestions(store, savs.suggest(store, selection, n=2), out=tmp_path / "next.html")
    page = (tmp_path / "next.html").read_text()
    assert "Type a number below each picture" in page
    assert "<kbd>" not in page  # a digit is typed, it is no key of a class
    assert "<option" not in page
    names = savs.suggest(store, selection, n=TEST // 4).table["id"].to_list()
    places = [int(name.partition(":")[2]) for name in names]
    assert max(places) > 3 * TEST // 4  # from the whole split, not from its beginning
    groups = store.examples("test")["group"]
    # two of a group are nearly alike, so that farthest-first takes one of most groups
    assert len({groups[place] for place in places}) > 0.8 * len(places)
