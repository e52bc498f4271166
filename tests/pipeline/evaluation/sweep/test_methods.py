"""Methods of several stores on the same draws: each as by itself, and paired by example."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from answer_stores import store_with_answers
from noisy_stores import TEST, TRAIN, accuracy, noisy, other
from text_stores import draw_text_store

from savs.datasets import accuracy as accuracy_of
from savs.datasets.benchmarks.general import GENERAL
from savs.pipeline import evaluate, import_features, sweep, sweep_depth, sweep_methods
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.sweep.shared_examples import hold_same_test, shared_tasks
from savs.pipeline.evaluation.sweep.sweep_file import save_sweep
from savs.pipeline.reports.report.curves import curves_part
from stores import make_store

pytestmark = pytest.mark.thorough

GRID = {"shots": [1, 3, "all"], "draws": 3, "seed": 2}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return make_store(
        tmp_path_factory.mktemp("first") / "s", noisy(TRAIN, 0), TRAIN, noisy(TEST, 1), TEST
    )


@pytest.mark.parametrize(
    "measure",
    [sweep, sweep_depth, lambda store, **given: sweep_methods({"s": store}, **given)],
)
def test_a_grid_without_draws_or_readouts_is_refused(first, measure):
    with pytest.raises(SelectionError, match="draws is 0, expected at least 1"):
        measure(first, shots=[1], draws=0)
    with pytest.raises(SelectionError, match="no readout was given"):
        measure(first, readouts=[])
    with pytest.raises(SelectionError, match="two readouts are called 'vote'; give each once"):
        measure(first, readouts=["vote", "lda", "vote"])


def test_a_number_of_heads_that_is_text_is_refused(first):
    with pytest.raises(SelectionError, match="heads is '5'"):
        sweep_methods({"s": first}, heads="5")


def test_each_method_is_what_a_sweep_of_its_store_measures(first, tmp_path):
    stores = {"one": first, "two": other(tmp_path / "s")}
    found = sweep_methods(stores, readouts=["vote", "lda"], heads=3, **GRID).sweep
    names = ["one:vote", "two:vote", "one:lda", "two:lda"]
    assert found.summary["readout"].unique(maintain_order=True).to_list() == names
    for name, store in stores.items():
        alone = sweep(store, readouts=["vote", "lda"], heads=[3], **GRID)
        for readout in ("vote", "lda"):
            assert accuracy(found.draws, f"{name}:{readout}") == accuracy(alone.draws, readout)


def test_draws_are_matched_by_id_whatever_the_order(first, tmp_path):
    order = np.random.default_rng(0).permutation(15).tolist()
    straight, mixed = other(tmp_path / "a"), other(tmp_path / "b", order)
    sweeps = [
        sweep_methods({"one": first, "two": second}, heads=2, **GRID).sweep
        for second in (straight, mixed)
    ]
    assert sweeps[0].draws.equals(sweeps[1].draws)


def test_an_example_that_a_store_lacks_is_in_no_draw(first, tmp_path):
    lacking = [i for i in range(15) if i not in (3, 4)]
    stores = {"one": first, "two": other(tmp_path / "s", lacking)}
    tasks, absent = shared_tasks(stores)
    assert absent == 2
    ids = {
        name: stores[name].examples("train")["id"].to_numpy()[own[0].rows].tolist()
        for name, own in tasks.items()
    }
    assert ids["one"] == ids["two"] == [f"train:{i}" for i in lacking]
    found = sweep_methods(stores, heads=2, shots=[1], draws=2)
    assert found.notes == ("2 training examples are not in all stores: no draw has them",)


def test_differences_are_paired_by_unit_and_draw(first, tmp_path):
    stores = {"one": first, "two": other(tmp_path / "s")}
    found = sweep_methods(stores, heads=3, **GRID).sweep
    units = found.units.collect().filter(pl.col("metric") == "accuracy")
    rows = found.differences.filter(pl.col("metric") == "accuracy")
    assert rows.height == 3
    for row in rows.iter_rows(named=True):
        own = units.filter(pl.col("shots").eq_missing(pl.lit(row["shots"])))
        ours, theirs = (
            np.array(own.filter(readout=name)["scores"].to_list())
            for name in ("one:vote", "two:vote")
        )
        assert (row["a"], row["b"]) == ("one:vote", "two:vote")
        assert row["difference"] == pytest.approx((theirs - ours).mean())


def test_a_store_with_fewer_heads_takes_all_and_differences_remain(first, tmp_path):
    one = make_store(
        *(tmp_path / "s", noisy(TRAIN, 2, 1), TRAIN, noisy(TEST, 3, 1), TEST), model="other"
    )
    found = sweep_methods({"many": first, "one": one}, heads=3, **GRID).sweep
    heads = found.summary.select("readout", "heads").unique().rows()
    assert sorted(heads) == [("many:vote", 3), ("one:vote", 1)]
    assert found.differences.filter(pl.col("metric") == "accuracy")["heads"].to_list() == [1, 1, 1]


@pytest.fixture
def answering(tmp_path):
    """Return a store whose model answers `a` and `b`, right three times of four."""
    logits = [[-1, -2], [-2, -1], [-1, -3], [-1, -3]] * 3
    return store_with_answers(
        *(tmp_path / "answers", {"a": [1], "b": [2]}, logits, list("abab") * 3, list("ab") * 4)
    )


def test_own_answers_are_level_lines(answering):
    found = sweep_methods({"s": answering}, readouts=["vote", "zero-shot"], shots=[1, 2], draws=3)
    expected = evaluate(answering, "zero-shot").metrics[0].value
    rows = found.sweep.summary.filter(
        pl.col("metric") == "accuracy", pl.col("readout") == "zero-shot"
    )
    assert rows.select("heads", "shots", "mean", "sd").rows() == [
        (0, 1, expected, 0.0),
        (0, 2, expected, 0.0),
    ]
    assert expected == 0.75


def test_answers_need_no_benchmark_of_a_second_store(tmp_path):
    """Each store is of another plugin; metrics are those of the first one's."""
    stores = {}
    for name, logits in (("one", [-1, -2]), ("two", [-2, -1])):
        rows = [logits] * 4
        stores[name] = store_with_answers(
            *(tmp_path / name, {"a": [1], "b": [2]}, rows, list("aaab"), list("ab") * 2),
            benchmark=name,
        )
    own = replace(GENERAL, name="one")
    found = sweep_methods(stores, readouts=["zero-shot"], shots=[1], draws=1, benchmark=own)
    values = found.sweep.summary.filter(pl.col("metric") == "accuracy")
    assert values.select("readout", "mean").rows() == [
        ("one:zero-shot", 0.75),
        ("two:zero-shot", 0.25),
    ]


def test_a_readout_is_left_out_where_a_store_cannot_have_it(first, tmp_path):
    clip = draw_text_store(tmp_path / "clip", 0)
    train, test = (clip.examples(split)["label"].to_list() for split in ("train", "test"))
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(2, len(own), 3)).astype("f4") for own in (train, test)]
    stores = {"lmm": make_store(tmp_path / "s", arrays[0], train, arrays[1], test), "clip": clip}
    found = sweep_methods(stores, readouts=["vote", "clip"], shots=[1], draws=2)
    names = found.sweep.summary["readout"].unique(maintain_order=True).to_list()
    assert names == ["lmm:vote", "clip:vote", "clip:clip"]
    (note,) = found.notes
    assert note.startswith(f"clip is left out: {stores['lmm'].path} has no texts of the classes")
    for readout, message in (
        ("lmm:clip", "readout 'clip': .* has no texts of the classes"),
        ("icl", "has no answers of the model for icl; .* has no answers"),
        ("nobody", "no readout is called 'nobody'; .*zero-shot"),
    ):
        with pytest.raises(SelectionError, match=message):
            sweep_methods(stores, readouts=[readout], shots=[1], draws=1)


def test_a_readout_can_be_that_of_one_store(first, tmp_path):
    stores = {"one": first, "two": other(tmp_path / "s")}
    found = sweep_methods(stores, readouts=["two:vote", "one:lda"], shots=[1], draws=2).sweep
    assert found.differences["a"].unique().to_list() == ["two:vote"]
    assert found.differences["b"].unique().to_list() == ["one:lda"]
    with pytest.raises(
        SelectionError, match="is of a store 'three'; the stores are called one, two"
    ):
        sweep_methods(stores, readouts=["three:vote"])
    with pytest.raises(SelectionError, match="two readouts are called 'one:vote'"):
        sweep_methods(stores, readouts=["vote", "one:vote"])


def test_stores_of_other_examples_are_refused(first, tmp_path):
    odd = [*TEST[:-1], "c"]
    changed = make_store(tmp_path / "s", noisy(TRAIN, 2), TRAIN, noisy(TEST, 3), odd)
    assert hold_same_test([first, changed])[0] is False
    with pytest.raises(SelectionError, match=r"labels differ in 1 examples, first in 'test:19'"):
        sweep_methods({"one": first, "two": changed})
    with pytest.raises(SelectionError, match="but not all stores do"):
        hold_same_test([first, other(tmp_path / "t"), changed])
    labels = ["b", *TRAIN[1:]]
    taught = make_store(tmp_path / "u", noisy(TRAIN, 2), labels, noisy(TEST, 3), TEST)
    with pytest.raises(SelectionError, match="training example 'train:0' has another label"):
        sweep_methods({"one": first, "two": taught})
    without = other(tmp_path / "v", [i for i in range(15) if TRAIN[i] != "c"])
    with pytest.raises(SelectionError, match="class 'c' has no training example that all"):
        sweep_methods({"one": first, "two": without})


def test_metrics_are_those_of_the_first_stores_benchmark(first, tmp_path):
    own = replace(GENERAL, name="own", measure=lambda rows, classes: [accuracy_of(rows, classes)])
    named = make_store(
        *(tmp_path / "own", noisy(TRAIN, 2), TRAIN, noisy(TEST, 3), TEST), benchmark="own"
    )
    table = pl.concat([first.examples(s).select("id", "split", "label") for s in ("train", "test")])
    table.write_csv(tmp_path / "l.csv")
    np.save(tmp_path / "x.npy", np.concatenate([first.features(s)[0] for s in ("train", "test")]))
    made = import_features(tmp_path / "x.npy", tmp_path / "l.csv", out=tmp_path / "s").store
    stores = {"own": named, "made": made}
    found = sweep_methods(stores, heads=1, shots=["all"], benchmark=own).sweep.summary
    assert found.select("readout", "metric").rows() == [
        ("own:vote", "accuracy"),
        ("made:vote", "accuracy"),
    ]


def test_skipped_test_examples_are_wrong_in_their_store_alone(first, tmp_path):
    stores = {"one": first, "two": other(tmp_path / "s", test_skipped=[0, 7])}
    found = sweep_methods(stores, heads=2, shots=["all"]).sweep
    units = found.units.collect().filter(pl.col("metric") == "accuracy")
    scores = units.filter(pl.col("readout") == "two:vote").sort("unit")["scores"].to_list()
    assert (scores[0], scores[7]) == ([0.0], [0.0])
    assert accuracy(found.draws, "one:vote") == accuracy(
        sweep(first, heads=[2], shots=["all"]).draws, "vote"
    )


def test_a_report_draws_one_line_a_method(first, tmp_path):
    one = make_store(tmp_path / "s", noisy(TRAIN, 2, 1), TRAIN, noisy(TEST, 3, 1), TEST)
    found = sweep_methods({"many": first, "one": one}, readouts=["vote", "lda"], heads=3, **GRID)
    save_sweep(found.sweep, tmp_path / "swept")
    (chart,) = curves_part(tmp_path / "swept").charts
    assert chart.title == "accuracy by examples per class"
    assert [series.name for series in chart.series] == [
        *("many:vote", "one:vote", "many:lda", "one:lda"),
    ]
    assert all(len(series.points) == 3 for series in chart.series)


def test_many_methods_are_drawn_in_several_charts_with_the_first_in_each(first, tmp_path):
    stores = {"one": first, "two": other(tmp_path / "s")}
    readouts = ["vote", "lda", "posterior", "knn"]
    found = sweep_methods(stores, readouts=readouts, heads=2, shots=[1, 2], draws=2)
    save_sweep(found.sweep, tmp_path / "swept")
    charts = curves_part(tmp_path / "swept").charts
    names = [[series.name for series in chart.series] for chart in charts]
    assert [len(own) for own in names] == [6, 3]
    assert names[0][0] == names[1][0] == "one:vote"
    assert names[0] + names[1][1:] == [f"{s}:{r}" for r in readouts for s in stores]
    assert charts[0].y_ticks == charts[1].y_ticks
