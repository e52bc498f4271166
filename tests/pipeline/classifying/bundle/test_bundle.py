"""A bundle: what it holds, and what its program says of an image."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from PIL import Image
from saved_selections import assert_same, two_task_store
from standalone import odd_images, run_standalone

from savs import (
    calibrate,
    classify,
    evaluate,
    load_selection,
    open_store,
    save_evaluation,
    save_selection,
    select,
    write_bundle,
)
from savs.pipeline.classifying.bundle.bundle import STANDALONE, why_not_standalone
from savs.pipeline.classifying.bundle.card import Shared, model_card
from savs.pipeline.demo import DEMO_MODEL
from savs.pipeline.errors import ExportError
from savs.pipeline.readouts import find_readout
from savs.pipeline.targets.one import OneClass
from savs.stores import ResultError

pytestmark = pytest.mark.thorough


def test_predict_py_says_what_classify_says_where_savs_cannot_be_imported(
    animals, made, tmp_path
) -> None:
    store = open_store(animals.parent / "s")
    bundles = {}
    for readout in (name for name in STANDALONE if not find_readout(name).answers):
        selection = calibrate(store, select(store, heads=8, readout=readout)).selection
        saved = save_selection(selection, tmp_path / "selected" / readout)
        done = write_bundle(store, saved, tmp_path / readout)
        assert done.files == ("classifier.safetensors", "config.json", "README.md", "predict.py")
        assert done.note is None
        bundles[done.path] = made.images[:3]
    together = classify({path.name: path for path in bundles}, made.images[:3]).predictions
    says = {path: together.filter(subtask=path.name) for path in bundles}
    plain = write_bundle(store, animals, tmp_path / "plain").path  # without calibration
    bundles[plain] = [made.images[0], *odd_images(tmp_path, made.images[0])]
    says[plain] = classify(plain, bundles[plain]).predictions
    found = run_standalone(bundles, DEMO_MODEL)
    for (bundle, images), rows in zip(bundles.items(), found, strict=True):
        expected = says[bundle]
        assert [row["id"] for row in rows] == [str(image) for image in images]
        assert [row["prediction"] for row in rows] == expected["prediction"].to_list()
        sure = [row["probability"] for row in rows]
        assert sure == pytest.approx(expected["probability"].to_list(), abs=1e-3)
        for row, votes in zip(rows, expected["votes"], strict=True):
            scores = {vote["class"]: vote["score"] for vote in votes}
            assert row["votes"] == pytest.approx(scores, abs=1e-4)


UNTIL_THE_END = """
import json, runpy, sys
for sys.argv in json.loads(sys.argv[1]):
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        print(end.code, flush=True)
"""
"""Runs programs in one process: torch takes seconds to import."""


@pytest.mark.costly
def test_predict_py_passes_over_what_is_no_image_and_reads_folders(animals, made, tmp_path) -> None:
    store = open_store(animals.parent / "s")
    alone, whole = (write_bundle(store, animals, tmp_path / name).path for name in ("a", "whole"))
    (whole / "model").symlink_to(DEMO_MODEL)
    folder = tmp_path / "schöne Bilder"
    folder.mkdir()
    Image.open(made.images[0]).save(folder / "b.png")
    (folder / "a.png").touch()
    (folder / "c.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    (folder / "notes.txt").touch()

    programs = [str(bundle / "predict.py") for bundle in (alone, whole)]
    cases = [
        [programs[0], str(folder), "--model", str(DEMO_MODEL)],
        [programs[1], str(folder)],
        *([program, str(folder), "--model", "demo"] for program in programs),
        [programs[0], str(folder)],
    ]
    done = subprocess.run(
        [sys.executable, "-c", UNTIL_THE_END, json.dumps(cases)],
        env=os.environ | {"PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    row, code, again, *codes = done.stdout.splitlines()
    assert again == row
    assert [code, *codes] == ["1", "1", "2", "2", "2"]
    assert json.loads(row)["id"] == str(folder / "b.png")
    assert "schöne" in row  # and no escapes
    failed = [line for line in done.stderr.splitlines() if "cannot be read" in line]
    assert [line.split(" cannot")[0] for line in failed] == [
        str(folder / name) for name in ("a.png", "c.png")
    ] * 2
    assert "Traceback" not in done.stderr
    for name, times in (("demo", 2), (alone / "model", 1)):
        absent = f"--model {name} is no folder; pass the folder of the model's files"
        assert done.stderr.count(absent) == times
    assert "pip install torch" in (alone / "README.md").read_text()


def test_predict_py_is_short_and_the_folder_loads(animals, tmp_path) -> None:
    store = open_store(animals.parent / "s")
    done = write_bundle(store, animals, tmp_path / "bundle")
    assert len((done.path / "predict.py").read_text().splitlines()) <= 200
    assert_same(load_selection(done.path), load_selection(animals))
    with pytest.raises(ExportError, match="bundle has files"):
        write_bundle(store, animals, done.path)


CHANGES = {
    "readout": (
        lambda one: replace(one, readout="knn"),
        "mahalanobis, logistic, ridge, answers, answers-fitted, answers-lda, not knn",
    ),
    "questions": (lambda one: task(one, question=None), "the training examples had several"),
    "images": (lambda one: task(one, media=2), "reads one image for each prompt"),
    "place": (lambda one: task(one, question="Is <image> red?"), "the prompt has it elsewhere"),
    "subtasks": (
        lambda one: replace(one, tasks=(*one.tasks, replace(one.tasks[0], subtask="b"))),
        "2 subtasks",
    ),
    "adapter": (lambda one: model(one, adapter="tuned"), "was loaded with: adapter"),
    "own code": (lambda one: model(one, checkpoint_code="ab"), "was loaded with: checkpoint_code"),
    "keep": (lambda one: model(one, placeholders="keep"), "the prompt has it elsewhere"),
    "draft": (
        lambda one: replace(one, source=replace(one.source, processor={"jpeg_draft": 9})),
        "`jpeg_draft`",
    ),
}


def task(selection, **changes):
    return replace(selection, tasks=(replace(selection.tasks[0], **changes),))


def model(selection, **facts):
    source = replace(selection.source, model={**selection.source.model, **facts})
    return replace(selection, source=source)


@pytest.mark.parametrize(("change", "reason"), CHANGES.values(), ids=CHANGES)
def test_predict_py_is_left_out_where_it_would_say_something_else(animals, change, reason):
    selection = load_selection(animals)
    assert why_not_standalone(selection) is None
    assert reason in (why_not_standalone(change(selection)) or "")


def test_a_new_kind_of_labels_has_no_predict_py_unless_it_says_so(animals, monkeypatch):
    monkeypatch.delattr(OneClass, "is_standalone")
    reason = why_not_standalone(load_selection(animals))
    assert reason == "it does not predict one label"


def test_the_card_has_classes_counts_and_the_evaluation(tmp_path) -> None:
    store = two_task_store(tmp_path / "store")
    selection = select(store, heads=2)
    save_evaluation(evaluate(store, selection), tmp_path / "vote")
    done = write_bundle(store, tmp_path / "vote", tmp_path / "bundle")
    assert done.files == ("classifier.safetensors", "config.json", "README.md")
    assert done.note is not None
    card = (done.path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: savs\n")
    for line in ("## Classes: `one`", "| `a` | 3 |", "| `z` | 2 |", "There is no `predict.py`"):
        assert line in card
    metrics = json.loads((tmp_path / "vote" / "metrics.json").read_text())["metrics"]
    for metric in metrics:
        shown = f"| `{metric['name']}` | {100 * metric['value']:.1f} | {100 * metric['low']:.1f} .."
        assert shown in card
    assert "Measured on 3 test examples" in card


def test_the_card_says_how_far_probabilities_can_be_trusted(animals, tmp_path) -> None:
    store = open_store(animals.parent / "s")
    plain = write_bundle(store, animals, tmp_path / "plain").path / "README.md"
    assert "They are not calibrated." in plain.read_text()
    selection = calibrate(store, select(store, heads=8, readout="lda", max_layer=3)).selection
    save_evaluation(evaluate(store, selection), tmp_path / "lda")
    done = write_bundle(store, tmp_path / "lda", tmp_path / "bundle")
    assert_same(load_selection(done.path), selection)
    card = (done.path / "README.md").read_text()
    known = selection.tasks[0].decision
    right = f"{100 * (1 - known.nonconformity.mean()):.1f} % on average"
    assert f"examples (temperature {known.temperature:.3g})." in card
    assert f"by {len(known.nonconformity)} left-out training" in card
    assert right in card
    found = json.loads((tmp_path / "lda" / "metrics.json").read_text())["confidence"][0]
    error = f"{100 * found['calibration_error']:.1f} %"
    assert f"error on {found['examples']} test examples is {error}." in card
    assert "not calibrated" not in card
    deepest = max(layer for layer, _ in selection.heads)
    assert f"| decoder layers needed | {deepest + 1} |" in card


@pytest.mark.parametrize(
    ("facts", "model", "use", "is_based"),
    [
        ({"revision": "c0ffee"}, "`m` (`T`) at commit `c0ffee`", "--out predictions.csv\n", True),
        ({}, "`m` (`T`)", "--out predictions.csv --model FOLDER\n", False),
        ({"class": "imported"}, "`m` (`imported`)", "savs evaluate NEW --selection .\n", False),
    ],
    ids=["of the hub", "of a folder", "imported"],
)
def test_the_card_names_the_model_at_its_commit_and_how_it_is_used(
    tmp_path, facts, model, use, is_based
) -> None:
    store = two_task_store(tmp_path / "store")
    selection = select(store, heads=2)
    source = replace(selection.source, model={"name": "m", "class": "T", **facts})
    selection = replace(selection, source=source)
    card = model_card(Shared(store, tmp_path, selection, selection), "why")
    assert f"| model | {model} |" in card
    assert use in card
    assert ("base_model: " in card) == is_based


def test_text_of_the_data_cannot_leave_its_place_in_the_card(tmp_path) -> None:
    store = two_task_store(tmp_path / "store")
    selection = select(store, heads=2)
    evil = ("`<script>` |\n# no heading", "b")
    first = replace(selection.tasks[0], classes=evil)
    saved = save_selection(replace(selection, train="other", tasks=(first,)), tmp_path / "saved")
    card = (write_bundle(store, saved, tmp_path / "bundle").path / "README.md").read_text()
    assert "| `'<script>' \\|\\n# no heading` | - |" in card


def test_a_changed_evaluation_or_classifier_is_refused(tmp_path) -> None:
    store = two_task_store(tmp_path / "store")
    save_evaluation(evaluate(store, select(store, heads=2)), tmp_path / "vote")
    save_selection(select(store, heads=1), tmp_path / "vote")
    with pytest.raises(ResultError, match="savs evaluate"):
        write_bundle(store, tmp_path / "vote", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    (tmp_path / "vote" / "classifier.safetensors").write_bytes(b"")
    with pytest.raises(ResultError, match="savs select"):
        write_bundle(store, tmp_path / "vote", tmp_path / "bundle")


def test_a_users_readout_is_named_and_must_be_given(tmp_path) -> None:
    store = two_task_store(tmp_path / "store")
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import replace\n"
        "from savs.pipeline.readouts import READOUTS\n"
        "READOUT = replace(READOUTS['vote'], name='mine')\n"
    )
    saved = save_selection(select(store, heads=2, readout=file), tmp_path / "saved")
    with pytest.raises(ResultError, match="pass the file of the readout"):
        write_bundle(store, saved, tmp_path / "bundle")
    done = write_bundle(store, saved / "config.json", tmp_path / "bundle", readout=file)
    card = (done.path / "README.md").read_text()
    assert "--readout FILE.py" in card
    assert "The file of the readout is `mine.py (SHA-256 " in card
    with pytest.raises(ResultError, match=r"results/lda does not exist; pass a store"):
        write_bundle(store, tmp_path / "results" / "lda", tmp_path / "other")
