"""Curves of a sweep: which axes have one, and at which setting readouts are compared."""

from itertools import product

import polars as pl
import pytest

from savs.pipeline.reports.report.curves import charts_of_sweep


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
