"""What a benchmark's own code does wrong is given as its fault, with its line and the row."""

import inspect
import math
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from savs.datasets import Benchmark, BenchmarkFaultError, Fields, Row, RowError, Units
from savs.datasets.rows.plugin_guard import (
    compute_metrics,
    find_folder_notes,
    make_submission,
    parse_fields,
    read_split_rows,
)

ROW = Row("x.jsonl line 7", 0, {"label": "a"}, "x")
FRAME = pl.DataFrame({"score": [1.0], "cluster": ["0"], "stratum": ["all"]})
GOOD = Fields(label="a", prompt="?")


def own(parse_row=None, measure=None, **more) -> Benchmark:
    return Benchmark("mine", "of mine", {}, parse_row, measure, **more)


def refused(message: str):
    return pytest.raises(BenchmarkFaultError, match=message)


def fails(*_args):
    raise KeyError("image")


class Fails:
    """A function that is an object."""

    __call__ = staticmethod(fails)


LINE = inspect.getsourcelines(fails)[1] + 1


@pytest.mark.parametrize("function", [fails, partial(fails, "more"), Fails()])
def test_an_exception_is_told_with_its_line_and_the_row(function) -> None:
    message = (
        rf"^{__file__} line {LINE}: (?i:fails) of the benchmark 'mine' raises KeyError: 'image' at"
        r" x\.jsonl line 7; fix the benchmark, or the row"
    )
    with refused(message):
        list(parse_fields(own(function), ROW))


def test_an_error_of_the_row_stays_one_and_what_came_before_a_failure_is_there() -> None:
    def halfway(row):
        yield GOOD
        fails()

    def complains(row):
        raise row.error("the boxes overlap", "mend them")

    with pytest.raises(RowError, match=r"^x\.jsonl line 7: the boxes overlap; mend them$"):
        list(parse_fields(own(complains), ROW))
    found = parse_fields(own(halfway), ROW)
    assert next(found) == GOOD
    with refused("halfway of the benchmark 'mine' raises KeyError"):
        next(found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "gives no example at x.jsonl line 7"),
        (["a"], "gives a str, expected `yield Fields"),
        ([replace(GOOD, label=3)], "gives the label 3, expected text or None"),
        ([replace(GOOD, label="")], "gives the label '', expected text or None"),
        ([replace(GOOD, group=1.5)], "gives the group 1.5, expected text or None"),
        ([replace(GOOD, prompt=None)], "gives the prompt None, expected text"),
        ([replace(GOOD, media="a.png")], "gives the media 'a.png', expected a tuple of names"),
        ([replace(GOOD, media=["a.png"])], r"gives the media \['a.png'\], expected a tuple"),
        ([replace(GOOD, media=(None,))], "expected a tuple of names"),
        ([replace(GOOD, prompt="\ud800")], "which holds a lone surrogate"),
        (None, "raises TypeError: 'NoneType' object is not iterable"),
        (GOOD, "raises TypeError: 'Fields' object is not iterable"),
    ],
)
def test_what_is_no_example_is_told(given, message) -> None:
    with refused(message):
        list(parse_fields(own(lambda row: given), ROW))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "gives no metric"),
        (None, "raises TypeError"),
        ([0.5], "gives a float, expected savs.datasets.Units"),
        ([Units("m", FRAME.drop("stratum"), 0.5)], "'m' without the columns score, cluster, stra"),
        ([Units("m", FRAME.clear(), 0.5)], "'m' with a score that is not a number, or without"),
        ([Units("m", FRAME.with_columns(score=pl.lit(None, pl.Float64)), 0.5)], "is not a number"),
        ([Units("m", FRAME.with_columns(score=pl.lit("1")), 0.5)], "scores of String"),
        ([Units("m", FRAME, None)], "'m' with the chance None, expected a number"),
        ([Units("m", FRAME, float("nan"))], "'m' with the chance nan, expected a number"),
        ([Units("m", FRAME, 0.5, "most")], "'m' with the majority 'most', expected a number"),
        ([Units(None, FRAME, 0.5)], "gives a metric called None, expected text"),
        ([Units("", FRAME, 0.5)], "gives a metric called '', expected text"),
        ([Units("m", [1.0], 0.5)], "'m' without the columns score, cluster, stratum in scores"),
        ([Units("m", FRAME.with_columns(score=pl.lit(math.inf)), 0.5)], "is not a number"),
    ],
)
def test_what_is_no_metric_is_told(given, message) -> None:
    with refused(message):
        compute_metrics(own(None, lambda predictions, classes: given), FRAME, {})


def test_what_is_right_comes_through() -> None:
    units = Units("m", FRAME, 0.5)
    right = Units("right", FRAME.cast({"score": pl.Boolean}), 0.5)
    assert compute_metrics(own(None, lambda p, c: (units, right)), FRAME, {}) == [units, right]
    assert make_submission(own(), FRAME.lazy()) is None
    assert make_submission(own(submission=lambda p: {"a": p.height}), FRAME.lazy()) == {"a": 1}
    seen = []
    reading = own(read_folder=lambda _: [ROW], check_rows=lambda *given: seen.append(given))
    assert read_split_rows(reading, "folder", "test") == [ROW]
    assert seen == [([ROW], "test")]


@pytest.mark.parametrize("reads", [None, ("stratum", "score")], ids=["all", "some"])
def test_metrics_are_made_of_the_columns_that_they_read(reads) -> None:
    def measure(predictions, classes):
        assert predictions.columns == list(reads or FRAME.columns)
        return [Units("m", FRAME, 0.5)]

    assert compute_metrics(own(None, measure, reads=reads), FRAME.lazy(), {})


def test_a_column_that_is_read_and_not_there_is_named() -> None:
    with refused("'mine' reads 'votes', which is no column of the predictions: score, cluster, st"):
        compute_metrics(own(None, fails, reads=("score", "votes")), FRAME, {})
    for odd in ("score", 3):
        with refused("'mine' reads '?(score|3)'?, expected a tuple of columns"):
            compute_metrics(own(None, fails, reads=odd), FRAME, {})


def test_the_other_functions_are_told_too() -> None:
    with refused(f"line {LINE}: fails of the benchmark 'mine' raises KeyError: 'image'; fix"):
        compute_metrics(own(None, fails), FRAME, {})
    with refused("raises KeyError"):
        make_submission(own(submission=fails), FRAME.lazy())
    with refused("raises KeyError: 'image'; fix the benchmark$"):
        read_split_rows(own(read_folder=lambda _: [ROW], check_rows=fails), "folder", "test")
    for given, kind in ((None, "NoneType"), ([{"image": "a.png"}], "list")):
        with refused(f"gives a {kind}, expected a list of Row at folder"):
            read_split_rows(own(read_folder=lambda _, rows=given: rows), "folder", "test")
    with refused("gives a list, expected a dictionary"):
        make_submission(own(submission=lambda _: [1]), FRAME.lazy())
    with refused("raises TypeError: Object of type set is not JSON serializable"):
        make_submission(own(submission=lambda _: {"a": {1}}), FRAME.lazy())
    for notes, kind in (("a note", "str"), (None, "NoneType")):
        with refused(f"gives a {kind}, expected a list of lines at folder"):
            find_folder_notes(own(folder_notes=lambda _, notes=notes: notes), Path("folder"))
    with refused("raises KeyError: 'image' at folder; fix the benchmark"):
        read_split_rows(own(read_folder=fails), "folder", "test")
    with refused("raises SystemExit: 0"):
        make_submission(own(submission=lambda predictions: sys.exit(0)), FRAME.lazy())
