import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.datasets import find_benchmark
from savs.datasets.rows.plugin_guard import compute_metrics

BENCHMARK = find_benchmark("blink")
SUBTASKS = {"s": ["(A)", "(B)"], "t": ["(A)", "(B)", "(C)", "(D)"]}
Row = tuple[str | None, str, str | None]
"""Subtask, label, prediction (None was skipped)."""


def frame(*rows: Row) -> pl.DataFrame:
    schema = {"subtask": pl.String, "label": pl.String, "prediction": pl.String}
    return pl.DataFrame(list(rows), schema=schema, orient="row").with_columns(
        id=pl.int_range(pl.len()).cast(pl.String),
        cluster=pl.int_range(pl.len()).cast(pl.String),
        correct=(pl.col("prediction") == pl.col("label")).fill_null(False),
    )


def measured(rows: pl.DataFrame) -> dict[str, float]:
    """The mean over strata of the mean score in each."""
    found = {}
    for units in compute_metrics(BENCHMARK, rows, SUBTASKS | {None: ["(A)", "(B)"]}):
        means = units.scores.group_by("stratum").agg(pl.col("score").mean())["score"]
        found[units.name] = sum(means) / len(means)
    return found


# s: 3 of 4, t: 1 of 2, with a skipped one that is wrong
SOME = frame(
    ("s", "(A)", "(A)"),
    ("t", "(C)", "(C)"),
    ("s", "(B)", "(B)"),
    ("s", "(A)", "(A)"),
    ("t", "(D)", None),
    ("s", "(B)", "(A)"),
)


def test_the_total_is_the_mean_over_subtasks_and_comes_first() -> None:
    found = measured(SOME)
    assert list(found) == ["accuracy, macro", "accuracy, s", "accuracy, t", "accuracy, micro"]
    assert list(found.values()) == pytest.approx([(3 / 4 + 1 / 2) / 2, 3 / 4, 1 / 2, 4 / 6])
    units = compute_metrics(BENCHMARK, SOME, SUBTASKS)
    # chance: 1/2 and 1/4; four examples of s and two of t
    assert [u.chance for u in units] == pytest.approx([3 / 8, 1 / 2, 1 / 4, 2.5 / 6])


def test_a_file_of_one_task_has_plain_and_balanced_accuracy() -> None:
    rows = frame(
        (None, "(A)", "(A)"), (None, "(A)", "(A)"), (None, "(A)", "(B)"), (None, "(B)", "(A)")
    )
    assert measured(rows) == pytest.approx(
        {"accuracy": 2 / 4, "balanced accuracy": (2 / 3 + 0) / 2}
    )


def test_a_submission_has_every_answer_that_was_given() -> None:
    assert BENCHMARK.submission is not None
    assert BENCHMARK.submission(SOME) == {
        "0": "(A)",
        "1": "(C)",
        "2": "(B)",
        "3": "(A)",
        "5": "(A)",
    }


ROWS = st.lists(
    st.one_of(
        *(
            st.tuples(st.just(s), st.sampled_from(c), st.sampled_from(c))
            for s, c in SUBTASKS.items()
        )
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.thorough
@settings(deadline=None, max_examples=30)
@given(ROWS, st.data())
def test_perfect_and_constant_predictors_in_any_order(rows: list[Row], data: st.DataObject) -> None:
    assert set(measured(frame(*((s, label, label) for s, label, _ in rows))).values()) == {1.0}
    constant = measured(frame(*((s, label, "(A)") for s, label, _ in rows)))
    shares = {}
    for task in dict.fromkeys(s for s, *_ in rows):
        labels = [label for s, label, _ in rows if s == task]
        shares[f"accuracy, {task}"] = labels.count("(A)") / len(labels)
    pooled = [label for _, label, _ in rows].count("(A)") / len(rows)
    macro = sum(shares.values()) / len(shares)
    expected = {"accuracy, macro": macro, **shares, "accuracy, micro": pooled}
    assert constant == pytest.approx(expected)
    mixed = frame(*rows)[data.draw(st.permutations(range(len(rows))))]
    assert measured(mixed) == pytest.approx(measured(frame(*rows)))
