"""Curves of a sweep: which axes have one, and at which setting readouts are compared."""

from itertools import product

import polars as pl
import pytest
from random_stores import draw_problem, write_problem

from savs import sweep
from savs.pipeline.reports.pages.charts import TONES
from savs.pipeline.reports.report.curves import charts_of_sweep, sweep_parts


def rows_of(heads: dict[str, list[int]], shots: list[int | None]) -> pl.DataFrame:
    """Return a row of each readout, number of heads and of shots, its mean telling them apart."""
    points = [(name, n, k) for name in heads for n, k in product(heads[name], shots)]
    columns = {"readout": pl.String, "heads": pl.Int64, "shots": pl.Int64}
    means = pl.Series([0.5 + n / 100 for n in range(len(points))])
    return pl.DataFrame(points, schema=columns, orient="row").with_columns(
        mean=means, low=means - 0.01, high=means + 0.01, chance=0.5, draws=3
    )


@pytest.mark.parametrize(
    ("shots", "where"),
    [([1, 4, 2], "4 examples per class"), ([4, None, 1], "all training examples")],
    ids=["most", "all"],
)
def test_readouts_are_compared_with_all_shots_or_the_most_and_with_the_usual_heads(shots, where):
    heads = {"vote": [5, 20, 40], "lda": [10, 19]}
    by_shots, by_heads = charts_of_sweep(rows_of(heads, shots), "accuracy")
    assert by_heads.title == f"accuracy by number of heads with {where}"
    titles = {series.name: [p.title for p in series.points] for series in by_heads.series}
    for name, counts in heads.items():
        assert [title.partition(":")[0] for title in titles[name]] == [
            f"{name}, {n} heads" for n in counts
        ]
    # of shots: vote has 20 heads, the usual number, and lda the nearest to it
    assert by_shots.title == "accuracy by examples per class"
    rows = rows_of(heads, shots).filter((pl.col("heads") == 20) | (pl.col("heads") == 19))
    for series in by_shots.series:
        expected = rows.filter(readout=series.name).sort("shots", nulls_last=True)["mean"]
        found = [float(p.title.split(": ")[1].split(" ")[0]) for p in series.points]
        assert found == pytest.approx([100 * mean for mean in expected])


def test_an_axis_on_which_one_readout_alone_varies_has_a_chart():
    found = charts_of_sweep(rows_of({"vote": [5, 20], "lda": [20]}, [None]), "accuracy")
    assert [chart.x_name for chart in found] == ["number of heads"]
    assert charts_of_sweep(rows_of({"vote": [5], "lda": [20]}, [None]), "accuracy") == ()


def test_chance_is_drawn_where_it_is_that_of_all_draws():
    rows = rows_of({"vote": [20]}, [1, 2])
    (chart,) = charts_of_sweep(rows, "accuracy")
    assert chart.chance is not None
    (other,) = charts_of_sweep(rows.with_columns(chance=pl.Series([0.5, 0.505])), "accuracy")
    assert other.chance is None


def test_shots_of_numbers_are_of_all_examples_and_not_per_class():
    rows = rows_of({"vote": [20]}, [10, None]).with_columns(scale=pl.lit("error"))
    (chart,) = charts_of_sweep(rows, "mean absolute error")
    assert (chart.title, chart.x_name) == (
        *("mean absolute error by training examples", "training examples"),
    )
    (series,) = chart.series
    titles = [point.title.partition(":")[0] for point in series.points]
    assert titles == ["20 heads, 10 examples", "20 heads, all training examples"]


def test_more_readouts_than_a_chart_has_colours_are_each_compared_with_the_first():
    names = [f"r{n}" for n in range(len(TONES) + 2)]
    found = charts_of_sweep(rows_of({name: [20] for name in names}, [1, 2]), "accuracy")
    assert [[series.name for series in chart.series] for chart in found] == [
        names[: len(TONES)],
        [names[0], *names[len(TONES) :]],
    ]


def test_depths_are_in_order_whichever_line_of_the_summary_comes_first(tmp_path):
    store = write_problem(tmp_path / "s", draw_problem(5, counts=(4, 5), tests=20))
    found = sweep(store, heads=[1], shots=["all"], draws=2, max_layers="each", out=tmp_path / "w")
    assert found.summary["max_layer"].n_unique() > 1
    summary = tmp_path / "w/summary.parquet"
    pl.read_parquet(summary).reverse().write_parquet(summary)
    (), (part,) = sweep_parts([tmp_path / "w"])
    (chart,) = part.charts
    layers = [int(text) for _, text in chart.x_ticks]
    assert layers == sorted(layers)
    (series,) = chart.series
    said = [int(p.title.partition("layers up to ")[2].split(" ")[0]) for p in series.points]
    assert said == layers
    assert series.name == "vote, all shots"
    found.summary.filter(max_layer=0).write_parquet(summary)
    assert sweep_parts([tmp_path / "w"])[1][0].charts == ()  # one depth is no curve
