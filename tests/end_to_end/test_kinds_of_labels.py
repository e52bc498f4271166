"""Every command for every kind of labels, and the one room that asks which kind it is."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import savs
from savs.datasets.label_texts import text_of
from savs.pipeline.cli.app import app
from savs.pipeline.targets import TARGETS
from savs.pipeline.targets.catalogue import OWN_ANSWER
from savs.stores import LayerGrid
from stores import identity, write_store

pytestmark = pytest.mark.thorough
ROOT = Path(__file__).parents[2]
GRID = (LayerGrid(0, (0, 1, 2), 6), LayerGrid(3, (0, 2), 4))
FORMS = {"one": {}, "own-answer": {}, "many": {"form": "list"}} | {
    name: {"form": name} for name in ("ordinal", "regression")
}
TRAIN, TEST = 48, 24


def texts(kind: str, hidden: np.ndarray) -> list[str]:
    """Return labels of a kind that say something about two hidden numbers of each example."""
    if kind in ("one", "own-answer"):
        return [("left", "middle", "right")[int(x > -0.4) + int(x > 0.4)] for x, _ in hidden]
    if kind == "many":
        return [text_of({"warm": bool(x > 0), "big": bool(y > 0)}) for x, y in hidden]
    if kind == "ordinal":
        return [str(int(np.clip(np.rint(1.2 * x) + 3, 1, 5))) for x, _ in hidden]
    return [f"{20 + 5 * x:.6g}" for x, _ in hidden]


def answers(labels: list[str], hidden: np.ndarray) -> np.ndarray:
    """Return log-likelihoods of three labels; of half of the rows, the likeliest is right."""
    names = ["left", "middle", "right"]
    right = np.array([[name == label for name in names] for label in labels])
    likeliest = np.where((hidden[:, 1] > 0)[:, None], right, np.roll(right, 1, axis=1))
    return np.where(likeliest, -0.5, -3.0).astype(np.float32)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A trained store of each kind, whose heads know of the labels, with unlabelled rows."""
    root = tmp_path_factory.mktemp("kinds")
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(TRAIN + TEST, 2))
    features = {}
    for layer in GRID:
        values = rng.normal(size=(len(layer.heads), len(hidden), layer.head_dim))
        values[0] += hidden @ rng.normal(size=(2, layer.head_dim)) * 3
        features[layer.layer] = np.float32(values)
    made = {}
    for kind in TARGETS:
        labels = texts(kind, hidden)
        rows, options = [{"label": text} for text in labels], FORMS[kind]
        what, outputs = identity(grid=GRID, options={"labels": options} if options else {}), {}
        if kind == OWN_ANSWER:
            what = replace(what, outputs={"answers": {n: [1] for n in ("left", "middle", "right")}})
            found = answers(labels, hidden)
            outputs = {"train": {"answers": found[:TRAIN]}, "test": {"answers": found[TRAIN:]}}
        made[kind] = write_store(
            root / kind,
            what,
            {
                "train": {n: v[:, :TRAIN] for n, v in features.items()},
                "test": {n: v[:, TRAIN:] for n, v in features.items()},
            },
            {"train": rows[:TRAIN], "test": rows[TRAIN:]},
            outputs=outputs,
        )
        if kind == OWN_ANSWER:
            write_result(made[kind], "vote", target=kind)
        else:
            savs.train(made[kind])
    return made


def write_result(store, name: str, **how) -> None:
    selection = savs.calibrate(store, savs.select(store, **how)).selection
    folder = Path(store.path, "results", name)
    savs.save_selection(selection, folder)
    savs.save_evaluation(savs.evaluate(store, selection), folder)


COMMANDS = {
    "select": ["select", "STORE", "AIM", "--heads", "2", "--out", "OUT"],
    "select, as JSON": ["select", "STORE", "AIM", "--heads", "2", "--out", "OUT", "--json"],
    "evaluate": ["evaluate", "STORE", "--out", "OUT", "--per-class"],
    "evaluate on folds": ["evaluate", "STORE", "--out", "OUT", "--folds", "3"],
    "report": ["report", "STORE", "--out", "OUT.html"],
    "explain": ["explain", "STORE", "--errors", "--out", "OUT.html"],
    "sweep": ["sweep", "STORE", "--draws", "2", "--shots", "all", "--heads", "1,2"],
    "compare": ["compare", "STORE/results/CHOSEN", "STORE/results/other"],
    "suggest": ["suggest", "STORE", "--n", "3"],
    "head map": ["show", "STORE", "--head-map"],
    "show": ["show", "STORE"],
    "query": ["query", "STORE", "SELECT count(*) AS n FROM predictions"],
    "classifier to share": ["export", "STORE", "--to", "classifier", "--out", "OUT"],
    "suspects": ["select", "STORE", "AIM", "--suspects", "--out", "OUT"],
    "correct": ["label", "STORE", "LABELS"],
    "a risk": ["evaluate", "STORE", "--risk", "0.2", "--out", "OUT"],
}
REFUSED = {
    **{
        (kind, name): message
        for kind in ("ordinal", "regression")
        for name, message in {
            "a risk": "a risk does not work; omit `risk`: intervals hold 95 %",
        }.items()
    },
    (OWN_ANSWER, "a risk"): "a risk does not work; omit `risk`: the column `right` says",
    (OWN_ANSWER, "suggest"): "a suggestion does not work; suggest by a selection of the store's",
    (OWN_ANSWER, "suspects"): "a list of suspects does not work; select on the store's own labels",
    (OWN_ANSWER, "classifier to share"): "a bundle does not work; classify with its folder",
}


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_takes_each_kind_or_refuses_it_in_a_line(stores, tmp_path, kind, name):
    store = str(shutil.copytree(stores[kind].path, tmp_path / "store"))
    places = {"STORE": store, "OUT": str(tmp_path / "out")}
    aim = {"target": kind} if kind == OWN_ANSWER else {}
    places |= {"CHOSEN": "vote" if aim else "trained"}
    if name == "compare":
        other = savs.select(store, heads=3, **aim)
        savs.save_evaluation(savs.evaluate(store, other), Path(store, "results", "other"))
    label = stores[kind].examples("test")["label"][1]
    places["LABELS"] = str(tmp_path / "labels.csv")
    pl.DataFrame({"id": ["test:0"], "label": [label]}).write_csv(places["LABELS"])
    given = [word for word in COMMANDS[name] if word != "AIM"]
    words = [re.sub("STORE|OUT|LABELS|CHOSEN", lambda m: places[m[0]], word) for word in given]
    words += ["--target", kind] if aim and "AIM" in COMMANDS[name] else []
    done = CliRunner().invoke(app, words)
    message = REFUSED.get((kind, name))
    if message is None:
        assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    else:
        assert done.exit_code != 0
        assert message in re.sub(r"\s+", " ", f"{done.output} {done.exception}")


NAMES = (
    r"\b(ONE|MANY|ORDINAL|REGRESSION|NUMBERS|OneClass|ManyLabels|Regression|Ordinal|OWN_ANSWER"
    r"|AnswerIsRight|MANY_LABELS|ORDINALS|REGRESSIONS|LabelSets|OneOfClasses)\b"
)
"""Names of kinds in the code."""
REGISTRIES = {
    "datasets/rows/label_kinds.py": "how rows spell them",
    "datasets/benchmarks/audioset.py": "its rows have many labels",
    "pipeline/targets": "the room",
    "pipeline/running/option_texts.py": "how --task spells separators and columns",
    "pipeline/classifying/heads_classifier.py": "what scikit-learn calls labels",
    "pipeline/evaluation/results.py": "a result without a selection has one class",
    "pipeline/evaluation/assessment.py": "a result without a selection has one class",
    "pipeline/selection/selection_config.py": "the default of a stored name",
    "pipeline/classifying/bundle/files": "a program that is copied, and reads the stored name",
}


def test_nothing_outside_asks_which_kind_a_label_is() -> None:
    asking = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for room in ("pipeline", "datasets", "stores", "public", "foundation")
        for path in sorted((ROOT / room).rglob("*.py"))
        if not str(path.relative_to(ROOT)).startswith((*REGISTRIES, "datasets/benchmarks/shapes"))
        for line in path.read_text("utf-8").splitlines()
        if re.search(NAMES, line) and not re.match(r"\s*(ONE = 1|are_counts = total > ONE)", line)
    ]
    assert asking == []
