"""The first table of a report: results next to what chance gets by the same metric."""

from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from savs.pipeline.reports.report.headline import headline_of, is_same


def metric(name: str, value: float, chance: float, scale: str = "share") -> dict[str, Any]:
    ends = {"low": value - 0.1, "high": value + 0.1}
    return {"name": name, "value": value, "chance": chance, "majority": 0.6, "scale": scale} | ends


def result(name: str, *metrics: dict[str, Any]) -> Any:
    """Return a result of other examples than the next one; its first metric is its headline."""
    return SimpleNamespace(
        name=name, split=name, headline=metrics[0], metrics={"metrics": list(metrics)}
    )


def test_chance_and_majority_belong_to_results_of_the_same_metric():
    first = result("first", metric("accuracy", 0.8, 0.5))
    both = result("both", metric("F1", 0.7, 0.3), metric("accuracy", 0.75, 0.5))
    apart = result("apart", metric("F1", 0.65, 0.3))
    headline = headline_of([first, both, apart])
    assert (headline.metric, headline.differences) == ("accuracy", None)
    rows = headline.results.frame.select("name", "value", "chance", "majority").rows()
    assert rows == [
        ("first", 0.8, 0.5, 0.6),
        ("both (of the both examples)", 0.75, 0.5, 0.6),
        ("apart (of the apart examples), F1", 0.65, None, None),
        ("majority class", 0.6, None, None),
        ("chance", 0.5, None, None),
    ]


@pytest.mark.parametrize(("scale", "is_drawn"), [("share", True), ("error", False)])
def test_only_shares_are_drawn_on_one_track(scale, is_drawn):
    headline = headline_of([result("first", metric("MAE", 3.0, 5.0, scale))])
    assert (headline.results.drawing is not None) == is_drawn


def test_results_are_the_same_if_each_prediction_is() -> None:
    found = {"a": ["1", "2"], "b": ["2", "1"], "c": ["1", "2"]}
    one, other, equal = results = [result(name, metric("accuracy", 0.5, 0.5)) for name in found]
    for each, said in zip(results, found.values(), strict=True):
        table = pl.DataFrame({"id": ["x", "y"], "prediction": said})
        each.predictions = lambda table=table: table
    assert is_same(one, equal)
    assert not is_same(one, other)  # as often right, on other examples
