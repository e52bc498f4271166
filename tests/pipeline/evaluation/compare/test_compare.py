"""`compare`, `across_data_sets` and `method_table`: pairs, corrections, data sets, costs."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from random_stores import draw_problem, write_problem
from small_results import save_result

from savs import compare, evaluate, save_evaluation, select, sweep
from savs.datasets import accuracy, find_benchmark
from savs.datasets.benchmarks.general import GENERAL
from savs.pipeline.errors import ComparisonError
from savs.pipeline.evaluation.compare.compare import (
    COMPARISON_SCHEMA,
    METHOD_SCHEMA,
    across_data_sets,
    method_table,
)
from savs.pipeline.evaluation.sweep.table import join_sweeps, save_sweep
from savs.pipeline.evaluation.tables import comparison_tables
from savs.pipeline.readouts.lda import LDA
from savs.pipeline.statistics.intervals import wilson_interval
from savs.pipeline.statistics.paired_tests import (
    holm,
    mcnemar,
    mean_over_data_sets,
    sign_flip,
)
from stores import make_store

A, B, C = [1, 0, 1, 0, 0, 0, 0, 0, 0, 0], [1] * 9 + [0], [0, 1] * 5
FACTS = {
    "a": {"model": {"name": "big"}, "cost": {"forwards": 10, "seconds": 1.5, "bytes": 99}},
    "b": {"model": {"name": "big", "adapter": "lora"}, "rule": "generated"},
    "c": {
        "model": {"name": "small", "site": "residual"},
        "cost": {"forwards": 30, "seconds": None},
    },
}


@pytest.fixture
def three(tmp_path):
    return [
        save_result(tmp_path / name, right, facts=FACTS[name])
        for name, right in zip("abc", (A, B, C), strict=True)
    ]


def test_the_first_is_the_baseline_of_all_others(three):
    found = compare(three)
    assert found.schema == COMPARISON_SCHEMA
    assert found.select("metric", "a", "b").rows() == [
        ("accuracy", "a", "b"),
        ("balanced accuracy", "a", "b"),
        ("accuracy", "a", "c"),
        ("balanced accuracy", "a", "c"),
    ]
    first = found.row(0, named=True)
    assert (first["value_a"], first["value_b"]) == (0.2, 0.9)
    assert first["difference"] == pytest.approx(0.7)
    assert first["low"] < 0.7 < first["high"]
    assert (first["units"], first["clusters"]) == (10, 10)
    assert (first["test"], first["p"]) == ("McNemar, exact", 2 / 2**7)
    assert compare(list(map(str, three))).equals(found)


def test_headlines_alone_are_corrected_over_all_data_sets(three, tmp_path):
    other = [
        save_result(tmp_path / f"other/{name}", right, stem="other")
        for name, right in (("a", [0] * 12), ("b", [1] * 12))
    ]
    paths = [three[0], other[0], three[1], other[1], three[2]]
    found = compare(paths)
    headline = found.filter(pl.col("metric") == "accuracy")
    assert headline.select("a", "b").rows() == [
        (f"{tmp_path.name}/a", f"{tmp_path.name}/b"),
        (f"{tmp_path.name}/a", "c"),
        ("other/a", "other/b"),
    ]
    ps = [mcnemar(0, 7).p, mcnemar(2, 5).p, mcnemar(0, 12).p]
    assert headline["p"].to_list() == ps
    assert headline["p_holm"].to_list() == holm(ps) == [ps[0] * 2, ps[1], ps[2] * 3]
    assert found.filter(pl.col("metric") != "accuracy")["p_holm"].null_count() == 3
    table = method_table(paths)
    assert table["difference"].is_null().to_list() == [True, False, False, True, False]
    assert table["p_holm"].drop_nulls().to_list() == headline["p_holm"].to_list()


def test_one_metric_alone_is_the_headline_of_both_tables(three):
    pairs = compare(three, metric="balanced accuracy")
    assert pairs["metric"].to_list() == ["balanced accuracy"] * 2
    assert pairs["p_holm"].to_list() == holm(pairs["p"].to_list())
    table = compare(three, metric="balanced accuracy", per_result=True)
    assert set(table["metric"]) == {"balanced accuracy"}
    names = {"difference": "difference", "difference_low": "low", "p": "p", "p_holm": "p_holm"}
    for ours, theirs in names.items():
        assert table[ours].to_list()[1:] == pairs[theirs].to_list()


def test_macro_accuracy_weighs_subtasks_as_evaluate_does(tmp_path):
    blink, tasks = find_benchmark("blink"), list("xxxxxyyyyz")
    a, b = (
        save_result(tmp_path / n, right, benchmark=blink, subtask=tasks)
        for n, right in (("a", A), ("b", B))
    )
    first = compare([a, b]).row(0, named=True)
    # x: 2/5 -> 5/5, y: 0/4 -> 4/4, z: 0/1 -> 0/1
    assert first["metric"] == "accuracy, macro"
    assert first["value_a"] == pytest.approx(0.4 / 3)
    assert first["difference"] == pytest.approx((0.6 + 1) / 3)
    assert first["p"] == sign_flip(pl.Series([1 / 15] * 3 + [1 / 12] * 4).to_numpy()).p


def test_a_skipped_example_is_wrong_and_clusters_that_skips_break_are_joined(tmp_path):
    # b could not read the image that examples 0 and 1 share, nor c that of 2 and 3
    a = save_result(tmp_path / "a", [1, 1, 0, 0, 0], clusters="00224")
    b = save_result(tmp_path / "b", [None, 1, 1, 1, 1], clusters="01224")
    c = save_result(tmp_path / "c", [1, 1, None, 1, 1], clusters="00234")
    found = compare([a, b, c])
    assert found["clusters"].to_list() == [3] * 4
    assert compare([b, c])["clusters"].to_list() == [3, 3]
    assert found["difference"].to_list()[::2] == pytest.approx([(3 - 1) / 5, 2 / 5])


REFUSED = {
    "none": (slice(0, 0), {}, "0 results given, expected two folders or more, or one sweep"),
    "one": (slice(0, 1), {}, "1 result given, expected two folders or more, or one sweep"),
    "metric": (
        slice(0, 3),
        {"metric": "auc"},
        "'auc'; expected one of: accuracy; balanced accuracy",
    ),
}


@pytest.mark.parametrize(("some", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_compared_is_refused(three, some, options, message):
    with pytest.raises(ComparisonError, match=message):
        compare(three[some], **options)


def test_one_folder_twice_is_refused(three, tmp_path):
    (tmp_path / "link").symlink_to(three[0])
    for again in (three[0], tmp_path / "b" / ".." / "a", tmp_path / "link"):
        with pytest.raises(ComparisonError, match="are the same folder; pass each once"):
            compare([*three, again])


def test_other_metrics_and_other_units_of_a_metric_are_refused(tmp_path):
    a = save_result(tmp_path / "a", A, subtask=["t"] * 10)
    b = save_result(tmp_path / "b", B, subtask=["t"] * 10, benchmark=find_benchmark("blink"))
    with pytest.raises(ComparisonError, match=r"have different metrics: accuracy; .*savs evaluate"):
        compare([a, b])
    alone = replace(GENERAL, measure=lambda rows, classes: [accuracy(rows, classes)])
    c = save_result(tmp_path / "c", B, subtask=["t"] * 10, benchmark=alone)
    for pair in ([a, c], [c, a]):  # one without balanced accuracy
        assert compare(pair)["metric"].to_list() == ["accuracy"]
    fixed = {
        "benchmark": find_benchmark("naturalbench"),
        "group": list("gggghhhh"),
        "subtask": ["yes_no"] * 8,
        "media": [["x"], ["y"]] * 4,
    }
    a, b = (
        save_result(tmp_path / name, [1] * 8, prompt=list(prompts), **fixed)
        for name, prompts in (("four", "ppqqppqq"), ("two", "ppqqpppq"))
    )
    with pytest.raises(
        ComparisonError, match=r"Q-Acc has 4 units in .*four and 2 in .*two, expected the sa"
    ):
        compare([a, b])


def test_examples_with_the_same_ids_and_other_media_are_refused(tmp_path):
    a = save_result(tmp_path / "a", [1] * 8, content=list("abcdefgh"))
    same = save_result(tmp_path / "same", [None] + [1] * 7, content=[None, *"bcdefgh"])
    other = save_result(tmp_path / "other", [1] * 8, content=list("abcdeXYh"))
    assert method_table([a, same]).height == 2  # what was skipped has no digest
    with pytest.raises(ComparisonError, match="media differ in 2 examples, first in 'test:5'"):
        method_table([a, other])


DATA_SETS = {
    "one": ([1, 0] * 10, [1] * 20),  # +.5
    "two": ([1, 0] * 10, [1, 0] * 9 + [1, 1]),  # +.05
    "three": ([1] * 20, [0] * 20),  # -1
}


def test_each_data_set_counts_the_same(tmp_path):
    folders = [
        save_result(tmp_path / name / readout, right, stem=name, labels="abaa" * 5)
        for name, pair in DATA_SETS.items()
        for readout, right in zip(("vote", "lda"), pair, strict=True)
    ]
    (row,) = across_data_sets(compare(folders)).to_dicts()
    assert (row["a"], row["b"], row["data_sets"]) == ("vote", "lda", 3)
    expected = mean_over_data_sets([0.5, 0.05, -1.0])
    assert row["difference"] == pytest.approx(expected.value) == pytest.approx(-0.15)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    # all flips of .5, .05 and 1 whose sum is at least .45 from 0
    sums = [abs(a * 0.5 + b * 0.05 + c) for a in (1, -1) for b in (1, -1) for c in (1, -1)]
    assert row["p"] == sum(s >= 0.45 - 1e-9 for s in sums) / 8
    assert (row["wins"], row["ties"], row["losses"]) == (1, 1, 1)
    assert across_data_sets(compare(folders[:2])).height == 0  # of one data set


def test_a_method_is_a_row_with_its_difference_to_the_first_and_its_cost(three):
    table = method_table(three)
    assert table.schema == METHOD_SCHEMA
    assert table.select("result", "method", "model", "value").rows() == [
        ("a", "own answers (zero-shot)", "big", 0.2),
        ("b", "own answers (generated)", "big + lora", 0.9),
        ("c", "own answers (zero-shot)", "small, residual", 0.5),
    ]
    assert table.select("low", "high").row(1) == wilson_interval(0.9, 10)
    assert table["difference"].to_list() == [None, pytest.approx(0.7), pytest.approx(0.3)]
    ps = [mcnemar(0, 7).p, mcnemar(2, 5).p]
    assert table["p"].to_list() == [None, *ps]
    assert table["p_holm"].to_list() == [None, *holm(ps)]
    costs = [(10, 1.5, 99), (None, None, None), (30, None, None)]
    assert table.select("forwards", "seconds", "bytes").rows() == costs


def test_a_result_of_a_store_says_its_method_model_and_cost(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)
    store = make_store(tmp_path / "s", values, list("abab"), values, list("abab"))
    for name, heads in (("one", 1), ("three", 3)):
        save_evaluation(evaluate(store, select(store, heads=heads)), tmp_path / name)
    table = method_table([tmp_path / "one", tmp_path / "three"])
    assert table["method"].to_list() == ["SAVs (vote), 1 head", "SAVs (vote), 3 heads"]
    assert set(table["model"]) == {store.manifest.identity.model["name"]}
    assert set(table["benchmark"]) == {store.manifest.identity.benchmark["name"]}
    assert table["forwards"].to_list() == [8, 8]  # training and test examples
    assert table["bytes"].to_list() == [8 * 3 * 3 * 4] * 2  # all heads, whatever was chosen
    assert table["seconds"].to_list() == [None, None]  # a store that another writer made


GRID = {"shots": [2, 4, "all"], "draws": 3, "seed": 4}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two stores of the same examples, some of which share an image, and a sweep of each."""
    folder, stores, rng = tmp_path_factory.mktemp("pair"), {}, np.random.default_rng(1)
    for name, noise in (("one", 2.0), ("two", 1.0)):
        labels = {"train": list("abc") * 6, "test": list("abcca") * 4}
        features = {
            split: np.eye(3, dtype="f4")[["abc".index(label) for label in own]]
            + noise * rng.normal(size=(4, len(own), 3))
            for split, own in labels.items()
        }
        stores[name] = make_store(
            *(folder / name, features["train"].astype("f4"), labels["train"]),
            *(features["test"].astype("f4"), labels["test"]),
            test_rows=[{"media": f'["{row // 2}.png"]'} for row in range(20)],
            shard_rows=7,
        )
        swept = sweep(stores[name], heads=[2, 4], readouts=["vote", "lda"], **GRID)
        save_sweep(swept, folder / name / "results/sweep")
    return folder, stores


def swept_at(folder, *names):
    return [folder / name / "results/sweep" for name in names]


@pytest.mark.thorough
def test_two_sweeps_are_compared_as_one_sweep_of_both_stores_does(pair):
    folder, stores = pair
    found = compare(swept_at(folder, "one", "two"))
    assert found.schema == COMPARISON_SCHEMA
    assert found.filter(metric="accuracy").height == 2 * 2 * 3
    assert found.select("a", "b").unique().rows() == [("one/results/sweep", "two/results/sweep")]
    for heads in (2, 4):
        joint = sweep(stores, heads=[heads], readouts=["vote"], **GRID).summary
        joint = joint.filter(pl.col("against").is_not_null(), metric="accuracy")
        ours = found.filter(metric="accuracy", readout="vote", heads=heads)
        assert ours["shots"].to_list() == joint["shots"].to_list() == [2, 4, 6]
        assert ours["draws"].to_list() == joint["draws"].to_list() == [3, 3, 1]
        for row, expected in zip(ours.to_dicts(), joint.to_dicts(), strict=True):
            assert row["value_b"] == pytest.approx(expected["mean"])
            assert row["difference"] == pytest.approx(expected["difference"])
            assert row["clusters"] == expected["clusters"] == 10
            if row["draws"] > 1:  # of one draw each, two evaluations are compared
                assert (row["low"], row["high"]) == pytest.approx(
                    (expected["difference_low"], expected["difference_high"])
                )
                assert row["p"] == pytest.approx(expected["p"])
    headline = found.filter(metric="accuracy")
    tested = headline.filter(pl.col("p").is_not_null())
    assert tested["p_holm"].to_list() == holm(tested["p"].to_list())
    assert found.filter(pl.col("metric") != "accuracy")["p_holm"].null_count() == 12


def test_one_sweep_alone_has_the_differences_of_its_own_table(pair):
    folder, stores = pair
    (place,) = swept_at(folder, "one")
    found = compare([place], metric="balanced accuracy")
    expected = pl.read_parquet(place / "summary.parquet")
    expected = expected.filter(pl.col("against").is_not_null(), metric="balanced accuracy")
    assert found.select("a", "b").unique().rows() == [("vote", "lda")]
    for ours, theirs in {
        "heads": "heads",
        "shots": "shots",
        "value_b": "mean",
        "difference": "difference",
        "low": "difference_low",
        "high": "difference_high",
        "error": "error",
        "test": "test",
        "p": "p",
    }.items():
        assert found[ours].to_list() == expected[theirs].to_list(), ours
    table = method_table([place])
    whole = pl.read_parquet(place / "summary.parquet").filter(metric="accuracy")
    assert table["method"][0] == "SAVs (vote), 2 heads, 2 shots"
    assert table["method"][-1] == "lda, 4 heads, 6 shots"
    for name in ("difference", "difference_low", "difference_high", "p", "low", "high"):
        assert table[name].to_list() == whole[name].to_list(), name
    own = replace(LDA, name="own")
    both = sweep(stores, heads=[2], shots=["all"], readouts=["vote", own])
    save_sweep(both, folder / "both")
    joint, methods = compare([folder / "both"]), method_table([folder / "both"])
    headline = both.summary.filter(metric="accuracy")
    names = ["two:vote", "one:own", "two:own"]
    assert joint.filter(metric="accuracy").select("a", "b").rows() == [
        ("one:vote", name) for name in names
    ]
    assert methods["method"][1:].to_list() == [f"{name}, 2 heads, 6 shots" for name in names]
    assert methods["difference"].to_list() == headline["difference"].to_list()
    layers = write_problem(folder / "layers", draw_problem(1, counts=(6, 6, 6)))
    depths = sweep(layers, heads=[1], max_layers="each")
    save_sweep(depths, folder / "depths")
    of_depths = compare([folder / "depths"], metric="accuracy")
    apart = depths.summary.filter(pl.col("against").is_not_null(), metric="accuracy")
    assert of_depths.select("a", "b").rows() == [("4", "0"), ("4", "2")]
    assert of_depths["difference"].to_list() == apart["difference"].to_list()
    assert of_depths["low"].to_list() == apart["difference_low"].to_list()
    table, whole = method_table([folder / "depths"]), depths.summary.filter(metric="accuracy")
    for name in ("value", "low", "high"):
        assert table[name].to_list() == whole[{"value": "mean"}.get(name, name)].to_list()
    assert table["method"][0] == "SAVs (vote), 1 head, 6 shots, layers up to 0"
    assert table["low"].null_count() == 0  # within the one draw


def test_an_evaluation_is_compared_with_every_point_of_a_sweep(pair, tmp_path):
    folder, stores = pair
    (place,) = swept_at(folder, "one")
    for name, store in stores.items():
        save_evaluation(evaluate(store, select(store, heads=4)), tmp_path / name)
    found = compare([tmp_path / "two", place], metric="accuracy")
    assert found.height == 12
    same = compare([tmp_path / "two", tmp_path / "one"], metric="accuracy").row(0, named=True)
    whole = found.filter(readout="vote", heads=4, shots=6).row(0, named=True)
    alike = ("value_a", "value_b", "difference", "low", "high", "p", "test", "clusters")
    assert [whole[name] for name in alike] == [same[name] for name in alike]
    few = found.filter(readout="vote", heads=4, shots=2).row(0, named=True)
    assert (few["draws"], few["test"]) == (3, "Student's t")
    assert few["units"] == whole["units"] == same["units"] > 3
    back = compare([place, tmp_path / "two"], metric="accuracy")
    assert back["difference"].to_list() == pytest.approx((-found["difference"]).to_list())
    swept = (back.filter(pl.col("draws") > 1), found.filter(pl.col("draws") > 1))
    assert swept[0].height == 8
    assert swept[0]["low"].to_list() == pytest.approx((-swept[1]["high"]).to_list())
    assert swept[0]["p"].to_list() == pytest.approx(swept[1]["p"].to_list())


@pytest.mark.thorough
def test_sweeps_of_several_data_sets_have_a_mean(pair, tmp_path):
    _, stores = pair
    other = make_store(
        tmp_path / "other",
        *(np.tile(np.eye(3, dtype="f4"), (4, 6, 1)), list("abc") * 6),
        *(np.tile(np.eye(3, dtype="f4"), (4, 5, 1)), list("bca") * 5),
    )
    for heads in (2, 4):
        sweeps = {
            name: sweep(store, heads=[heads], readouts=["vote", "lda"], **GRID)
            for name, store in {"x": stores["one"], "y": other}.items()
        }
        save_sweep(join_sweeps(sweeps), tmp_path / f"of{heads}")
    alone = compare([tmp_path / "of2"], metric="accuracy")
    assert alone.select("a", "b").unique(maintain_order=True).rows() == [
        ("x/vote", "x/lda"),
        ("y/vote", "y/lda"),
    ]
    means = across_data_sets(alone)
    assert means.select("a", "b", "shots", "data_sets").rows() == [
        ("vote", "lda", shots, 2) for shots in (2, 4, 6)
    ]
    assert "p" in [column.heading for column in comparison_tables(alone)[-1].columns]
    expected = join_sweeps(sweeps).over_stores()
    with pytest.raises(ComparisonError, match="have no readout, number of heads and shots in comm"):
        compare([tmp_path / "of2", tmp_path / "of4"])
    again = across_data_sets(compare([tmp_path / "of4"], metric="accuracy"))
    assert again["difference"].to_list() == expected["difference"].drop_nulls().to_list()


def test_sweeps_with_other_draws_or_of_other_examples_are_refused(pair, tmp_path):
    folder, stores = pair
    (place,) = swept_at(folder, "one")
    few = sweep(stores["two"], heads=[2], shots=[2], draws=2)
    save_sweep(few, tmp_path / "few")
    with pytest.raises(ComparisonError, match=r"has 3 draws and .*few has 2, expected the same nu"):
        compare([place, tmp_path / "few"])
    other = save_result(tmp_path / "other", [1, 0, 1])
    with pytest.raises(ComparisonError, match="20 test examples here, 3 there"):
        compare([place, other])
