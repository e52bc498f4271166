import json

import pytest

pytestmark = pytest.mark.thorough


def test_the_demo_tells_classes_apart_and_says_where_everything_is(savs, tmp_path):
    done = savs("demo", "--out", "here")
    assert done.returncode == 0, done.stderr
    for text in ("train-side score", "95 % interval", "here/data", "savs evaluate here/features"):
        assert text in done.stdout
    results = tmp_path / "here/features/results/vote"
    metrics = {m["name"]: m for m in json.loads((results / "metrics.json").read_text())["metrics"]}
    floors = {"exists": 0.95, "color": 0.95, "shape": 0.95, "position": 0.75, "animal": 0.95}
    for subtask, floor in floors.items():
        metric = metrics[f"accuracy, {subtask}"]
        assert metric["value"] >= floor
        assert metric["low"] > metric["chance"]
    assert (tmp_path / "here/data/images/test/animal-0000.png").exists()
    assert (results / "predictions.parquet").exists()
    assert savs("evaluate", "here/features", "--json").returncode == 0
