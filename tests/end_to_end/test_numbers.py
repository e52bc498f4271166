"""Numbers from the images on: how many things a drawn scene has."""

import json
import random

import pytest

import savs
from savs.datasets.benchmarks.shapes.scenes import draw, random_scene
from savs.pipeline.errors import SelectionError


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    folder, rng, rows = tmp_path_factory.mktemp("things"), random.Random(0), []
    for number in range(40):
        scene = random_scene(rng, part="train")
        draw(scene).save(folder / f"{number}.png")
        rows.append({"image": f"{number}.png", "label": len(scene.kinds)})
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    trained = savs.train(
        folder / "train.jsonl",
        task="regression",
        question="How many things are there?",
        model="demo",
        out=folder / "store",
    )
    return folder, trained


@pytest.mark.thorough
def test_images_get_numbers_with_intervals(counted, tmp_path):
    folder, trained = counted
    assert trained.selection.labels == "regression"
    assert trained.left_out is not None
    mae = trained.left_out.metrics[0]
    assert mae.value < mae.chance  # the shipped model sees how many there are
    assert "MAE" in repr(trained)
    done = savs.classify(trained.folder, folder / "0.png")
    row = done.predictions.row(0, named=True)
    assert row["low"] < row["value"] < row["high"]
    assert float(row["prediction"]) == pytest.approx(row["value"], abs=1e-5)
    out = tmp_path / "new.csv"
    savs.classify(trained.folder, [folder / "0.png", folder / "1.png"], out=out)
    assert out.read_text().startswith("id,media,prompt,prediction,value,low,high,reason\n")
    with pytest.raises(SelectionError, match="has a number, for which a risk does not work"):
        savs.classify(trained.folder, folder / "0.png", risk=0.1)
    with pytest.raises(SelectionError, match="an estimator does not work; use savs classify"):
        savs.SavsClassifier.load(trained.folder)
