import polars as pl
import pytest

from savs.datasets.benchmarks.shapes import SHAPES
from savs.datasets.benchmarks.shapes.benchmark import measure
from savs.datasets.metrics.groups import group_metrics, pair_metric, set_accuracy
from savs.datasets.metrics.metrics import Units

SCHEMA = {
    "subtask": pl.String,
    "category": pl.String,
    "group": pl.String,
    "prompt": pl.String,
    "media": pl.List(pl.String),
    "label": pl.String,
    "correct": pl.Boolean,
    "cluster": pl.String,
}
YES_NO = {"s": ["Yes", "No"], "t": ["Yes", "No"], "u": ["A", "B", "C", "D"]}
Row = tuple[str, str, str | None, str, list[str], str, bool, str]


def frame(*parts: list[Row]) -> pl.DataFrame:
    return pl.DataFrame([row for part in parts for row in part], schema=SCHEMA, orient="row")


def group(name: str, right: str, task: str = "s") -> list[Row]:
    """Rows q0i0 q0i1 q1i0 q1i1; all groups have the same questions and image names."""
    return [
        (task, "group", name, f"q{n // 2}", [f"i{n % 2}"], "YNNY"[n], r == "+", f"c {name}")
        for n, r in enumerate(right)
    ]


def pair(name: str, right: str, task: str = "t", family: str = "pair") -> list[Row]:
    return [
        (task, family, name, f"q{n}", ["i0"], ["Yes", "No"][n], r == "+", f"c {name}")
        for n, r in enumerate(right)
    ]


def value(units: Units) -> float:
    return sum(units.scores["score"]) / units.scores.height


def labelled(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("label").replace({"Y": "Yes", "N": "No"}))


# a: all right. b: q1 wrong on i0, so q0 and i1 are whole. c: q0 right, q1 wrong: no image is whole.
GROUPS = labelled(frame(group("a", "++++"), group("b", "++-+"), group("c", "++--")))
PAIRS = frame(pair("p", "++"), pair("q", "+-"), pair("r", "-+"), pair("s", "--"), pair("t", "++"))


def test_groups_count_whole_questions_whole_images_and_whole_groups() -> None:
    units = group_metrics(GROUPS, YES_NO)
    assert [u.name for u in units] == ["Q-Acc", "I-Acc", "G-Acc"]
    assert [u.scores.height for u in units] == [6, 6, 3]
    # questions: 2 + 1 + 1 of 6; images: 2 + 1 + 0 of 6; groups: a alone of 3
    assert [value(u) for u in units] == pytest.approx([4 / 6, 3 / 6, 1 / 3])
    # two and four independent guesses of Yes or No: 1/2 ** 2 and 1/2 ** 4
    assert [u.chance for u in units] == [0.25, 0.25, 0.0625]
    assert {u.majority for u in units} == {None}
    for unit in units[:2]:
        assert unit.scores["cluster"].to_list() == ["c a", "c a", "c b", "c b", "c c", "c c"]
    assert units[2].scores.rows() == [(1, "c a", "all"), (0, "c b", "all"), (0, "c c", "all")]
    assert dict(units[2].scores.schema) == {
        "score": pl.Float64, "cluster": pl.String, "stratum": pl.String,
    }  # fmt: skip


def test_incomplete_sets_are_left_out_and_counted_in_a_note() -> None:
    # c is without q1i1: its question q1 and its image i1 have one row, its group three. q0 and i0
    # are complete, but a group counts in all three metrics or in none
    units = group_metrics(GROUPS.head(11), YES_NO, "s")
    assert [u.name for u in units] == ["Q-Acc, s", "I-Acc, s", "G-Acc, s"]
    for unit in units:
        assert unit.notes == (f"{unit.name}: incomplete groups left out: 1 (c)",)
    # questions: 2 + 1 of 4; images: 2 + 1 of 4; groups: a of a and b
    assert [value(u) for u in units] == pytest.approx([3 / 4, 3 / 4, 1 / 2])
    assert {cluster for unit in units for cluster in unit.scores["cluster"]} == {"c a", "c b"}
    assert [u.chance for u in units] == [0.25, 0.25, 0.0625]
    # p and q are halved
    halves = PAIRS.filter(~((pl.col("group").is_in(["p", "q"])) & (pl.col("prompt") == "q0")))
    both = pair_metric(halves, YES_NO, "t")
    assert both.notes == ("both right, t: incomplete groups left out: 2 (p, q)",)
    assert both.scores["cluster"].to_list() == ["c r", "c s", "c t"]


@pytest.mark.parametrize(
    "column", ["prompt", "media"], ids=["three of a question", "three of an image"]
)
def test_four_rows_that_are_not_two_by_two_are_no_group(column: str) -> None:
    odd = GROUPS.with_columns(
        pl.when(pl.int_range(pl.len()) == 3)
        .then(pl.col(column).first())
        .otherwise(column)
        .alias(column)
    )
    for unit in group_metrics(odd, YES_NO):
        assert unit.notes == (f"{unit.name}: incomplete groups left out: 1 (a)",)
        assert set(unit.scores["cluster"]) == {"c b", "c c"}


def test_too_many_rows_make_no_set_either() -> None:
    twice = frame(pair("p", "++"), pair("p", "++"), pair("q", "++"))
    units = set_accuracy(twice, YES_NO, "m", ["group"], 2)
    assert (units.notes, units.scores.height) == (("m: incomplete groups left out: 1 (p)",), 1)


def test_no_complete_set_is_an_error() -> None:
    with pytest.raises(ValueError, match="no group of 4 rows, two questions on two images"):
        group_metrics(GROUPS.head(3), YES_NO)
    with pytest.raises(ValueError, match="no set of 4 rows that share group is complete"):
        set_accuracy(GROUPS.head(3), YES_NO, "G-Acc", ["group"], 4)


def test_chance_is_the_mean_over_sets_of_the_product_of_guesses() -> None:
    def lettered(label: str) -> pl.DataFrame:
        return frame(pair("x", "+-", task="u")).with_columns(label=pl.lit(label))

    # t: 1/2 * 1/2 for one pair; u has four classes: 1/4 * 1/4
    rows = pl.concat([frame(pair("p", "++")), lettered("A")])
    assert pair_metric(rows, YES_NO).chance == pytest.approx((1 / 4 + 1 / 16) / 2)
    # E is no class of u, so that pair is never guessed
    rows = pl.concat([frame(pair("p", "++")), lettered("E")])
    assert pair_metric(rows, YES_NO).chance == pytest.approx((1 / 4 + 0) / 2)


def test_images_of_one_row_are_a_set_only_in_the_same_order() -> None:
    rows = frame(group("a", "+++-")).with_columns(
        media=pl.Series([["i", "j"], ["j", "i"], ["i", "j"], ["j", "i"]])
    )
    images = group_metrics(labelled(rows), YES_NO)[1]
    assert images.scores["score"].to_list() == [1, 0]


def single(right: str) -> list[Row]:
    """Rows of a task without groups, all of the class A of four."""
    return [("u", "choice", None, "q", ["i"], "A", r == "+", f"u {n}") for n, r in enumerate(right)]


def test_shapes_measures_tasks_then_groups_and_pairs() -> None:
    rows = pl.concat([GROUPS, PAIRS, frame(single("+--+"))])
    assert SHAPES.measure is measure
    units = {u.name: u for u in measure(rows, YES_NO)}
    values = {
        # 9 of 12, 6 of 10 and 2 of 4
        "accuracy": 17 / 26,
        "accuracy, s": 9 / 12,
        "accuracy, t": 6 / 10,
        "accuracy, u": 2 / 4,
    }
    wholes = {"Q-Acc, s": 4 / 6, "I-Acc, s": 3 / 6, "G-Acc, s": 1 / 3, "both right, t": 2 / 5}
    assert list(units) == [*values, "accuracy, macro", *wholes]
    for name, expected in (values | wholes).items():
        assert value(units[name]) == pytest.approx(expected), name
    chances = {name: units[name].chance for name in ("accuracy, macro", *wholes)}
    # macro: 1/2, 1/2 and 1/4
    assert list(chances.values()) == pytest.approx([1.25 / 3, 0.25, 0.25, 0.0625, 0.25])
    macro = units["accuracy, macro"].scores.group_by("stratum").agg(pl.col("score").mean())
    assert dict(macro.rows()) == pytest.approx({"s": 0.75, "t": 0.6, "u": 0.5})
    names = [u.name for u in measure(frame(single("+-")), YES_NO)]
    assert names == ["accuracy", "accuracy, u", "accuracy, macro"]
