"""`compare` of stores: which methods are measured, on which examples, and which one to take."""

import numpy as np
import polars as pl
import pytest
from label_stores import make_many
from number_stores import make_numbers
from text_stores import TEST, TRAIN, draw_text_store, noisy, store_with_answers

from savs import compare, evaluate, label, select
from savs.pipeline.errors import ComparisonError, SelectionError
from savs.pipeline.evaluation.compare.compare import METHOD_SCHEMA
from savs.pipeline.evaluation.compare.store_methods import measured_methods, which_to_take
from savs.pipeline.evaluation.results import Result
from savs.pipeline.running.progress import SILENT, Reporting
from savs.pipeline.targets.one import OneClass
from stores import make_store

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    return make_store(folder / "s", noisy(TRAIN, 1), TRAIN, noisy(TEST, 2), TEST)


def test_each_method_of_a_store_is_measured_as_evaluate_measures_it(store):
    table = compare([store.path])
    assert table.schema == METHOD_SCHEMA
    names = ["vote", "lda", "neurons", "logistic"]
    assert table["readout"].to_list() == names
    assert table["value"].to_list() == [evaluate(store, name).metrics[0].value for name in names]
    assert list(store.results) == sorted(names)
    assert table["difference"].null_count() == 1
    with_others = compare([store.path / "results/lda", store.path / "results/vote"])
    assert table["difference"][1] == -with_others["difference"][0]


def test_a_result_of_the_same_examples_stays_as_it_is(store):
    compare([store.path])
    evaluate(store, "lda", out=True, risk=0.5)
    files = [store.path / "results" / name / "metrics.json" for name in ("vote", "lda")]
    before = [file.read_bytes() for file in files]
    compare([store.path])
    assert [file.read_bytes() for file in files] == before
    files[0].write_bytes(b"{}")  # damaged, so measured again
    compare([store.path])
    assert files[0].read_bytes() == before[0]


def test_a_result_from_before_labels_changed_is_measured_again_with_as_many_heads(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(OneClass, "compared_readouts", ("vote",))
    train = np.eye(2, dtype=np.float32)[[0, 1] * 3]
    features = np.stack([train] * 3)  # of three equal heads
    store = make_store(tmp_path / "s", features, "ababab", features, "ababab")
    evaluate(store, select(store, heads=2), out=True)
    label(store, {f"train:{n}": "ba"[n % 2] for n in range(6)})
    (result,) = map(Result, measured_methods(store.path, SILENT))
    assert (result.headline["value"], result.selection().head_count) == (0, 2)
    label(store, {f"test:{n}": "ba"[n % 2] for n in range(6)}, split="test")
    assert Result(*measured_methods(store.path, SILENT)).headline["value"] == 1


def test_without_labelled_test_examples_training_examples_are_left_out(tmp_path):
    store = make_store(tmp_path / "s", noisy(TRAIN, 1), TRAIN, noisy(TEST, 2), [None] * len(TEST))
    table = compare([store.path])
    names = ["vote", "lda", "neurons", "logistic"]
    assert table["readout"].to_list() == names
    found = [evaluate(store, name, folds=5).metrics[0].value for name in names]
    assert table["value"].to_list() == found
    assert list(store.results) == sorted(f"{name}-cv" for name in names)


def test_two_stores_of_the_same_examples_are_one_table(store, tmp_path):
    one = noisy(TRAIN, 3, heads=1), noisy(TEST, 4, heads=1)
    other = make_store(tmp_path / "o", one[0], TRAIN, one[1], TEST, model="encoder")
    table = compare([store.path, other.path])
    assert table.select("model", "readout").rows()[3:] == [
        ("toy", "logistic"),
        *(("encoder", name) for name in ("vote", "lda", "logistic")),  # an encoder has no heads
    ]
    assert table["difference"].null_count() == 1  # all are compared with the first
    assert "of encoder" in which_to_take(table) or "of toy" in which_to_take(table)
    mixed = compare([other.path, store.path / "results/lda"], metric="balanced accuracy")
    assert mixed.select("model", "readout").rows() == [
        *(("encoder", name) for name in ("vote", "lda", "logistic")),
        ("toy", "lda"),
    ]
    assert set(mixed["metric"]) == {"balanced accuracy"}


def test_the_models_own_answers_are_the_first_and_are_next_to_heads(tmp_path):
    labels = [*"abcabcabc"]
    tokens = {"a": [7, 2], "b": [9, 2], "c": [4, 2]}
    right = -5.0 + 4 * np.eye(3)[["abc".index(label) for label in labels]]
    store = store_with_answers(tmp_path / "s", tokens, right, labels, train=[*"aabbcc"])
    table = compare([store.path])
    assert table["readout"].to_list() == ["answers", "vote", "lda", "logistic", "answers-lda"]
    assert table["method"][0] == "own answers (answers)"
    assert table["value"].to_list() == [1, 1 / 3, 1 / 3, 1 / 3, 1]  # all features are equal
    said = which_to_take(table)
    assert said.startswith("take own answers (answers): it needs no labels, and none is better")


def test_a_dual_encoder_has_methods_of_class_names_and_none_of_many_heads(tmp_path):
    clip = draw_text_store(tmp_path / "clip", 0)
    names = ["clip", "vote", "lda", "logistic", "lp-plus-plus"]
    assert compare([clip.path])["readout"].to_list() == names


def test_other_kinds_of_labels_have_methods_of_their_own(tmp_path):
    many, *_ = make_many(tmp_path / "many", labels=4, unknown=0)
    assert compare([many.path])["readout"].to_list() == ["vote", "lda", "neurons", "logistic"]
    one, two = (make_numbers(tmp_path / name)[0].path for name in ("one", "two"))
    with pytest.raises(ComparisonError, match="has one method, ridge, measured now; pass a second"):
        compare([one])
    numbers = compare([one, two])
    assert numbers.select("result", "readout", "difference").rows() == [
        ("one/results/ridge", "ridge", None),
        ("two/results/ridge", "ridge", 0),
    ]


def row(method, value, difference=None, low=None, high=None, p=None, **more):
    readout = method.split(" ")[0]
    known = {
        "method": method,
        "readout": readout,
        "model": "m",
        "scale": "share",
        "value": value,
        "difference": difference,
        "difference_low": low,
        "difference_high": high,
        "p_holm": p,
        "units": 200,
    }
    return known | more


ERROR = {"scale": "error"}
ADVICE = {
    "better beyond doubt": (
        [
            row("answers", 0.7),
            row("lda, 20 heads", 0.9, 0.2, 0.1, 0.3, 0.01),
            row("vote", 0.8, 0.1, 0.05, 0.15, 0.02),
        ],
        "take lda, 20 heads: better than answers by +20.0 points, 95 % interval +10.0 .. +30.0,"
        " on 200 units; the best of 3 looks a little better than it is",
    ),
    "own answers are as good": (
        [row("zero-shot", 0.9), row("vote", 0.91, 0.01, -0.02, 0.04, 0.5)],
        "take zero-shot: it needs no labels, and none is better beyond doubt on 200 units; the"
        " nearest, vote, by +1.0 points, 95 % interval -2.0 .. +4.0",
    ),
    "the simplest is as good": (
        [row("vote", 0.9), row("lda", 0.91, 0.01, -0.02, 0.04, 0.5)],
        "take vote: it is the simplest, and none",
    ),
    "a worse one is never taken, however sure": (
        [row("clip", 0.9), row("lda", 0.5, -0.4, -0.5, -0.3, 1e-9)],
        "take clip: it needs no labels, and none",
    ),
    "of an error less is better": (
        [
            row("ridge", 2.0, **ERROR),
            row("lda", 3.0, 1.0, 0.5, 1.5, 0.001, **ERROR),
            row("knn", 1.5, -0.5, -0.75, -0.25, 0.001, **ERROR),
        ],
        "take knn: better than ridge by -0.5000, 95 % interval -0.7500 .. -0.2500",
    ),
    "one without independent examples is never taken, nor is the user's own thought unlearned": (
        [row("mine", 0.5), row("lda", 0.9, 0.4)],
        "take mine: it is the simplest, and none is better beyond doubt on 200 units; the nearest,"
        " lda, by +40.0 points",
    ),
    "models are named where they differ": (
        [row("vote", 0.5), row("vote", 0.9, 0.4, 0.3, 0.5, 0.001, model="n")],
        "take vote of n: better than vote of m by",
    ),
}


@pytest.mark.parametrize("name", ADVICE)
def test_which_to_take(name):
    rows, said = ADVICE[name]
    assert which_to_take(pl.DataFrame(rows)).startswith(said)


def test_a_method_with_too_few_examples_is_left_out_with_a_note(tmp_path):
    notes, values = [], noisy(["a", "b", "c"], 1)
    store = make_store(tmp_path / "s", values, list("abc"), values, [None] * 3)
    with pytest.raises(ComparisonError, match=r"no method to compare:\n  vote is left out: cross"):
        compare([store.path], reporting=Reporting(notes.append))


def test_faults_are_found_before_anything_is_measured(store, tmp_path):
    with pytest.raises(ComparisonError, match="are the same folder; pass each once"):
        compare([store.path, store.path])
    empty = make_store(tmp_path / "s", noisy([], 1), [], noisy(TEST, 2), TEST)
    with pytest.raises(SelectionError, match="has no training examples"):
        compare([empty.path])
    assert not (empty.path / "results").exists()
