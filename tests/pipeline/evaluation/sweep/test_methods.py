"""Methods of several stores on the same draws: each as by itself, and paired by example."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from text_stores import TEST, TRAIN, accuracy, draw_text_store, noisy, other, store_with_answers

from savs import evaluate, import_features, select, sweep
from savs.datasets import accuracy as accuracy_of
from savs.datasets.benchmarks.general import GENERAL
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.sweep.shared_examples import SharedTest, hold_same_test, shared_tasks
from savs.pipeline.evaluation.sweep.table import (
    STORES_SCHEMA,
    join_sweeps,
    save_sweep,
    with_methods,
)
from savs.pipeline.reports.report.curves import sweep_parts
from savs.pipeline.statistics.paired_tests import holm
from savs.stores.maintain.copy import merge
from stores import make_store

pytestmark = pytest.mark.thorough

GRID = {"shots": [1, 3, "all"], "draws": 3, "seed": 2}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return make_store(
        tmp_path_factory.mktemp("first") / "s", noisy(TRAIN, 0), TRAIN, noisy(TEST, 1), TEST
    )


@pytest.fixture
def stores(first, tmp_path):
    """Return two stores of the same examples."""
    return {"one": first, "two": other(tmp_path / "second")}


WRONG = {
    "draws": ({"shots": [1], "draws": 0}, "`draws` is 0, expected at least 1"),
    "readouts": ({"readouts": []}, "no readout was given"),
    "twice": ({"readouts": ["vote", "lda", "vote"]}, "two readouts are called 'vote'; give each"),
    "text": ({"heads": "5"}, "`heads` is '5'"),
}


@pytest.mark.parametrize("depths", [None, "each"])
@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_a_grid_that_cannot_be_is_refused(first, depths, options, message):
    with pytest.raises(SelectionError, match=message):
        sweep({"s": first}, max_layers=depths, **options)


def test_methods_are_compared_at_one_number_of_heads_and_depths_in_one_store(stores):
    with pytest.raises(SelectionError, match="expected one number: methods are compared at one"):
        sweep(stores, heads=[1, 2])
    whole = sweep(stores, heads=["all"], shots=["all"]).summary
    assert whole["heads"].unique().to_list() == [4]
    with pytest.raises(ParameterError, match="compares within one store, 2 given"):
        sweep(stores, max_layers="each")


MINE = """
from dataclasses import replace
from savs.pipeline.readouts.vote import VOTE

READOUT = replace(VOTE, name="mine")
"""


def names_of(found):
    """Return the methods of a sweep, in order."""
    return with_methods(found.summary)["readout"].unique(maintain_order=True).to_list()


def test_each_method_is_what_a_sweep_of_its_store_measures(stores):
    found = sweep(stores, readouts=["vote", "lda"], heads=[3], **GRID)
    assert names_of(found) == ["one:vote", "two:vote", "one:lda", "two:lda"]
    for name, store in stores.items():
        alone = sweep(store, readouts=["vote", "lda"], heads=[3], **GRID).values
        for readout in ("vote", "lda"):
            expected = accuracy(alone, readout=readout)
            assert accuracy(found.values, store=name, readout=readout) == expected
    units = found.units.collect().filter(metric="accuracy", readout="vote")
    rows = found.summary.filter(pl.col("against").is_not_null(), metric="accuracy", readout="vote")
    assert rows.height == 3
    for row in rows.iter_rows(named=True):  # paired by unit and draw
        point = units.filter(pl.col("shots").eq_missing(pl.lit(row["shots"])))
        ours, theirs = (np.array(point.filter(store=n)["scores"].to_list()) for n in stores)
        assert (row["against"], row["store"]) == ("one:vote", "two")
        assert row["difference"] == pytest.approx((theirs - ours).mean())


def test_draws_are_matched_by_id_whatever_the_order(first, stores, tmp_path):
    order = np.random.default_rng(0).permutation(15).tolist()
    mixed = {"one": first, "two": other(tmp_path / "b", order)}
    straight = sweep(stores, heads=[2], **GRID).values
    assert sweep(mixed, heads=[2], **GRID).values.equals(straight)


def test_an_example_that_a_store_lacks_is_in_no_draw(first, tmp_path):
    lacking = [i for i in range(15) if i not in (3, 4)]
    stores = {"one": first, "two": other(tmp_path / "s", lacking)}
    tasks, absent = shared_tasks(stores)
    assert absent == shared_tasks({"two": stores["two"], "one": first})[1] == 2
    ids = {
        name: stores[name].examples("train")["id"].to_numpy()[of_store[0].rows].tolist()
        for name, of_store in tasks.items()
    }
    assert ids["one"] == ids["two"] == [f"train:{i}" for i in lacking]
    found = sweep(stores, heads=[2], shots=[1], draws=2)
    assert found.notes == ("2 training examples are not in all stores: no draw has them",)


def test_a_store_with_fewer_heads_takes_all_and_differences_remain(first, tmp_path):
    one = make_store(
        *(tmp_path / "s", noisy(TRAIN, 2, 1), TRAIN, noisy(TEST, 3, 1), TEST), model="other"
    )
    found = sweep({"many": first, "one": one}, heads=[3], **GRID).summary
    assert sorted(found.select("store", "heads").unique().rows()) == [("many", 3), ("one", 1)]
    assert found.filter(store="one")["difference"].null_count() == 0


@pytest.fixture
def answering(tmp_path):
    """Return a store whose model answers `a` and `b`, right three times of four."""
    logits = [[-1, -2], [-2, -1], [-1, -3], [-1, -3]] * 3
    return store_with_answers(
        *(tmp_path / "answers", {"a": [1], "b": [2]}, logits, list("abab") * 3, list("ab") * 4)
    )


def test_own_answers_are_level_lines(answering):
    found = sweep(answering, readouts=["vote", "zero-shot"], shots=[1, 2], draws=3)
    expected = evaluate(answering, "zero-shot").metrics[0].value
    rows = found.summary.filter(metric="accuracy", readout="zero-shot")
    assert rows.select("heads", "shots", "mean", "sd").rows() == [
        (0, 1, expected, 0.0),
        (0, 2, expected, 0.0),
    ]
    assert expected == 0.75
    with pytest.raises(SelectionError, match="by heads alone, which 'zero-shot' is not about"):
        sweep(answering, readouts=["zero-shot"], max_layers="each")


def test_answers_need_no_benchmark_of_a_second_store(tmp_path):
    """Each store belongs to another plugin; metrics are those of the first one's."""
    stores = {}
    for name, logits in (("one", [-1, -2]), ("two", [-2, -1])):
        rows = [logits] * 4
        stores[name] = store_with_answers(
            *(tmp_path / name, {"a": [1], "b": [2]}, rows, list("aaab"), list("ab") * 2),
            benchmark=name,
        )
    one = replace(GENERAL, name="one")
    found = sweep(stores, readouts=["zero-shot"], shots=[1], draws=1, benchmark=one).summary
    rows = found.filter(metric="accuracy").select("store", "mean").rows()
    assert rows == [("one", 0.75), ("two", 0.25)]


def test_a_readout_is_left_out_where_a_store_cannot_have_it(first, tmp_path):
    clip = draw_text_store(tmp_path / "clip", 0)
    train, test = (clip.examples(split)["label"].to_list() for split in ("train", "test"))
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(2, len(labels), 3)).astype("f4") for labels in (train, test)]
    stores = {"lmm": make_store(tmp_path / "s", arrays[0], train, arrays[1], test), "clip": clip}
    found = sweep(stores, readouts=["vote", "clip"], shots=[1], draws=2)
    assert names_of(found) == ["lmm:vote", "clip:vote", "clip:clip"]
    (note,) = found.notes
    assert note.startswith(f"clip is left out: {stores['lmm'].path} has no texts of the classes")
    for readout, message in (
        ("lmm:clip", "readout 'clip': .* has no texts of the classes"),
        ("icl", "has no answers of the model for icl; .* has no answers"),
        ("nobody", "no readout is called 'nobody'; .*zero-shot"),
    ):
        with pytest.raises(SelectionError, match=message):
            sweep(stores, readouts=[readout], shots=[1], draws=1)


def test_a_readout_can_be_that_of_one_store(stores, tmp_path):
    mine = tmp_path / "a:b.py"
    mine.write_text(MINE)
    found = sweep(stores, readouts=[str(mine)], shots=["all"])
    assert names_of(found) == ["one:mine", "two:mine"]
    found = sweep(stores, readouts=["two:vote", "one:lda"], shots=[1], draws=2)
    assert names_of(found) == ["two:vote", "one:lda"]
    assert found.summary["against"].drop_nulls().unique().to_list() == ["two:vote"]
    for readouts, message in (
        (["three:vote"], "belongs to a store 'three'; the stores are called one, two"),
        (["vote", "one:vote"], "two readouts are called 'one:vote'"),
    ):
        with pytest.raises(SelectionError, match=message):
            sweep(stores, readouts=readouts)


def test_stores_of_other_examples_are_refused(first, tmp_path):
    odd = [*TEST[:-1], "c"]
    changed = make_store(tmp_path / "s", noisy(TRAIN, 2), TRAIN, noisy(TEST, 3), odd)
    assert hold_same_test([first, changed])[0] is False
    with pytest.raises(SelectionError, match="but not all stores do"):
        hold_same_test([first, other(tmp_path / "t"), changed])
    labels = ["b", *TRAIN[1:]]
    taught = make_store(tmp_path / "u", noisy(TRAIN, 2), labels, noisy(TEST, 3), TEST)
    without = other(tmp_path / "v", [i for i in range(15) if TRAIN[i] != "c"])
    media = [{"media": '["m"]', "media_sha256": f'["{n}"]'} for n in range(15)]
    seen, reread = (
        make_store(tmp_path / name, noisy(TRAIN, 2), TRAIN, noisy(TEST, 3), TEST, train_rows=rows)
        for name, rows in (("w", media), ("x", media[::-1]))
    )
    with pytest.raises(SelectionError, match="training example 'train:0' has another media in"):
        sweep({"one": seen, "two": reread})
    for store, message in (
        (taught, "training example 'train:0' has another label"),
        (without, "class 'c' has no training example that all"),
    ):
        with pytest.raises(SelectionError, match=message):
            sweep({"one": first, "two": store})


def test_stores_of_other_examples_are_joined_and_their_means_taken(first, tmp_path):
    fewer = make_store(tmp_path / "s", noisy(TRAIN, 2), TRAIN, noisy(TEST[:15], 3), TEST[:15])
    grid = {"shots": [1, 3], "draws": 3, "readouts": ["vote", "lda"]}
    sweeps = {
        "one": sweep(first, heads=[1, 2], **grid),
        "two": sweep(fewer, heads=[2, 4], **grid),
    }
    notes = {"one": ("a", "b"), "two": ("b", "c")}
    sweeps = {name: replace(one, notes=notes[name]) for name, one in sweeps.items()}
    found = join_sweeps(sweeps)
    assert found.notes == ("a", "b", "c")
    for name, alone in sweeps.items():
        rows = found.summary.filter(data_set=name).drop("data_set")
        assert rows.equals(alone.summary.drop("data_set"))
    means = found.over_stores()
    assert dict(means.schema) == STORES_SCHEMA
    points = [(readout, 2, shots) for readout in ("vote", "lda") for shots in (1, 3)]
    assert means.select("readout", "heads", "shots").rows() == points  # those that both have
    for row in means.iter_rows(named=True):
        both = found.summary.filter(
            metric="accuracy", readout=row["readout"], heads=2, shots=row["shots"]
        )
        expected = pytest.approx(both["mean"].mean()), pytest.approx(both["difference"].mean())
        assert (row["mean"], row["difference"]) == expected
    lda = means.filter(readout="lda")
    assert (lda["wins"] + lda["ties"] + lda["losses"]).to_list() == [2, 2]
    assert lda["p_holm"].to_list() == holm(lda["p"].to_list())
    files = save_sweep(found, tmp_path / "swept")
    assert pl.read_parquet(files[-1]).equals(means)
    curves, _ = sweep_parts([tmp_path / "swept"])
    assert [part.name for part in curves] == ["swept, one", "swept, two"]
    with pytest.raises(SelectionError, match="1 sweep given, expected two stores or more"):
        join_sweeps({"one": sweeps["one"]})
    apart = join_sweeps({"one": sweeps["one"], "two": sweep(fewer, heads=[3], **grid)})
    with pytest.raises(SelectionError, match="no number of heads and shots in common"):
        apart.over_stores()


def test_metrics_are_those_of_the_first_stores_benchmark(first, tmp_path):
    mine = replace(GENERAL, name="own", measure=lambda rows, classes: [accuracy_of(rows, classes)])
    named = make_store(
        *(tmp_path / "own", noisy(TRAIN, 2), TRAIN, noisy(TEST, 3), TEST), benchmark="own"
    )
    table = pl.concat([first.examples(s).select("id", "split", "label") for s in ("train", "test")])
    table.write_csv(tmp_path / "l.csv")
    np.save(tmp_path / "x.npy", np.concatenate([first.features(s)[0] for s in ("train", "test")]))
    made = import_features(tmp_path / "x.npy", tmp_path / "l.csv", out=tmp_path / "s").store
    with pytest.raises(SelectionError, match=r"import rows of the split 'classes'$"):
        select(made, readout="hec-t")
    stores = {"own": named, "made": made}
    found = sweep(stores, heads=[1], shots=["all"], benchmark=mine).summary
    assert found.select("store", "metric").rows() == [("own", "accuracy"), ("made", "accuracy")]


def test_skipped_test_examples_are_wrong_in_their_store_alone(first, tmp_path):
    stores = {"one": first, "two": other(tmp_path / "s", test_skipped=[0, 7])}
    found = sweep(stores, heads=[2], shots=["all"])
    units = found.units.collect().filter(metric="accuracy", store="two").sort("unit")
    assert units["scores"].to_list()[0:8:7] == [[0.0], [0.0]]
    alone = sweep(first, heads=[2], shots=["all"])
    assert accuracy(found.values, store="one") == accuracy(alone.values)


def merged(folder, seed, model, skipped=()):
    """Return the test examples in three stores put together: positions in a file occur thrice."""
    x, seen = noisy(TRAIN, seed), noisy(TEST, seed + 1)
    parts = [
        make_store(
            *(folder / name, x, TRAIN, seen[:, rows], TEST[rows]),
            test_rows=[{"id": f"{name}:{i}"} for i in range(len(TEST[rows]))],
            test_skipped=skipped if name == "b" else (),
            model=model,
        )
        for name, rows in (("a", slice(7)), ("b", slice(7, 14)), ("c", slice(14, 20)))
    ]
    return merge(parts, folder / "merged")


def test_merged_stores_are_paired_in_the_order_of_their_plan(tmp_path):
    stores = {
        "one": merged(tmp_path / "one", 0, "toy"),
        "two": merged(tmp_path / "two", 2, "other", skipped=[2]),
    }
    ids = list(SharedTest.of(stores).ids)
    assert ids == [f"{name}:{i}" for name, n in (("a", 7), ("b", 7), ("c", 6)) for i in range(n)]
    found = sweep(stores, heads=[2], shots=["all"])
    for name, store in stores.items():
        alone = sweep(store, heads=[2], shots=["all"])
        assert accuracy(found.values, store=name) == accuracy(alone.values)


def test_a_report_draws_one_line_a_method_and_the_first_in_each_chart(first, tmp_path):
    one = make_store(tmp_path / "s", noisy(TRAIN, 2, 1), TRAIN, noisy(TEST, 3, 1), TEST)
    readouts = ["vote", "lda", "posterior", "knn"]
    found = sweep({"many": first, "one": one}, readouts=readouts, heads=[3], **GRID)
    save_sweep(found, tmp_path / "swept")
    ((curves,), depths) = sweep_parts([tmp_path / "swept"])
    assert not depths
    names = [[series.name for series in chart.series] for chart in curves.charts]
    assert [len(lines) for lines in names] == [6, 3]
    assert names[0][0] == names[1][0] == "many:vote"
    assert names[0] + names[1][1:] == [f"{s}:{r}" for r in readouts for s in ("many", "one")]
    assert {chart.title for chart in curves.charts} == {"accuracy by examples per class"}
    assert curves.charts[0].y_ticks == curves.charts[1].y_ticks
    assert all(len(series.points) == 3 for chart in curves.charts for series in chart.series)
