"""Charts are coordinates, worked out by hand."""

import polars as pl

from savs.pipeline.reports.pages.charts import (
    MOST_POINTS,
    Value,
    draw_heads,
    draw_lines,
    draw_scatter,
    grid_path,
    matrix_paths,
    shade,
    shade_paths,
)


def test_a_scatter_has_true_numbers_to_the_right_and_predicted_ones_upwards():
    # from 0 to 2 on both axes, so that 1 is half of the side
    found = draw_scatter([(0.0, 1.0, 0.5, 1.5), (2.0, 1.0, None, None)], side=100)
    assert found.points == "M0.0 50.0h0M100.0 50.0h0"
    assert found.intervals == "M0.0 75.0V25.0"  # y counts from the top
    assert found.ticks == ((0, "0"), (25, "0.5"), (50, "1"), (75, "1.5"), (100, "2"))
    assert (found.shown, found.of) == (2, 2)
    many = draw_scatter([(float(n), 0.0, None, None) for n in range(2 * MOST_POINTS)])
    assert (many.shown, many.of) == (MOST_POINTS, 2 * MOST_POINTS)


def test_a_line_has_a_band_where_it_has_intervals_and_chance_where_it_is_in_the_chart():
    values = [Value(0, 0.6, 0.5, 0.7, "a"), Value(1, 0.7, None, None, "b")]
    chart = draw_lines("t", "x", [(0, "one"), (1, "two")], {"": values}, chance=0.55)
    # the axis goes from 50 % at 226 to 70 % at 14, by steps of 5 %
    assert [text for _, text in chart.y_ticks] == ["50", "55", "60", "65", "70"]
    assert [(round(y), text) for y, text in chart.y_ticks[::4]] == [(226, "50"), (14, "70")]
    (line,) = chart.series
    assert [(p.x, round(p.y), p.title) for p in line.points] == [(64, 120, "a"), (480, 14, "b")]
    assert line.band == "64.0,14.0 64.0,226.0"
    assert chart.chance is not None
    assert round(chart.chance) == 173
    assert draw_lines("t", "x", [(0, "one")], {"": values[:1]}, chance=0.2).chance is None


def test_of_many_ticks_some_have_their_number_the_last_among_them():
    values = [Value(0, 3.0, None, None, "a"), Value(30, 9.0, None, None, "b")]
    ticks = [(n, str(n)) for n in range(31)]
    chart = draw_lines("t", "x", ticks, {"": values}, scale=[12], chance=4.0, are_shares=False)
    assert [text for _, text in chart.x_ticks] == [str(n) for n in range(0, 31, 3)]
    assert [text for _, text in chart.y_ticks] == ["2", "4", "6", "8", "10", "12"]
    assert [round(y) for y, _ in chart.y_ticks[::5]] == [226, 14]
    assert chart.chance == chart.y_ticks[1][0]


def test_a_map_of_heads_has_a_row_for_each_layer_of_the_store_and_marks_the_chosen_heads():
    rows = [
        (4, 0, "L4.H0", 0.3, 1, 3),
        (0, 1, "L0.H1", 0.1, 0, None),
        (0, 2, "L0.H2", 0.9, 1, 1),
        (4, 2, "L4.H2", 0.1, 2, 2),
    ]
    columns = ["layer", "head", "name", "strength", "chosen", "rank"]
    heads = pl.DataFrame(rows, schema=columns, orient="row")
    found = draw_heads(heads, title="t")
    assert (found.title, found.columns, found.lowest, found.highest) == ("t", 3, 0.1, 0.9)
    # 0.3 is a quarter of the way from shade 1 to 12
    shades = {1: "M1 0h1v1h-1zM2 1h1v1h-1z", 12: "M2 0h1v1h-1z", 4: "M0 1h1v1h-1z"}
    assert (found.paths, found.lines) == (shades, grid_path(3, 2))
    assert found.layers.rows() == [(0, 0.5, 0.9, 1), (4, 0.2, 0.3, 3)]
    assert [(mark.x, mark.y, mark.text, mark.title) for mark in found.marks] == [
        (2, 0, "1", "L0.H2: 90.0 %, rank 1"),
        (0, 1, "3", "L4.H0: 30.0 %, rank 3"),
        (2, 1, "2", "L4.H2: 10.0 %, rank 2"),
    ]
    of_labels = draw_heads(heads.with_columns(chosen=3 * pl.col("chosen")), chosen_by="label")
    assert of_labels.title == "all labels"
    assert [(mark.text, mark.title[-18:]) for mark in of_labels.marks] == [
        ("3", "chosen by 3 labels"),
        ("3", "chosen by 3 labels"),
        ("6", "chosen by 6 labels"),
    ]


def test_a_large_matrix_is_shaded_by_the_share_of_each_row():
    labels = [{"label": "b", "n": 4}, {"label": "a", "n": 2}]
    counts = {("b", "b"): 4, ("b", "a"): 0, ("a", "b"): 1, ("a", None): 1, ("c", "a"): 3}
    right, wrong = (
        matrix_paths(labels, ["b", "a", None], counts, right=on_diagonal)
        for on_diagonal in (True, False)
    )
    assert right == {12: "M0 0h1v1h-1z"}
    assert wrong == {shade(0.5, 0, 1): "M0 1h1v1h-1zM2 1h1v1h-1z"}
    # cells of two rows are no rectangle, though one begins where the other ends
    assert shade_paths({(0, 0): 3, (1, 1): 3}) == {3: "M0 0h1v1h-1zM1 1h1v1h-1z"}
