"""Numbers in comparisons, sweeps and reports: next to what evaluations of the same rows say."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from number_stores import TEST, make_numbers
from scipy.stats import t
from typer.testing import CliRunner

import savs
from savs.foundation.errors import ParameterError
from savs.pipeline.cli.app import app
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.compare.compare import across_data_sets
from savs.pipeline.evaluation.suspects import suspects
from savs.pipeline.evaluation.sweep.draws import make_draws
from savs.pipeline.evaluation.sweep.table import join_sweeps
from savs.pipeline.evaluation.tables import comparison_tables, sweep_table
from savs.pipeline.readouts import ClassScores
from savs.pipeline.reports.pages.charts import nice_ticks
from savs.pipeline.reports.report.curves import charts_of_sweep
from savs.pipeline.selection.training_data import StoredTraining
from savs.pipeline.targets.numbers import REGRESSIONS, NumberRule
from stores import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_numbers(tmp_path_factory.mktemp("numbers") / "store")[0]


@pytest.fixture(scope="module")
def results(store):
    """The results of one head without intervals, and of five with them."""
    folders = []
    for heads in (1, 5):
        selection = savs.select(store, heads=heads)
        if heads == 5:
            selection = savs.calibrate(store, selection).selection
        folders.append(store.path / "results" / f"of{heads}")
        savs.save_evaluation(savs.evaluate(store, selection), folders[-1])
    return folders


def errors(store, folder):
    table = pl.read_parquet(folder / "predictions.parquet")
    return (table["value"] - table["label"].cast(pl.Float64)).abs().to_numpy(), table


def test_a_difference_of_errors_is_paired_by_example_with_groups_as_clusters(store, results):
    rows = {row["metric"]: row for row in savs.compare(results).iter_rows(named=True)}
    assert [*rows] == ["MAE", "RMSE", "R2", "Spearman's rho"]  # one has no intervals to cover
    first, second = (errors(store, folder)[0] for folder in results)
    apart = second - first
    row = rows["MAE"]
    assert (row["scale"], row["units"], row["clusters"]) == ("error", TEST, TEST // 2)
    assert row["difference"] == pytest.approx(apart.mean())
    assert row["difference"] == pytest.approx(row["value_b"] - row["value_a"])
    pairs = apart.reshape(-1, 2).sum(axis=1) - 2 * apart.mean()
    clusters = TEST // 2
    error = np.sqrt((pairs**2).sum() * clusters / (clusters - 1)) / TEST
    assert row["error"] == pytest.approx(error)
    freedom = min(clusters - 1, (pairs**2).sum() ** 2 / (pairs**4).sum())
    reach = t.ppf(0.975, freedom) * error
    assert (row["low"], row["high"]) == pytest.approx((apart.mean() - reach, apart.mean() + reach))
    squares = [np.sqrt((errors(store, folder)[0] ** 2).mean()) for folder in results]
    assert rows["RMSE"]["difference"] == pytest.approx(squares[1] - squares[0])
    text = comparison_tables(savs.compare(results))[0].text()
    assert "metric (%)" not in text
    assert f"{row['value_a']:.4g}" in text


def test_equal_results_differ_by_nothing_and_have_no_interval(store, results):
    same = store.path / "results" / "same"
    savs.save_evaluation(savs.evaluate(store, savs.select(store, heads=1)), same)
    row = savs.compare([results[0], same], metric="MAE").row(0, named=True)
    assert (row["difference"], row["low"], row["high"], row["p"]) == (0, None, None, 1)


@pytest.mark.thorough
def test_errors_of_several_data_sets_have_no_mean(results, tmp_path):
    other = make_numbers(tmp_path / "other", seed=1)[0]
    folders = []
    for heads in (1, 5):
        folders.append(other.path / "results" / f"of{heads}")
        savs.save_evaluation(savs.evaluate(other, savs.select(other, heads=heads)), folders[-1])
    everything = [results[0], folders[0], results[1], folders[1]]
    assert across_data_sets(savs.compare(everything)).is_empty()
    of_fit = across_data_sets(savs.compare(everything, metric="R2"))
    assert of_fit["scale"].to_list() == ["fit"]
    sweeps = {s.path.name: savs.sweep(s, shots="all", heads=2) for s in (other,)}
    with pytest.raises(SelectionError, match="has no mean over data sets"):
        join_sweeps(sweeps | {"again": sweeps["other"]})


@pytest.fixture(scope="module")
def swept(store):
    return savs.sweep(store, heads=[1, 5], shots=[20, "all"], draws=3)


@pytest.mark.thorough
def test_a_point_of_a_sweep_is_what_evaluate_measures_and_a_draw_a_store_of_its_rows(
    store, swept, tmp_path
):
    for heads in (1, 5):
        chosen = savs.calibrate(store, savs.select(store, heads=heads)).selection
        expected = {m.name: m for m in savs.evaluate(store, chosen).metrics}
        rows = swept.values.filter(pl.col("heads") == heads, pl.col("draw") == 0)
        for row in rows.filter(pl.col("shots") == pl.col("shots").max()).iter_rows(named=True):
            assert row["value"] == pytest.approx(expected[row["metric"]].value)
            assert row["chance"] == pytest.approx(expected[row["metric"]].chance)
    tasks = StoredTraining(store).tasks()
    (draw,) = (d for d in make_draws(tasks, [20], 3, 0) if d.key.number == 1)
    assert len(set(draw.task.rows.tolist())) == 20
    part = make_numbers(tmp_path / "part", kept=draw.task.rows)[0]
    chosen = savs.calibrate(part, savs.select(part, heads=5)).selection
    expected = {m.name: m for m in savs.evaluate(part, chosen).metrics}
    for row in swept.values.filter(shots=20, heads=5, draw=1).iter_rows(named=True):
        assert row["value"] == pytest.approx(expected[row["metric"]].value)
        assert row["chance"] == pytest.approx(expected[row["metric"]].chance)


def test_the_interval_of_an_error_is_above_zero_and_less_is_better(swept):
    rows = swept.summary.filter(metric="MAE", shots=20)
    assert set(rows["scale"]) == {"error"}
    for row in rows.iter_rows(named=True):
        assert 0 < row["low"] < row["mean"] < row["high"]
        assert row["low"] * row["high"] == pytest.approx(row["mean"] ** 2)  # on a scale of logs
        values = swept.values.filter(metric="MAE", shots=20, heads=row["heads"])
        assert row["mean"] == pytest.approx(values["value"].mean())
        assert row["chance"] == pytest.approx(values["chance"].mean())
    best = swept.summary.filter(metric="MAE").sort("mean").row(0, named=True)
    assert f"best MAE: {best['mean']:.4g}" in repr(swept)
    text = sweep_table(swept.summary.filter(metric="MAE"), "MAE").text()
    assert "MAE (%)" not in text


def test_a_metric_that_one_draw_lacks_is_left_out_with_a_note(store, swept):
    few = savs.sweep(store, heads=2, shots=[10, "all"], draws=2)  # ten leave no interval to know
    assert "interval coverage" not in few.summary["metric"]
    assert any("left out: interval coverage" in note for note in few.notes)


def test_too_few_examples_of_a_draw_are_named_before_anything_is_measured(store):
    with pytest.raises(SelectionError, match="numbers need 5"):
        savs.sweep(store, shots=[4], heads=2)
    with pytest.raises(SelectionError, match=r"the pool has 80 examples; use `shots` 1 to 80"):
        savs.sweep(store, shots=[81], heads=2)


@pytest.mark.thorough
def test_a_report_shows_ranges_that_add_up_and_the_farthest_off_first(store, results, tmp_path):
    content = savs.report(results[1], out=tmp_path / "page.html", compare_heads=True)
    ranges = content.classes.ranges.frame
    off, table = errors(store, results[1])
    assert (ranges.height, ranges["n"].sum()) == (5, TEST)
    assert ranges["n"].max() - ranges["n"].min() <= 2
    assert (ranges["mae"] * ranges["n"]).sum() / TEST == pytest.approx(off.mean())
    bias = (table["value"] - table["label"].cast(pl.Float64)).mean()
    assert (ranges["bias"] * ranges["n"]).sum() / TEST == pytest.approx(bias)
    inside = table["correct"].mean()
    assert (ranges["inside"] * ranges["n"]).sum() / TEST == pytest.approx(inside)
    wrong = [card.margin for card in content.gallery.cards if not card.is_right]
    assert wrong == sorted(wrong, reverse=True)
    assert wrong[0] == pytest.approx(off[~table["correct"].to_numpy()].max(), rel=1e-6)
    assert content.classes.numbers.points.count("M") == TEST
    text = (tmp_path / "page.html").read_text()
    assert "less is better" in text
    assert "outside" in text
    assert "of the variance of left-out training examples" in text
    assert '<select name="label">' not in text  # each has a number of its own


@pytest.mark.parametrize("split", ["test", "folds"])
def test_what_heads_move_a_number_by_adds_up_to_it(store, results, tmp_path, split):
    place = results[1]
    if split == "folds":
        place = tmp_path / "of-folds"
        chosen = savs.load_selection(results[1])
        of_folds = savs.evaluate(store, chosen, on="folds")
        place = store.path / "results" / "of5-cv"
        savs.save_evaluation(of_folds, place)
    table = pl.read_parquet(place / "predictions.parquet")
    ids = table["id"][3:6].to_list()
    found = savs.explain(place, ids=ids, out=tmp_path / "page.html")
    value = dict(table.select("id", "value").iter_rows())
    for one in found.examples:
        moved = sum(head.lead for head in one.heads)
        if split == "test":  # of a fold it is the mean of the other folds
            mean = store.examples("train")["label"].cast(pl.Float64).mean()
            assert mean + moved == pytest.approx(value[one.id], abs=0.02)
        assert float(one.prediction) == pytest.approx(value[one.id], rel=1e-5)
        assert [head.vote[0] for head in one.heads] == ["+-"[head.lead < 0] for head in one.heads]
    labels = dict(store.examples("train").select("id", "label").iter_rows())
    nearest = [near for one in found.examples for head in one.heads for near in head.nearest]
    assert all(near.label == labels[near.name] for near in nearest)
    assert "moves the number by" in (tmp_path / "page.html").read_text()
    assert found.heads["similarity"].list.len().max() == 0


@pytest.mark.thorough
def test_without_intervals_no_number_is_called_wrong(store, tmp_path):
    bare = savs.select(store, heads=2)  # not calibrated: how far is too far is not known
    place = store.path / "results" / "bare"
    result = savs.evaluate(store, bare)
    assert result.predictions["correct"].null_count() == TEST
    savs.save_evaluation(result, place)
    content = savs.report(place, out=tmp_path / "page.html")
    assert content.gallery.wrong == 0
    assert all(card.is_right and not card.shown.verdict for card in content.gallery.cards)
    off, table = errors(store, place)
    farthest = table["id"][int(off.argmax())]
    assert content.gallery.cards[0].id == farthest
    found = savs.explain(place, n=3)
    assert [one.is_right for one in found.examples] == [True] * 3
    assert suspects(store, bare).height < 0.1 * TEST  # an outlying error needs no interval


def test_a_report_of_skipped_examples_has_no_plot(tmp_path):
    store = make_numbers(tmp_path / "skipped", skipped=range(TEST))[0]
    place = store.path / "results" / "ridge"
    savs.save_evaluation(savs.evaluate(store, savs.select(store, heads=2)), place)
    content = savs.report(place, out=tmp_path / "page.html")
    assert content.classes.numbers is None
    assert content.classes.ranges is not None


@pytest.mark.thorough
def test_results_of_other_labels_have_their_own_scale_in_a_report(store, results, tmp_path):
    ones = np.random.default_rng(0).normal(size=(2, 12, 4)).astype(np.float32)
    labels = ["a", "b"] * 6
    classes = make_store(tmp_path / "classes", ones, labels, ones, labels)
    place = classes.path / "results" / "vote"
    savs.save_evaluation(savs.evaluate(classes, savs.select(classes, heads=1)), place)
    for first, second in ((results[1], place), (place, results[1])):
        content = savs.report([first, second], out=tmp_path / "page.html")
        own = content.headline.results
        (row,) = (r for r in own.frame.to_dicts() if r["style"] == "other")
        assert row["scale"] == ("error" if second == results[1] else "share")
        assert row["chance"] is None
        assert own.drawing is None


def test_the_check_of_folds_sees_numbers_that_are_large_against_their_spread():
    rule = NumberRule.of(np.array([1e6, 1e6 + 3, 1e6 + 6]), is_ordinal=False)
    task = SimpleNamespace(decision=rule)
    soft = np.float32([[-1.0], [0.0], [1.0]])
    scores = ClassScores(soft, np.zeros(3, np.int64), soft)
    known = pl.DataFrame({"value": rule.numbers(soft)})
    assert REGRESSIONS.gives(task, scores, known)
    assert not REGRESSIONS.gives(task, scores, known.reverse())


def test_stores_of_numbers_are_refused_together_before_anything_is_swept(store, tmp_path):
    other = make_numbers(tmp_path / "other", seed=3)[0]
    words = ["sweep", str(store.path), str(other.path), "--out", str(tmp_path / "both")]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, ParameterError)
    assert "sweep each by itself" in str(done.exception)
    assert "swept" not in done.output


def test_chances_of_draws_are_in_order_and_no_level_line(swept):
    rows = swept.summary.filter(metric="MAE").with_columns(
        chance=pl.when(pl.col("shots") == 20).then(9.9).otherwise(10.2)
    )
    assert "chance 9.900 to 10.20" in sweep_table(rows, "MAE").notes[0]
    assert all(chart.chance is None for chart in charts_of_sweep(rows, "MAE"))


def test_ticks_hold_all_numbers_at_round_steps():
    rng = np.random.default_rng(0)
    close = [[4.5, 4.5 + 4e-15], [1e6, 1e6 + 1e-7], [0.0, 0.0]]
    for numbers in [*close, *(rng.normal(size=(300, 5)) * 10.0 ** rng.integers(-12, 12, (300, 1)))]:
        ticks = nice_ticks(numbers)
        step = ticks[1] - ticks[0]
        assert 2 <= len(ticks) <= 6
        assert ticks[0] <= min(numbers) + 1e-6 * step
        assert ticks[-1] >= max(numbers) - 1e-6 * step
        assert np.allclose(np.diff(ticks), step)
