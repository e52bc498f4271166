"""The map of the chosen heads' space: every example once, and axes of greatest variance."""

import re

import numpy as np
import pytest
from reported import Page

from savs.pipeline import report, select
from savs.pipeline.reports.report import space
from savs.pipeline.reports.report.evaluated import read_results
from savs.pipeline.reports.report.space import space_part
from savs.pipeline.selection.heads.centroids import normalise


def points_of(path):
    return [tuple(map(float, found)) for found in re.findall(r"M([\d.]+) ([\d.]+)h0", path)]


def test_every_test_example_is_a_point_or_a_cross(evaluated, vote):
    (result,) = read_results([vote])
    maps = space_part(result, None)
    assert [own.subtask for own in maps] == [task.subtask for task in result.config.tasks]
    for own in maps:
        rows = result.predictions.filter(subtask=own.subtask)
        assert own.shown == own.examples == rows.height
        for layer in own.layers:
            of_class = rows.filter(label=layer.name)
            assert layer.examples == of_class.height
            assert len(points_of(layer.right)) == of_class["correct"].sum()
            assert layer.wrong.count("M") == (~of_class["correct"]).sum()
        assert own.spots == ()


def test_the_axes_are_those_of_a_singular_value_decomposition(evaluated, vote):
    (result,) = read_results([vote])
    (own, *_) = space_part(result, None)
    task = select(evaluated, heads=5).tasks[0]
    rows = (evaluated.examples("test")["subtask"] == own.subtask).to_numpy()
    features = normalise(evaluated.features("test", task.heads)[:, rows])
    flat = features.transpose(1, 0, 2).reshape(rows.sum(), -1).astype(float)
    values = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False) ** 2
    assert own.explained == pytest.approx((values[:2] / values.sum()).tolist(), rel=1e-3)


def test_examples_of_the_gallery_are_always_on_the_map(vote, tmp_path, monkeypatch):
    monkeypatch.setattr(space, "MOST_POINTS", 20)
    content = report(vote, out=tmp_path / "p.html", examples=12, space=True)
    spots = [spot for own in content.space for spot in own.spots]
    assert sorted(spot.card for spot in spots) == list(range(12))
    assert {own.shown for own in content.space} == {20}
    page = Page(tmp_path / "p.html")
    cards = {a["id"] for a in page.all("li") if (a.get("id") or "").startswith("card-")}
    assert {a["href"] for a in page.all("a") if "data-card" in a} == {f"#{c}" for c in cards}


def test_frequent_classes_have_colours_and_the_others_share_one(vote, monkeypatch):
    monkeypatch.setattr(space, "COLOURS", 2)
    (own, *_) = space_part(*read_results([vote]), None)
    assert [layer.name for layer in own.layers][-1] == "other classes"
    assert len(own.layers) == 3
    assert sum(layer.examples for layer in own.layers) == own.examples
