from fractions import Fraction

import polars as pl
import pytest
from oracle import value

from savs.datasets import find_benchmark
from savs.datasets.metrics.metrics import accuracy, balanced_accuracy, subtask_accuracies

SCHEMA = {
    "subtask": pl.String,
    "label": pl.String,
    "prediction": pl.String,
    "correct": pl.Boolean,
    "cluster": pl.String,
}


def frame(*rows: tuple[str | None, str, str | None]) -> pl.DataFrame:
    """Predictions from `(subtask, label, prediction)`; a skipped example has no prediction."""
    return pl.DataFrame(
        [(*row, row[1] == row[2], str(place)) for place, row in enumerate(rows)],
        schema=SCHEMA,
        orient="row",
    )


# a: 2 of 3 right; b: 1 of 2 right, the other one was skipped. Training had c, too.
PLAIN = frame(
    (None, "a", "a"), (None, "a", "a"), (None, "a", "c"), (None, "b", "b"), (None, "b", None)
)
PLAIN_CLASSES = {None: ["a", "b", "c"]}

# s: 1 of 4 right among 2 classes, test labels x x x y; t: 1 of 1 right among 4 classes.
TASKS = frame(("s", "x", "x"), ("t", "p", "p"), ("s", "x", "y"), ("s", "x", None), ("s", "y", "x"))
TASK_CLASSES = {"s": ["x", "y"], "t": ["p", "q", "r", "u"]}


def test_accuracy_counts_a_skipped_example_as_wrong() -> None:
    units = accuracy(PLAIN, PLAIN_CLASSES)
    assert units.scores["score"].to_list() == [1, 1, 0, 1, 0]
    assert value(units) == pytest.approx(3 / 5)  # 3 of 5, not 3 of the 4 that were scored
    assert units.chance == pytest.approx(1 / 3)  # 3 classes, whichever are tested
    assert units.majority == pytest.approx(3 / 5)  # always `a`


def test_balanced_accuracy_weighs_classes_alike() -> None:
    units = balanced_accuracy(PLAIN, PLAIN_CLASSES)
    assert value(units) == pytest.approx(float(Fraction(2, 3) + Fraction(1, 2)) / 2)  # 7/12
    assert units.chance == pytest.approx(1 / 3)
    assert units.majority is None


def test_pooled_accuracy_over_subtasks_weighs_examples_alike() -> None:
    units = accuracy(TASKS, TASK_CLASSES)
    assert value(units) == pytest.approx(2 / 5)
    assert units.chance == pytest.approx((4 * 1 / 2 + 1 * 1 / 4) / 5)  # 0.45
    assert units.majority == pytest.approx((3 + 1) / 5)  # x in s, p in t
    assert set(units.scores["stratum"]) == {"all"}


def test_each_subtask_is_scored_by_itself_and_then_with_equal_weight() -> None:
    units = subtask_accuracies(TASKS, TASK_CLASSES)
    assert [u.name for u in units] == ["accuracy, s", "accuracy, t", "accuracy, macro"]
    # s: 1 of 4; t: 1 of 1; macro: (1/4 + 1) / 2, where the pooled one is 2/5
    assert [value(u) for u in units] == pytest.approx([1 / 4, 1, 5 / 8])
    # 1/2; 1/4; macro: (1/2 + 1/4) / 2, where the pooled one is 0.45
    assert [u.chance for u in units] == pytest.approx([1 / 2, 1 / 4, 3 / 8])
    # 3/4; 1; macro: (3/4 + 1) / 2, where the pooled one is 4/5
    assert [u.majority for u in units] == pytest.approx([3 / 4, 1, 7 / 8])
    assert [u.scores.height for u in units] == [4, 1, 5]


def test_labels_of_two_subtasks_are_counted_apart() -> None:
    # `Yes` is half of s and half of t; counted together it would be the majority with 2 of 4
    rows = frame(("s", "Yes", "Yes"), ("s", "A", None), ("t", "Yes", None), ("t", "B", "B"))
    units = accuracy(rows, {"s": ["Yes", "A"], "t": ["Yes", "B"]})
    assert units.majority == pytest.approx((1 + 1) / 4)
    # s: Yes Yes No; t: No No Yes: each subtask names its own majority, 2 of 3 in both
    rows = frame(*(("s", label, None) for label in "YYN"), *(("t", label, None) for label in "NNY"))
    assert accuracy(rows, {"s": ["Y", "N"], "t": ["Y", "N"]}).majority == pytest.approx(4 / 6)


def test_a_label_that_cannot_be_named_has_no_chance() -> None:
    # a: 1/2, b: 1/2, zebra twice: 0; of the labels that can be named the most frequent has 1 of 4
    rows = frame(*((None, label, "a") for label in ("a", "b", "zebra", "zebra")))
    units = accuracy(rows, {None: ["a", "b"]})
    assert (units.chance, units.majority) == (pytest.approx(1 / 4), pytest.approx(1 / 4))
    # by class: (1/2 + 1/2 + 0) / 3
    assert balanced_accuracy(rows, {None: ["a", "b"]}).chance == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("metric", "strata"),
    [
        (accuracy, ["all"] * 5),
        (balanced_accuracy, list("xpxxy")),
        (lambda rows, classes: subtask_accuracies(rows, classes)[-1], list("stsss")),
    ],
    ids=["accuracy", "balanced", "macro"],
)
def test_units_are_examples_in_order_in_strata_of_one_weight(metric, strata) -> None:
    scores = metric(TASKS, TASK_CLASSES).scores
    assert scores.schema == {"score": pl.Float64, "cluster": pl.String, "stratum": pl.String}
    assert scores.rows() == [
        (score, str(n), stratum)
        for n, (score, stratum) in enumerate(zip([1, 1, 0, 0, 0], strata, strict=True))
    ]


def test_general_reports_balanced_accuracy_without_subtasks_and_macro_with_them() -> None:
    general = find_benchmark("general")
    plain = general.measure(PLAIN, PLAIN_CLASSES)
    assert [units.name for units in plain] == ["accuracy", "balanced accuracy"]
    tasks = general.measure(TASKS, TASK_CLASSES)
    names = ["accuracy", "accuracy, s", "accuracy, t", "accuracy, macro"]
    assert [units.name for units in tasks] == names
