"""Charts are coordinates, worked out by hand."""

from savs.pipeline.reports.pages.charts import MOST_POINTS, Value, draw_lines, draw_scatter


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
