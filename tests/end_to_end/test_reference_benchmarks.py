"""Every benchmark of the reference through the commands, on drawn images: extract to evaluate."""

import json
from pathlib import Path

import pytest
from official_files import FILES, draw_files, in_folders, scored

from savs import open_store
from savs.datasets import find_benchmark

pytestmark = pytest.mark.thorough

METRICS = {
    "sugarcrepe": [
        "both right",
        "true caption higher (official)",
        "accuracy",
        "both right, add_obj",
        "both right, swap_obj",
        "true caption higher (official), add_obj",
        "true caption higher (official), swap_obj",
    ],
    "winoground": [
        "group score (official)",
        "text score (official)",
        "image score (official)",
        "accuracy",
        *(
            f"{side} score (official), {tag}"
            for tag in ("Object", "Both")
            for side in ("group", "text", "image")
        ),
    ],
    "mmvp": ["both right", "accuracy"],
    "vlguard": ["accuracy", "balanced accuracy", "attack success rate"],
    "camerabench": [
        f"{name}, {of}"
        for of in ("macro", "Is there a circle in the image?", "Is there a star in the image?")
        for name in (
            "average precision",
            "ROC-AUC",
            "FPR at 95 % TPR",
            "balanced accuracy",
            "accuracy",
        )
    ],
    "mrb": ["accuracy", "accuracy, safety: bias", "accuracy, safety: other"],
    "mrb_individual": ["accuracy", "preferred higher"],
}
PLAIN = ["accuracy", "balanced accuracy"]
ABOVE_CHANCE = {"sugarcrepe", "winoground", "mmvp", "camerabench", "eurosat", "pets"}
"""What the shipped model, whose prompts were worded otherwise, is bound to see."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawn")
    return {
        part: draw_files(root, part, groups, 8) for part, groups in (("train", 8), ("test", 12))
    }


def results(savs, *arguments):
    """Extract, select, evaluate; return the metrics by name, the predictions and the notes."""
    done = savs("extract", *arguments, "--model", "demo", "--batch-size", "32", "--out", "store")
    assert done.returncode == 0, done.stderr
    assert savs("select", "store").returncode == 0
    written, metrics, predictions = scored(savs, "store")
    return metrics, predictions, written["notes"]


@pytest.mark.costly
@pytest.mark.parametrize("name", FILES)
def test_a_benchmark_is_extracted_selected_and_evaluated(savs, scenes, tmp_path, name):
    files = []
    for part, found in scenes.items():
        files += [f"--{part}", tmp_path / f"{part}.json"]
        files[-1].write_text(json.dumps(FILES[name](found)))
    metrics, predictions, notes = results(savs, name, *files, "--media-root", scenes["test"].root)
    assert list(metrics) == METRICS.get(name, PLAIN)
    few = "positive examples: with fewer than 40"  # FPR at 95 % TPR, by question
    assert [note for note in notes if few not in note] == []
    assert open_store("store").manifest.identity.benchmark["name"] == find_benchmark(name).name
    for metric in metrics.values():
        assert metric["low"] <= metric["value"] <= metric["high"]
    right = (predictions["prediction"] == predictions["label"]).to_list()
    if "accuracy" in metrics:
        assert metrics["accuracy"]["value"] == pytest.approx(sum(right) / len(right))
    if name in ABOVE_CHANCE:
        headline = next(iter(metrics.values()))
        assert headline["value"] > headline["chance"] + 0.15


def test_images_in_folders(savs, scenes, tmp_path):
    train, test = (in_folders(found, tmp_path / part) for part, found in scenes.items())
    question = "What shape is this?"
    metrics, predictions, _ = results(
        savs, "image-folder", "--train", train, "--test", test, "--question", question
    )
    assert list(metrics) == PLAIN
    assert metrics["accuracy"]["value"] > metrics["accuracy"]["chance"] + 0.15
    names = sorted(path.relative_to(test).as_posix() for path in test.glob("*/*.png"))
    assert predictions["id"].to_list() == names
    assert predictions["label"].to_list() == [name.split("/")[0] for name in names]
    store = open_store("store")
    assert set(store.examples("test")["prompt"]) == {question}
    assert store.manifest.identity.benchmark == {
        "name": "image-folder",
        "options": {"question": question},
    }
    other = ("image-folder", "--train", train, "--test", test, "--question", "Another?")
    done = savs("extract", *other, "--model", "demo", "--out", "store")
    assert done.returncode == 1
    assert f"benchmark.options.question: {question!r} in the store, 'Another?' now" in done.stderr


def test_what_goes_wrong_is_told_in_one_line(savs):
    def refused(*arguments):
        done = savs("extract", *arguments, "--model", "demo", "--out", "store")
        assert "Traceback" not in done.stderr
        assert not Path("store").exists()
        return done.returncode, done.stderr

    code, told = refused("image-folder", "--test", "nowhere", "--shots", 2)
    assert (code, told) == (
        1, "error: nowhere does not exist; check the path\n"
    )  # fmt: skip
    code, told = refused("sugarcrepe", "--test", "nowhere.jsonl", "--shots", 2)
    assert code == 1
    assert "nowhere.jsonl" in told
    code, told = refused("vizwiz", "--test", "nowhere.jsonl", "--shots", 2, "--question", "Why?")
    assert code == 2
    assert "--question" in told
