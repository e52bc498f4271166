import json

import polars as pl
import pytest

pytestmark = pytest.mark.thorough


def test_the_demo_tells_classes_apart_and_says_where_everything_is(savs, tmp_path):
    done = savs("demo", "--out", "here")
    assert done.returncode == 0, done.stderr
    for text in ("the darker the more tasks", "zero-shot", "here/data", "savs show here/features"):
        assert text in done.stdout
    found = {}
    for name in ("vote", "zero-shot"):
        folder = tmp_path / "here/features/results" / name
        metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
        found[name] = {metric["name"]: metric for metric in metrics}
        assert pl.read_parquet(folder / "predictions.parquet").height > 1000
    heads, own = found["vote"], found["zero-shot"]
    for task in ("color", "shape", "position", "exists", "animal", "fruit", "which-image"):
        metric = heads[f"accuracy, {task}"]
        assert metric["value"] >= 0.75
        assert metric["low"] > metric["chance"]
    for task in ("animal", "fruit"):  # labels that the model never met
        assert heads[f"accuracy, {task}"]["value"] > own[f"accuracy, {task}"]["value"] + 0.2
    assert heads["G-Acc, group-exists"]["value"] > 0.5
    assert (tmp_path / "here/data/images/test/animal-0000-0.png").exists() or (
        tmp_path / "here/data/images/test/animal-0000-0.jpg"
    ).exists()
    assert savs("evaluate", "here/features", "--json").returncode == 0
