"""`compare`: data sets, baselines, corrections."""

import polars as pl
import pytest
from small_results import save_result

from savs.datasets import find_benchmark
from savs.pipeline import compare
from savs.pipeline.errors import ComparisonError
from savs.pipeline.evaluation.compare.compare import COMPARISON_SCHEMA
from savs.pipeline.evaluation.statistics.paired_tests import holm, mcnemar, sign_flip

A, B, C = [1, 0, 1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1, 1, 0], [0, 1] * 5


@pytest.fixture
def three(tmp_path):
    return [save_result(tmp_path / name, right) for name, right in {"a": A, "b": B, "c": C}.items()]


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


def test_a_path_can_be_text(three):
    assert compare(list(map(str, three))).equals(compare(three))


def test_headlines_alone_are_corrected_over_all_data_sets(three, tmp_path):
    other = [
        save_result(tmp_path / f"other/{name}", right, stem="other")
        for name, right in (("a", [0] * 12), ("b", [1] * 12))
    ]
    found = compare([three[0], other[0], three[1], other[1], three[2]])
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


def test_one_metric_alone_is_the_headline(three):
    found = compare(three, metric="balanced accuracy")
    assert found["metric"].to_list() == ["balanced accuracy"] * 2
    assert found["p_holm"].to_list() == holm(found["p"].to_list())


def test_macro_accuracy_weighs_subtasks_as_evaluate_does(tmp_path):
    blink = find_benchmark("blink")
    tasks = list("xxxxxyyyyz")
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


def test_a_skipped_example_counts_as_wrong(tmp_path):
    a, b = save_result(tmp_path / "a", [1] * 8), save_result(tmp_path / "b", [1] * 7 + [None])
    assert compare([a, b])["difference"][0] == -1 / 8


def test_clusters_that_a_skip_breaks_are_joined(tmp_path):
    # b could not read the image that examples 0 and 1 share, nor c that of 2 and 3
    a = save_result(tmp_path / "a", [1, 1, 0, 0, 0], clusters="00224")
    b = save_result(tmp_path / "b", [None, 1, 1, 1, 1], clusters="01224")
    c = save_result(tmp_path / "c", [1, 1, None, 1, 1], clusters="00234")
    assert compare([a, b])["clusters"].to_list() == [3, 3]
    assert compare([b, c])["clusters"].to_list() == [3, 3]


def test_a_metric_with_other_units_is_refused(tmp_path):
    fixed = {
        "benchmark": find_benchmark("naturalbench"),
        "group": list("gggghhhh"),
        "subtask": ["yes_no"] * 8,
        "media": [["x"], ["y"]] * 4,
    }
    a, b = (
        save_result(tmp_path / name, [1] * 8, prompt=list(prompts), **fixed)
        for name, prompts in (("a", "ppqqppqq"), ("b", "ppqqpppq"))
    )
    with pytest.raises(
        ComparisonError, match=r"Q-Acc has 4 units in .*a and 2 in .*b, expected the sa"
    ):
        compare([a, b])


@pytest.mark.parametrize("given", [0, 1])
def test_fewer_than_two_are_refused(three, given):
    with pytest.raises(
        ComparisonError, match=f"{given} result given, expected two result folders or more"
    ):
        compare(three[:given])


def test_one_folder_twice_is_refused(three, tmp_path):
    (tmp_path / "link").symlink_to(three[0])
    for again in (three[0], tmp_path / "b" / ".." / "a", tmp_path / "link"):
        with pytest.raises(ComparisonError, match="are the same folder; pass each once"):
            compare([*three, again])


def test_an_unknown_metric_is_told_all_there_are(three):
    with pytest.raises(
        ComparisonError, match="'auc'; expected one of: accuracy, balanced accuracy"
    ):
        compare(three, metric="auc")


def test_results_of_two_benchmarks_are_refused(tmp_path):
    tasks = ["t"] * 10
    a = save_result(tmp_path / "a", A, subtask=tasks)
    b = save_result(tmp_path / "b", B, subtask=tasks, benchmark=find_benchmark("blink"))
    with pytest.raises(ComparisonError, match=r"have different metrics: accuracy, .*savs evaluate"):
        compare([a, b])
