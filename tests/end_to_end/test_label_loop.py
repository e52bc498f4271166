"""From a folder of photos to a classifier, and the loop of labels: train, suggest, label, train."""

import csv
import json
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import savs as package
from savs import open_store
from savs.datasets.benchmarks.shapes import write_shapes
from savs.pipeline.errors import SelectionError
from savs.stores.maintain.verify import verify

pytestmark = pytest.mark.thorough

ASK = ("--question", "Which animal is this?", "--model", "demo")
LABELLED = 6
"""Images of each class that have their label from the start."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """Return a folder of class folders and unlabelled images, and the classes of the latter."""
    root = tmp_path_factory.mktemp("drawn")
    files = write_shapes(
        root / "data", seed=3, tasks=("animal",), train_per_class=16, test_units=10
    )
    truth: dict[str, str] = {}
    seen: dict[str, int] = {}
    lines = [line for path in (files.train, files.test) for line in path.read_text().splitlines()]
    for number, row in enumerate(map(json.loads, lines)):
        kind = row["label"]
        seen[kind] = seen.get(kind, 0) + 1
        is_labelled = seen[kind] <= LABELLED
        name = f"{kind if is_labelled else 'unlabelled'}/{number:03}.png"
        (root / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(files.root / row["images"][0], root / "photos" / name)
        if not is_labelled:
            truth[name] = kind
    return root / "photos", truth


@pytest.fixture
def photos(drawn, tmp_path, savs) -> dict[str, str]:
    """Put the photos where commands run; return the classes of the unlabelled ones."""
    shutil.copytree(drawn[0], tmp_path / "photos")
    return drawn[1]


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> tuple[Path, list[Any]]:
    """Return where the first `pets` is kept, and what its command said, once it was run."""
    return tmp_path_factory.mktemp("kept") / "pets", []


@pytest.fixture
def trained(savs, photos, kept) -> Any:
    """Train on the photos as the first command of the loop does; return what it says."""
    store, said = kept
    if said:
        shutil.copytree(store, "pets")
    else:
        said.append(savs("train", "photos", *ASK, "--out", "pets"))
        assert said[0].returncode == 0, said[0].stderr
        shutil.copytree("pets", store)
    return said[0]


def fill(path: Path, truth: dict[str, str]) -> int:
    """Fill in a table of suggestions; return its number of rows."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows({**row, "label": truth[row["id"]]} for row in rows)
    return len(rows)


def downloaded(path: Path) -> str:
    """Return the text of a file that the browser saves, once it is whole."""
    for _ in range(600):
        if path.exists() and path.read_text().endswith("\n"):
            return path.read_text()
        time.sleep(0.1)
    raise AssertionError(f"{path} did not come")


def test_the_loop_from_photos_to_a_better_classifier_and_no_model_after_the_first(
    savs, photos, trained, monkeypatch
) -> None:
    assert "next: savs classify pets NEW" in trained.stderr
    assert f"savs suggest pets --out next.html  ({len(photos)} examples to label)" in trained.stderr
    assert "readout: " in trained.stderr
    assert trained.stdout.splitlines()[0].startswith("metric (%)")

    for module in ("torch", "transformers", "accelerate"):  # a laptop has none of them
        monkeypatch.setitem(sys.modules, module, None)
    for round_number in range(1, 3):
        Path("next.csv").unlink(missing_ok=True)
        asked = savs("suggest", "pets", "--n", 8, "--out", "next.csv")
        assert asked.returncode == 0, asked.stderr
        assert "next: label in the column `label`, then savs label pets next.csv" in asked.stderr
        assert fill(Path("next.csv"), photos) == 8
        told = savs("label", "pets", "next.csv", "--json")
        assert told.returncode == 0, told.stderr
        assert "next: savs train pets" in told.stderr
        stale = savs("evaluate", "pets", "--folds", 5)
        assert "make it again with `savs train` or `savs select`" in stale.stderr
        assert {c["old_split"] for c in json.loads(told.stdout)["changes"]} == {"unlabelled"}
        again = savs("train", "pets", "--json")
        assert again.returncode == 0, again.stderr
        done = json.loads(again.stdout)
        assert done["examples"] == {
            "train": 4 * LABELLED + 8 * round_number,
            "unlabelled": len(photos) - 8 * round_number,
        }
        assert done["expected"]["planned"] == done["examples"]["train"]
    assert not verify("pets").problems
    assert savs("select", "pets").returncode == 0
    shown = json.loads(savs("show", "pets", "--json").stdout)
    assert shown["late_labels"] == 16
    assert savs("label", "pets", "next.csv", "--take-back").returncode == 0
    assert len(open_store("pets").ids("unlabelled")) == len(photos) - 8


def test_each_command_says_the_next_one_and_they_run_as_they_are_said(
    savs, photos, trained
) -> None:
    """From the first command on, nothing is run but what the one before said."""
    (Path("new")).mkdir()
    shutil.copy(Path("photos", next(iter(photos))), "new/1.png")

    def follow(done, name):
        assert done.returncode == 0, done.stderr
        said = re.findall(r"savs (\S+)((?: \S+)*?)(?:  \(|$)", done.stderr, re.MULTILINE)
        words = next(rest.split() for command, rest in said if command == name)
        return savs(name, *("new" if word == "NEW" else word for word in words))

    assert follow(trained, "classify").returncode == 0
    suggested = savs("suggest", "pets", "--n", 6, "--out", "next.csv")
    fill(Path("next.csv"), photos)
    labelled = follow(suggested, "label")
    assert follow(follow(labelled, "train"), "suggest").returncode == 0
    assert Path("next.html").exists()
    measured = follow(savs("select", "pets"), "evaluate")
    assert measured.returncode == 0, measured.stderr
    assert "accuracy" in measured.stdout


@pytest.mark.usefixtures("trained")
def test_new_photos_and_labels_from_folders_join_the_store(savs, photos) -> None:
    before = open_store("pets")
    moved = [name for name, kind in photos.items() if kind == "cat"][:3]
    for name in moved:
        (Path("photos") / name).rename(Path("photos/cat") / Path(name).name)
    again = savs("train", "photos", *ASK, "--out", "pets")
    assert again.returncode == 0, again.stderr
    store = open_store("pets")
    assert len(store.ids("train")) == len(before.ids("train")) + 3
    # the model need not have run: the same bytes were stored as unlabelled images
    old = dict(zip(before.ids("unlabelled"), before.features("unlabelled")[0], strict=True))
    new = dict(zip(store.ids("train"), store.features("train")[0], strict=True))
    for name in moved:
        np.testing.assert_array_equal(new[f"cat/{Path(name).name}"], old[name])
    assert "the model is not loaded" in again.stderr
    assert len(store.ids("unlabelled")) == len(photos) - 3
    suggested = savs("suggest", "pets", "--n", 99)
    assert not any(name in suggested.stdout for name in moved)
    # an image that got its label by `savs label`, and was moved then, is there once
    labelled = next(name for name, kind in photos.items() if kind == "dog")
    package.label("pets", {labelled: "dog"})
    (Path("photos") / labelled).rename(Path("photos/dog") / Path(labelled).name)
    third = savs("train", "photos", *ASK, "--out", "pets")
    assert "photos: 1 moved" in third.stderr
    assert "correction" not in third.stderr
    assert len(open_store("pets").ids("train")) == len(before.ids("train")) + 4


@pytest.mark.costly
def test_shots_leave_test_images_that_measure(savs, photos) -> None:
    done = savs(
        "train", "photos", *ASK, "--out", "pets", "--shots", 3, "--readout", "lda", "--json"
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["readout"], made["readouts"]) == ("lda", {})
    assert made["examples"] == {"train": 12, "test": 12, "unlabelled": len(photos)}
    assert made["expected"]["planned"] == 12
    saved = json.loads(Path("pets/results/trained/metrics.json").read_text())
    accuracy = saved["metrics"][0]
    assert (accuracy["value"], accuracy["units"]) == (1, 12)
    # so few test images leave the accuracy to expect to the folds, whose interval is wider
    folds = json.loads(Path("pets/results/trained-cv/metrics.json").read_text())
    assert folds["metrics"] == made["expected"]["metrics"]
    assert folds["metrics"][0]["low"] < accuracy["low"]
    # the trained classifier is that of the store, whatever else was selected
    assert savs("select", "pets", "--heads", 2).returncode == 0
    predicted = savs("classify", "pets", "photos/unlabelled", "--json")
    by_name = savs("classify", "pets/results/trained", "photos/unlabelled", "--json")
    assert (
        json.loads(predicted.stdout)["predictions"] == (json.loads(by_name.stdout)["predictions"])
    )
    assert json.loads(savs("evaluate", "pets", "--json").stdout)["readout"] == "lda"
    next_step = savs("select", "pets").stderr
    assert "next: savs evaluate pets --readout vote" in next_step


def test_a_wrong_label_is_named_and_corrected(savs, photos) -> None:
    names = [name for name, kind in photos.items() if kind == "dog"]
    for name in names[:6]:
        (Path("photos") / name).rename(Path("photos/dog") / Path(name).name)
    Path("photos", names[6]).rename(Path("photos/cat/wrong.png"))
    done = savs("train", "photos", *ASK, "--out", "pets")
    assert done.returncode == 0, done.stderr
    suspects = pl.read_csv("pets/results/trained/suspects.csv")
    assert "cat/wrong.png" in suspects["id"].to_list()
    assert "cat/wrong.png" in done.stdout
    mended = suspects.filter(id="cat/wrong.png").with_columns(label=pl.lit("dog"))
    mended.write_csv("mended.csv")
    assert savs("label", "pets", "mended.csv").returncode == 0
    train = dict(open_store("pets").examples("train").select("id", "label").iter_rows())
    assert train["cat/wrong.png"] == "dog"


def test_a_table_and_a_frame_train_the_same(savs, photos, monkeypatch) -> None:
    rows = [
        {"image": str(path), "label": path.parent.name}
        for path in sorted(Path("photos").glob("*/*.png"))
        if path.parent.name != "unlabelled"
    ]
    pl.DataFrame(rows).write_csv("photos.csv")
    table = savs("train", "photos.csv", *ASK, "--out", "by-table", "--json")
    assert table.returncode == 0, table.stderr
    trained = package.train(
        pl.DataFrame(rows), question="Which animal is this?", model="demo", out="by-frame"
    )
    made = json.loads(table.stdout)
    assert trained.accuracies == made["readouts"]
    assert repr(trained).startswith(f"Trained({made['readout']}, FeatureStore('by-frame'")
    assert trained.expected is not None
    assert trained.expected.metrics[0].value == made["expected"]["metrics"][0]["value"]


def test_images_without_any_label_wait_for_them(savs, photos) -> None:
    done = savs("train", "photos/unlabelled", *ASK, "--out", "pets")
    assert done.returncode == 0
    assert f"{len(photos)} examples read and stored in pets; no example has a label" in done.stderr
    assert "error" not in done.stderr
    asked = savs("suggest", "pets", "--n", 12, "--out", "next.csv")
    assert "there is no classifier yet, so these are images that differ most" in asked.stderr
    assert fill(Path("next.csv"), {Path(n).name: kind for n, kind in photos.items()}) == 12
    assert savs("label", "pets", "next.csv").returncode == 0
    trained = savs("train", "pets")
    assert trained.returncode == 0, trained.stderr
    (Path("photos") / next(iter(photos))).rename("photos/unlabelled/new.png")
    again = savs("train", "photos/unlabelled", *ASK, "--out", "pets", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["examples"]["train"] == 12


@pytest.mark.costly
@pytest.mark.usefixtures("trained")
def test_results_of_examples_that_are_gone_are_gone(savs, photos) -> None:
    names = [name for name, kind in photos.items() if kind == "cat"][:3]
    labels = dict.fromkeys(names, "cat")
    package.label("pets", labels, split="test")
    assert savs("train", "pets").returncode == 0
    assert Path("pets/results/trained/metrics.json").exists()
    counted = savs("query", "pets", "SELECT count(*) FROM predictions", "--format", "csv")
    assert counted.stdout.split() == ["len", "3"]
    package.label("pets", labels, split="train")
    assert savs("train", "pets").returncode == 0
    assert not Path("pets/results/trained/metrics.json").exists()
    report = savs("report", "pets", "--out", "report.html")
    assert report.returncode == 0, report.stderr
    package.label("pets", {names[0]: "one alone"}, new_classes=True)
    assert savs("train", "pets").returncode == 0
    assert not Path("pets/results/trained-cv/metrics.json").exists()
    # without a test split, too
    exported = savs("export", "pets", "--to", "parquet", "--out", "pets.parquet")
    assert exported.returncode == 0, exported.stderr


@pytest.mark.usefixtures("trained")
def test_a_table_without_labels_says_so(savs, photos) -> None:
    assert savs("suggest", "pets", "--out", "next.csv").returncode == 0
    empty = savs("label", "pets", "next.csv")
    assert "0 examples changed; next.csv has no label: fill in its column `label`" in empty.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "nowhere", *ASK, "--out", "x"], "nowhere does not exist; check the path"),
        (["train", "nowhere"], "nowhere does not exist; check the path"),
        (["train", "hf://a/b/x.parquet", *ASK], "--out is missing: training on images needs"),
        (["train", "s3://b/pets"], "s3://b/pets is no folder, where the classifier is saved"),
        (["train", "photos", *ASK, "--out", "s3://b/x"], "savs select s3://b/x --out DIR"),
        (["train", "photos", "--out", "x"], "--model is missing: training on images needs"),
        (["label", "nowhere", "x.csv"], "nowhere is not a folder, so it is not a feature store"),
        (["fit", "photos"], "no command is called 'fit'; use `savs train IMAGES`"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(savs, photos, words, message) -> None:
    done = savs(*words)
    assert done.returncode in (1, 2, 3)
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not Path("x").exists()


@pytest.mark.costly
@pytest.mark.usefixtures("trained")
def test_few_test_images_leave_the_estimate_of_folds_and_folds_leave_it_too(savs, photos) -> None:
    name, kind = next(iter(photos.items()))
    trained = package.label("pets", {name: kind}, split="test").store
    made = json.loads(savs("train", "pets", "--json").stdout)
    assert made["expected"]["planned"] == len(trained.ids("train"))
    assert (Path("pets/results/trained") / "metrics.json").exists()  # that of the one
    nested = Path("pets/results/trained-cv/metrics.json").read_bytes()
    folds = savs("evaluate", "pets", "--folds", "5")
    assert folds.returncode == 0, folds.stderr
    assert "the readout that savs train chose on the same examples" in folds.stderr
    assert f"wrote pets/results/{made['readout']}-cv/metrics.json" in folds.stderr
    assert Path("pets/results/trained-cv/metrics.json").read_bytes() == nested


@pytest.mark.costly
@pytest.mark.usefixtures("trained")
def test_a_store_takes_no_options_of_images_and_another_question_is_another_store(
    savs, photos
) -> None:
    wrong = savs("train", "pets", "--shots", 3)
    assert "--shots is for images, and pets is a store of features" in wrong.stderr
    unasked = savs("train", "photos", "--model", "demo", "--out", "plain")
    assert "the question is 'What is in the image?'; pass --question to ask" in unasked.stderr
    other = savs("train", "photos", "--question", "What?", "--model", "demo", "--out", "pets")
    assert "pets asks 'Which animal is this?', and now it is 'What?'" in other.stderr
    assert "ask the same, or pass another --out" in other.stderr
    package.label("pets", dict.fromkeys(open_store("pets").ids("train"), "cat"))
    with pytest.raises(SelectionError, match="one class only"):
        package.train("pets")


@pytest.mark.browser
@pytest.mark.usefixtures("trained")
def test_the_page_of_suggestions_writes_the_table(savs, photos, chrome, tmp_path) -> None:
    assert savs("suggest", "pets", "--n", 5, "--out", "next.html").returncode == 0
    tab = chrome.tab()
    place = str(tmp_path / "got")
    chrome.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=place)
    tab.open(tmp_path / "next.html", width=390, height=800)
    assert tab.run("document.documentElement.scrollWidth") <= 390
    assert tab.run("document.querySelectorAll('.cards img').length") == 5
    ids = tab.run("[...document.querySelectorAll('.label-of')].map(input => input.dataset.id)")
    classes = tab.run("[...document.querySelectorAll('#classes option')].map(o => o.value)")
    number = classes.index(photos[ids[0]]) + 1
    tab.run(
        f"""(() => {{
        const [first, second] = document.querySelectorAll('.label-of');
        if (document.activeElement !== first) throw new Error('the first one has no focus');
        first.dispatchEvent(new KeyboardEvent('keydown', {{key: '{number}', bubbles: true}}));
        if (document.activeElement !== second) throw new Error('the next one has no focus');
        second.value = 'a, "new" one';
        second.dispatchEvent(new Event('input', {{bubbles: true}}));
        }})()"""
    )
    assert tab.run("document.getElementById('count').textContent") == "2 of 5 labelled"
    tab.run("document.getElementById('save').click()")
    text = downloaded(tmp_path / "got" / "labels.csv")
    Path("labels.csv").write_text(text)
    assert list(csv.reader(text.splitlines())) == [
        ["id", "label"],
        [ids[0], photos[ids[0]]],
        [ids[1], 'a, "new" one'],
    ]
    refused = savs("label", "pets", "labels.csv")
    assert "'a, \"new\" one' is no class" in refused.stderr
    assert savs("label", "pets", "labels.csv", "--new-classes").returncode == 0
    kept = "document.getElementById('count').textContent == '2 of 5 labelled'"
    tab.open_with(tmp_path / "next.html", kept)
    assert not tab.complaints
    outside = [url for url in tab.requests if not url.startswith(("data:", "blob:"))]
    assert {*outside} == {(tmp_path / "next.html").as_uri()}
