"""docs/guide/many-labels.md as it is written: drawn scenes, trained on, measured and classified."""

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from doc_pages import ROOT, blocks, commands
from PIL import Image
from sklearn.preprocessing import MultiLabelBinarizer
from standalone import ask_space, run_standalone, running_space

import savs as package
from savs.foundation.errors import ParameterError
from savs.pipeline.app.answers import answer, answers_page
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.demo import DEMO_MODEL
from savs.pipeline.errors import SelectionError

PAGE = ROOT / "docs" / "guide" / "many-labels.md"
QUESTION = "Which shapes and colours are there?"

pytestmark = pytest.mark.thorough


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """Draw the scenes as the page does, but fewer."""
    monkeypatch.chdir(tmp_path)
    file = ROOT / "docs" / "examples" / "draw_scenes.py"
    exec(compile(file.read_text().replace("200", "50"), str(file), "exec"), {})
    return tmp_path / "scenes"


def test_the_page_runs_and_finds_what_is_there(savs, scenes):
    calls = [words for code in blocks(PAGE, "bash") for words in commands(code)]
    train, *others = [words for words in calls if words[0] != "import"]
    done = savs(*train)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith("mAP ")
    metrics = json.loads(savs("evaluate", "drawn", "--json").stdout)
    found = {metric["name"]: metric for metric in metrics["metrics"]}
    assert found["mAP"]["value"] > 0.9 > 0.5 > found["mAP"]["chance"]
    assert {row["label"] for row in metrics["per_label"]} == {
        *("red", "green", "blue", "yellow", "purple", "cyan"),
        *("circle", "square", "triangle", "star"),
    }
    for words in others:
        done = savs(*words)
        assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split() == ["id", "labels", "probabilities", "(%)"]


def extract(scenes):
    return package.extract(
        "general", model="demo", out="drawn", train=scenes / "train.jsonl",
        test=scenes / "test.jsonl", task="many-labels", question=QUESTION,
    ).store  # fmt: skip


@pytest.mark.costly
def test_new_images_get_the_labels_that_evaluate_gives_them(savs, scenes):
    store = extract(scenes)
    selection = package.calibrate(store, package.select(store)).selection
    folder = package.save_selection(selection, "classifier")
    expected = package.evaluate(store, selection).predictions
    images = [str(scenes / f"test{number}.png") for number in range(50)]
    found = package.classify(folder, images).predictions
    assert [sorted(one) for one in found["labels"].to_list()] == [
        sorted(one) for one in expected["predicted"].to_list()
    ]
    shares = np.array([[p["probability"] for p in row] for row in found["probabilities"].to_list()])
    assert shares == pytest.approx(np.array(expected["probabilities"].to_list()), abs=1e-3)

    loading = {"model": None, "revision": None, "dtype": None, "placing": {"device": "cpu"}}
    answers = answer(Workspace(folder, None, loading=loading), images[:20], None)
    page = answers_page(answers, 0.1)
    sections = page.split("<li><article ")[1:]
    rows = found.head(20).iter_rows(named=True)
    for one, row, section in zip(answers.answers, rows, sections, strict=True):
        assert sorted(one.said.labels) == sorted(row["labels"])
        likeliest = sorted(row["probabilities"], key=lambda pair: -pair["probability"])
        pattern = r'<li( class="of-label")?><span>(.*?)</span>.*?>([\d.]+) %<'
        shown = re.findall(pattern, section)
        assert [name for said, name, _ in shown if said] == [*one.said.labels]
        assert {(name, share) for _, name, share in shown} == {
            (pair["label"], f"{100 * pair['probability']:.1f}") for pair in likeliest
        }
        assert (
            tuple(p["label"] for p in likeliest if p["label"] in one.said.labels) == one.said.labels
        )
    assert "Head by head" not in page  # votes are for one class a file

    done = savs("classify", "classifier", *images[:3], "--out", "new.csv")
    assert done.returncode == 0, done.stderr
    table = pl.read_csv("new.csv")
    assert json.loads(table["labels"][0]) == found["labels"][0].to_list()
    assert set(json.loads(table["probabilities"][0])) == {t.subtask for t in selection.tasks}
    again = savs("classify", "classifier", *images[:4], "--out", "new.csv")
    assert "wrote new.csv (4 rows)\nthe model ran for 1 example\n" in again.stderr
    at_risk = package.classify("classifier", images[:20], risk=0.1).predictions
    for one, names in zip(answers.answers, at_risk["prediction_set"], strict=True):
        assert set(one.said.inside(0.1)) == {*names}
    sets = savs("classify", "classifier", images[0], "--risk", "0.1")
    assert sets.returncode == 0, sets.stderr
    assert "set" in sets.stdout.split("\n")[0]
    for given in (["--sort-into", "sorted"], ["--out", "page.html"]):
        refused = savs("classify", "classifier", images[0], *given)
        assert refused.returncode == 1
        assert "the classifier has many labels, for which" in refused.stderr
    savs("evaluate", "drawn", "--no-progress")
    explained = savs("explain", "drawn/results/vote", "--out", "x.html")
    assert explained.returncode == 0, explained.stderr
    assert "<dt>label</dt>" in Path("x.html").read_text()
    with pytest.raises(SelectionError, match="many labels"):
        package.write_bundle(store, folder, "bundle", subtask="red")
    with pytest.raises(ParameterError, match="compares an image with classes"):
        package.extract(
            "general", model="demo", out="other", train=scenes / "train.jsonl", task="many-labels",
            question=QUESTION, answers="labels",
        )  # fmt: skip

    # the estimator: the same heads from images and a matrix of 0 and 1
    rows = [json.loads(line) for line in (scenes / "train.jsonl").read_text().splitlines()]
    binarizer = MultiLabelBinarizer()
    there = binarizer.fit_transform([row["label"] for row in rows])
    files = [scenes / row["image"] for row in rows]
    model = package.SavsClassifier("demo", question=QUESTION, cache=False).fit(files, there)
    assert {*model.selection_.heads} == {*selection.heads}
    assert model.predict(files[:5]).shape == model.predict_proba(files[:5]).shape == (5, 10)
    loaded = package.load(folder)
    pictures = [Image.open(path) for path in images[:5]]
    places = [loaded.classes_.tolist().index(name) for name in binarizer.classes_]
    said = binarizer.inverse_transform(loaded.predict(pictures)[:, places])
    assert [list(one) for one in said] == [sorted(one) for one in found["labels"][:5].to_list()]
    assert loaded.predict_proba(pictures) == pytest.approx(shares[:5], abs=1e-3)


@pytest.mark.slow
def test_programs_of_bundles_say_what_evaluate_says(scenes):
    store = extract(scenes)
    images = [str(scenes / f"test{number}.png") for number in range(6)]
    expected, bundles = [], []
    for readout in ("vote", "posterior", "calm", "lda", "logistic"):
        chosen = package.calibrate(store, package.select(store, heads=6, readout=readout)).selection
        expected.append(package.evaluate(store, chosen))
        saved = package.save_selection(chosen, f"selected-{readout}")
        bundle = package.write_bundle(store, saved, f"bundle-{readout}")
        assert bundle.note is None
        assert "| `red` |" in (bundle.path / "README.md").read_text()
        bundles.append(bundle.path.absolute())
    found = run_standalone(dict.fromkeys(bundles, images), DEMO_MODEL)
    for result, rows in zip(expected, found, strict=True):
        per_label = result.tables["per_label"]
        names, thresholds = per_label["label"], per_label["threshold"].to_numpy()
        assert len(rows) == len(images)
        for row, known in zip(rows, result.predictions.iter_rows(named=True), strict=False):
            shares = np.array(known["probabilities"])
            assert list(row["probabilities"]) == names.to_list()
            assert list(row["probabilities"].values()) == pytest.approx(shares, abs=1e-3)
            unclear = {*names.filter(np.abs(shares - thresholds) < 2e-3)}
            assert {*row["labels"]} - unclear == {*known["predicted"]} - unclear
    assert_space_agrees(store, saved, images[0], found[-1][0])


def assert_space_agrees(store, saved, image, expected):
    """Check that the page of a Space says what predict.py says."""
    space = package.write_space(store, saved, "space").path.absolute()
    with running_space(space) as address:
        answer, text = ask_space(address, Path(image))
    assert answer["label"] == ", ".join(expected["labels"])
    shown = {one["label"]: one["confidence"] for one in answer["confidences"]}
    assert shown == pytest.approx(expected["probabilities"], abs=1e-6)
    assert list(shown.values()) == sorted(shown.values(), reverse=True)
    assert "each label" in text
