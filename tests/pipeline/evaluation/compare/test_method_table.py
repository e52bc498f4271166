"""Methods and models in one table: rows, differences, costs."""

import numpy as np
import pytest
from small_results import save_result

from savs.pipeline import compare, evaluate, method_table, save_evaluation, select
from savs.pipeline.errors import ComparisonError
from savs.pipeline.evaluation.compare.compare import METHOD_SCHEMA
from savs.pipeline.evaluation.statistics.intervals import wilson_interval
from savs.pipeline.evaluation.statistics.paired_tests import holm, mcnemar
from stores import make_store

RIGHT = {"a": [1, 0, 1, 0, 0, 0, 0, 0, 0, 0], "b": [1] * 9 + [0], "c": [0, 1] * 5}


@pytest.fixture
def three(tmp_path):
    kinds = {
        "a": {"model": {"name": "big"}, "cost": {"forwards": 10, "seconds": 1.5}},
        "b": {"model": {"name": "big", "adapter": "lora"}, "rule": "generated"},
        "c": {"model": {"name": "small"}, "cost": {"forwards": 30, "seconds": None}},
    }
    return [
        save_result(tmp_path / name, right, facts=kinds[name] | {"benchmark": "general"})
        for name, right in RIGHT.items()
    ]


def test_a_row_a_result_with_its_difference_to_the_first(three):
    table = method_table(three)
    assert table.schema == METHOD_SCHEMA
    rows = table.to_dicts()
    assert [(row["result"], row["method"], row["model"]) for row in rows] == [
        ("a", "zero-shot", "big"),
        ("b", "generated", "big + lora"),
        ("c", "zero-shot", "small"),
    ]
    assert [row["value"] for row in rows] == [0.2, 0.9, 0.5]
    assert (rows[1]["low"], rows[1]["high"]) == wilson_interval(0.9, 10)
    assert [row["difference"] for row in rows] == [None, pytest.approx(0.7), pytest.approx(0.3)]
    ps = [mcnemar(0, 7).p, mcnemar(2, 5).p]
    assert [row["p"] for row in rows] == [None, *ps]
    assert [row["p_holm"] for row in rows] == [None, *holm(ps)]
    assert [row["forwards"] for row in rows] == [10, None, 30]
    assert [row["seconds"] for row in rows] == [1.5, None, None]


def test_what_it_says_of_two_results_is_what_compare_says(three):
    pairs = compare(three, metric="balanced accuracy")
    table = method_table(three, metric="balanced accuracy")
    assert set(table["metric"]) == {"balanced accuracy"}
    for ours, theirs in (("difference", "difference"), ("difference_low", "low"), ("p", "p")):
        assert table[ours].to_list()[1:] == pairs[theirs].to_list()
    assert table["p_holm"].to_list()[1:] == pairs["p_holm"].to_list()


def test_each_data_set_has_its_own_first_row_and_all_are_corrected_together(three, tmp_path):
    other = [save_result(tmp_path / f"o/{n}", [n] * 12, stem="other") for n in (0, 1)]
    table = method_table([three[0], other[0], three[1], other[1]])
    assert table["difference"].null_count() == 2
    assert table["result"].to_list() == ["a", "b", "0", "1"]
    ps = [mcnemar(0, 7).p, mcnemar(0, 12).p]
    assert table["p_holm"].drop_nulls().to_list() == holm(ps)


def test_examples_with_the_same_ids_and_other_media_are_refused(tmp_path):
    a = save_result(tmp_path / "a", [1] * 8, content=list("abcdefgh"))
    same = save_result(tmp_path / "same", [None] + [1] * 7, content=[None, *"bcdefgh"])
    other = save_result(tmp_path / "other", [1] * 8, content=list("abcdeXYh"))
    assert method_table([a, same]).height == 2  # what was skipped has no digest
    with pytest.raises(ComparisonError, match="media differ in 2 examples, first in 'test:5'"):
        method_table([a, other])


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
    assert table["seconds"].to_list() == [None, None]  # a store that another writer made
