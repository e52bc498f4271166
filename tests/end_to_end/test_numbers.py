"""Numbers from the images on: how many things a drawn scene has."""

import json
import random
import re

import polars as pl
import pytest
from standalone import ask_space, run_here, running_space

import savs
from savs.datasets.benchmarks.shapes.scenes import draw, random_scene
from savs.pipeline.demo import DEMO_MODEL
from savs.pipeline.errors import SelectionError

QUESTION = "How many things are there?"


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
        question=QUESTION,
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
    assert isinstance(savs.load(trained.folder), savs.SavsRegressor)


@pytest.mark.thorough
@pytest.mark.parametrize("task", ["regression", pytest.param("ordinal", marks=pytest.mark.costly)])
def test_predict_py_says_what_classify_says(counted, tmp_path, task):
    folder, trained = counted
    if task == "ordinal":
        out = tmp_path / "store"
        trained = savs.train(
            folder / "train.jsonl", task=task, question=QUESTION, model="demo", out=out
        )
    images = [folder / f"{number}.png" for number in range(6)]
    bundle = savs.write_bundle(trained.store, trained.folder, tmp_path / "bundle").path
    answers = run_here(bundle / "predict.py", images, DEMO_MODEL)
    expected = savs.classify(trained.folder, images).predictions
    column = "value" if task == "regression" else "prediction"
    numbers = expected[column].cast(pl.Float64).to_list()
    assert [one["prediction"] for one in answers] == pytest.approx(numbers, abs=1e-4)
    ends = expected.select("low", "high").rows()
    for one, interval in zip(answers, ends, strict=True):
        assert one["interval"] == pytest.approx(list(interval), abs=1e-4)
    card = (bundle / "README.md").read_text()
    assert "Each image gets a number" in card
    assert "class" not in card.partition("## Numbers")[2].partition("## Metrics")[0]


@pytest.mark.costly
def test_a_space_answers_with_the_number_and_its_interval(counted, tmp_path):
    folder, trained = counted
    space = savs.write_space(trained.store, trained.folder, tmp_path / "space").path
    row = savs.classify(trained.folder, folder / "0.png").predictions.row(0, named=True)
    with running_space(space) as address:
        label, text = ask_space(address, folder / "0.png")
    assert float(label["label"]) == pytest.approx(row["value"], abs=1e-3)
    low, high = (float(part) for part in re.findall(r"from (\S+) to (\S+) in 95 %", text)[0])
    assert (low, high) == pytest.approx((row["low"], row["high"]), abs=1e-3)


@pytest.mark.thorough
def test_a_page_of_new_images_has_the_widest_intervals_first(counted, tmp_path):
    folder, trained = counted
    images = [folder / f"{number}.png" for number in range(6)]
    done = savs.classify(trained.folder, images, out=tmp_path / "new.html")
    text = (tmp_path / "new.html").read_text()
    assert "95 % interval" in text
    assert "probability (%)" not in text
    numbers = [float(number) for number in re.findall(r'<th scope="row"><b>([^<]+)</b>', text)]
    assert sorted(numbers) == pytest.approx(sorted(done.predictions["value"]), abs=1e-5)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "odd.png").write_bytes(b"no image")
    odd = tmp_path / "odd.html"
    savs.classify(trained.folder, tmp_path / "odd", out=odd)
    assert "0 predictions" in odd.read_text()
    least, most = (f(done.predictions["prediction"], key=float) for f in (min, max))
    assert f"6 predictions: {least} to {most}" in text
