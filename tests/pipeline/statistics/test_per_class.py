import polars as pl
import pytest

from savs.pipeline.statistics.intervals import wilson_interval
from savs.pipeline.statistics.per_class import count_confusions, measure_classes, measure_parts


def predictions_of(rows, **columns):
    """Return predictions of `(subtask, label, prediction)` rows, each its own cluster."""
    frame = pl.DataFrame(rows, schema=["subtask", "label", "prediction"], orient="row").cast(
        pl.String
    )
    return frame.with_columns(
        correct=pl.col("label").eq(pl.col("prediction")).fill_null(False),
        cluster=pl.int_range(frame.height).cast(pl.String),
        category=pl.Series(columns.get("category", [None] * frame.height), dtype=pl.String),
    )


ROWS = [
    *[(None, "cat", "cat")] * 6,
    *[(None, "cat", "dog")] * 2,
    *[(None, "dog", "dog")] * 3,
    (None, "dog", "cat"),
    (None, "dog", None),  # skipped
    (None, "emu", "dog"),  # training never had an emu
]


def test_each_class_has_the_figures_of_its_two_by_two_table():
    cat, dog, emu = measure_classes(predictions_of(ROWS)).to_dicts()
    # cat: 8 examples, 7 times said, 6 right; F1 = 2 * 6 / (8 + 7)
    assert (cat["n"], cat["predicted"], cat["correct"]) == (8, 7, 6)
    assert (cat["precision"], cat["recall"], cat["f1"]) == (6 / 7, 6 / 8, 12 / 15)
    assert (cat["low"], cat["high"]) == wilson_interval(6 / 8, 8)
    # dog: 5 examples, of which one was skipped, 6 times said, 3 right
    assert (dog["n"], dog["predicted"], dog["correct"]) == (5, 6, 3)
    assert (dog["precision"], dog["recall"], dog["f1"]) == (3 / 6, 3 / 5, 6 / 11)
    assert (emu["precision"], emu["recall"], emu["f1"]) == (None, 0.0, 0.0)


def test_a_class_without_test_examples_has_no_recall():
    rows = [(None, "a", "a"), (None, "a", "b")]
    b = measure_classes(predictions_of(rows)).row(1, named=True)
    assert (b["label"], b["n"], b["predicted"], b["precision"]) == ("b", 0, 1, 0.0)
    assert (b["recall"], b["low"], b["high"]) == (None, None, None)


def test_confusions_are_the_wrong_ones_most_frequent_first():
    assert count_confusions(predictions_of(ROWS)).rows() == [
        (None, "cat", "dog", 2),
        (None, "dog", "cat", 1),
        (None, "dog", None, 1),
        (None, "emu", "dog", 1),
    ]


def test_classes_of_two_subtasks_are_not_mixed():
    rows = [("one", "Yes", "Yes"), ("one", "No", "No"), ("two", "Yes", "No"), ("two", "No", "No")]
    found = measure_classes(predictions_of(rows))
    assert found.select("subtask", "label", "recall").rows() == [
        ("one", "Yes", 1.0),
        ("one", "No", 1.0),
        ("two", "Yes", 0.0),
        ("two", "No", 1.0),
    ]
    assert count_confusions(predictions_of(rows)).rows() == [("two", "Yes", "No", 1)]


def test_parts_are_shown_where_there_are_several():
    rows = [("one", "a", "a"), ("one", "b", "a"), ("two", "a", "a"), ("two", "b", "b")]
    found = measure_parts(predictions_of(rows, category=["x", "x", "x", None]))  # one category
    assert found.select("by", "name", "n", "correct", "accuracy").rows() == [
        ("subtask", "one", 2, 1, 0.5),
        ("subtask", "two", 2, 2, 1.0),
    ]
    assert found["low"][0] == wilson_interval(0.5, 2)[0]
    assert measure_parts(predictions_of(ROWS)).height == 0


@pytest.mark.parametrize("table", [measure_classes, count_confusions, measure_parts])
def test_predictions_without_labels_have_empty_tables(table):
    rows = [("one", None, "a"), ("two", None, "b")]
    empty = table(predictions_of(rows))
    known = table(predictions_of([("one", "a", "b"), ("two", "b", "b")]))
    assert (empty.height, empty.schema) == (0, known.schema)


def test_examples_of_one_cluster_widen_the_interval():
    rows = [(None, "a", "a"), (None, "a", "b")] * 20
    alone = measure_classes(predictions_of(rows)).row(0, named=True)
    pairs = predictions_of(rows).with_columns(
        cluster=pl.when(pl.col("correct")).then(pl.lit("right")).otherwise(pl.lit("wrong"))
    )
    tied = measure_classes(pairs).row(0, named=True)
    assert tied["recall"] == alone["recall"] == 0.5
    assert tied["high"] - tied["low"] > alone["high"] - alone["low"]


@pytest.mark.parametrize("measure", [measure_classes, measure_parts])
def test_dependent_folds_widen_the_interval_of_examples_of_one_cluster(measure):
    # four right examples in clusters of two are two trials, of 1.5 times the variance 2 / 1.5
    rows = [("one", "a", "a")] * 4 + [("two", "b", "b")] * 4
    pairs = predictions_of(rows).with_columns(cluster=pl.int_range(8).floordiv(2).cast(pl.String))
    found = measure(pairs, inflation=1.5)
    assert found["low"].to_list() == pytest.approx([wilson_interval(1, 2 / 1.5)[0]] * 2)


def test_equal_confusions_are_in_the_order_in_which_they_appear_first():
    names = [f"c{(7 * i) % 30}" for i in range(30)]
    rows = [(None, name, "other") for name in names]
    found = count_confusions(predictions_of([*rows, rows[-1]]))
    assert found["label"].to_list() == [names[-1], *names[:-1]]
