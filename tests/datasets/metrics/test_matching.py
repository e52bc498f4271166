import math
from itertools import permutations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.datasets import RowError, Units
from savs.datasets.metrics.groups import matching_metrics

SCHEMA = {
    "group": pl.String,
    "prompt": pl.String,
    "media": pl.List(pl.String),
    "label": pl.String,
    "cluster": pl.String,
    "votes": pl.List(pl.Struct({"class": pl.String, "score": pl.Float32, "soft": pl.Float32})),
}
NAMES = ("text score (official)", "image score (official)", "group score (official)")
Scores = tuple[float | None, ...]
"""s(c0, i0), s(c0, i1), s(c1, i0), s(c1, i1); None was skipped. The first and last are true."""


def votes(yes: float | None, no: float = 0.0) -> list[dict[str, object]] | None:
    """What a readout leaves: the better class first; its hard score says nothing here."""
    if yes is None:
        return None
    both = [{"class": "Yes", "score": 0.0, "soft": yes}, {"class": "No", "score": 1.0, "soft": no}]
    return sorted(both, key=lambda vote: -float(str(vote["soft"])))


def frame(groups: dict[str, Scores], no: float = 0.0) -> pl.DataFrame:
    rows = [
        (name, f"c{n // 2}", [f"i{n % 2}"], "YNNY"[n], f"c {name}", votes(score, no))
        for name, scores in groups.items()
        for n, score in enumerate(scores)
    ]
    labels = pl.col("label").replace({"Y": "Yes", "N": "No"})
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").with_columns(labels)


def values(units: list[Units]) -> list[list[float]]:
    return [u.scores["score"].to_list() for u in units]


def means(units: list[Units]) -> list[float]:
    return [sum(scores) / len(scores) for scores in values(units)]


def test_units_are_groups_with_their_clusters() -> None:
    groups = {"a": (0.9, 0.2, 0.1, 0.8), "b": (0.6, 0.7, 0.5, 0.8), "c": (0.6, 0.5, 0.7, 0.8)}
    rows = frame(groups)
    alone = rows.with_columns(group=pl.lit(None, pl.String))  # counts nowhere
    text, image, both = matching_metrics(pl.concat([alone, rows]))
    assert (text.name, image.name, both.name) == NAMES
    assert text.scores.rows() == [(1, "c a", "all"), (1, "c b", "all"), (0, "c c", "all")]
    assert image.scores.rows() == [(1, "c a", "all"), (0, "c b", "all"), (1, "c c", "all")]
    assert both.scores.rows() == [(1, "c a", "all"), (0, "c b", "all"), (0, "c c", "all")]


def test_chance_is_what_scores_in_random_order_get() -> None:
    orders = {str(n): order for n, order in enumerate(permutations((0.1, 0.2, 0.3, 0.4)))}
    units = matching_metrics(frame(orders))
    # of 24 orders: 6 have both images right, 6 both captions, and 2! 2! = 4 both true pairs on top
    assert means(units) == pytest.approx([6 / 24, 6 / 24, 4 / 24])
    assert [u.chance for u in units] == pytest.approx(means(units))


def test_a_score_is_how_far_yes_is_ahead_of_no() -> None:
    rows = frame({"g": (0.5, 0.6, 0.6, 0.5)})
    # Yes alone would prefer the false pairs, whose No is nearly as high: .5 - .1 > .6 - .5
    softs = [votes(0.5, 0.1), votes(0.6, 0.5), votes(0.6, 0.5), votes(0.5, 0.1)]
    better = rows.with_columns(votes=pl.Series(softs, dtype=SCHEMA["votes"]))
    assert means(matching_metrics(better)) == [1, 1, 1]
    assert means(matching_metrics(rows)) == [0, 0, 0]


def test_incomplete_groups_are_left_out_and_named() -> None:
    good = (0.9, 0.2, 0.1, 0.8)
    rows = frame({"a": good, "b": good, "c": good, "d": good, "e": good})
    # b has three rows, c two Yes too many, d one caption, e one image
    spoilt = rows[[0, 1, 2, 3, *range(5, 20)]].with_columns(
        label=pl.when(group="c").then(pl.lit("Yes")).otherwise("label"),
        prompt=pl.when(group="d").then(pl.lit("c0")).otherwise("prompt"),
        media=pl.when(group="e").then(["i0"]).otherwise("media"),
    )
    units = matching_metrics(spoilt)
    note = "text, image and group score: incomplete groups left out: 4 (b, c, d, e)"
    assert [(u.scores["cluster"].to_list(), u.notes) for u in units] == 3 * [(["c a"], (note,))]
    with pytest.raises(
        RowError, match=r"^no group of two captions and two images is complete; check whether"
    ):
        matching_metrics(spoilt.filter(pl.col("group") != "a"))


LEVELS = st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 0.75, math.nan]))
"""Few levels, so that ties are frequent; None was skipped."""
GROUPS = st.lists(st.tuples(LEVELS, LEVELS, LEVELS, LEVELS), min_size=1, max_size=6)


def slow(scores: Scores) -> tuple[bool, bool, bool]:
    if any(score is None or math.isnan(score) for score in scores):
        return False, False, False
    a, b, c, d = (float(score or 0) for score in scores)
    return a > c and d > b, a > b and d > c, a > c and d > b and a > b and d > c


@pytest.mark.thorough
@settings(deadline=None)
@given(GROUPS, st.data())
def test_any_scores_count_as_written_out_and_in_any_order(
    groups: list[Scores], data: st.DataObject
) -> None:
    rows = frame({str(n): scores for n, scores in enumerate(groups)}, no=0.5)
    units = matching_metrics(rows)
    assert all(u.notes == () and u.majority is None for u in units)
    assert values(units) == [[s[n] for s in map(slow, groups)] for n in range(3)]
    mixed = rows[data.draw(st.permutations(range(rows.height)))]
    for one, other in zip(units, matching_metrics(mixed), strict=True):
        assert sorted(one.scores.rows()) == sorted(other.scores.rows())


@pytest.mark.parametrize(
    "pairs",
    [
        ["c0 i0 Yes", "c1 i0 Yes", "c0 i1 No", "c1 i1 No"],
        ["c0 i0 Yes", "c0 i1 Yes", "c1 i0 No", "c1 i1 No"],
        ["c0 i0 Yes", "c0 i0 Yes", "c1 i1 No", "c1 i1 No"],
        ["c0 i0 Yes", "c1 i1 Yes", "c0 i1 No", "c0 i1 No"],
    ],
    ids=["one image for both", "one caption for both", "pairs twice", "a false pair twice"],
)
def test_a_group_that_is_not_two_true_and_two_false_pairs_is_left_out(pairs: list[str]) -> None:
    parts = [pair.split() for pair in pairs]
    rows = [("x", c, [i], label, "c", votes(0.5)) for c, i, label in parts]
    odd = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    units = matching_metrics(pl.concat([odd, frame({"a": (0.9, 0.2, 0.1, 0.8)})]))
    assert values(units) == [[1], [1], [1]]
    assert units[0].notes[0].endswith("incomplete groups left out: 1 (x)")
