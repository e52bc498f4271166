"""One result is meant where none is named: what `train` chose, else `vote`, else the only one."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from savs import SavsError, save_selection, select
from savs.pipeline.app.server import find_folders
from savs.pipeline.classifying.bundle.hub import find_classifier
from savs.stores import FeatureStore, open_store
from stores import make_store

pytestmark = pytest.mark.thorough

NONE = "is a store without a selection; run `savs train"
SEVERAL = "is a store with 2 selections: knn, lda; name one, such as"
MADE: dict[str, list[tuple[str, ...]]] = {
    "trained": [("train", "STORE"), ("select", "STORE", "--readout", "knn")],
    "vote": [("select", "STORE"), ("select", "STORE", "--readout", "lda")],
    "only lda": [("select", "STORE", "--readout", "lda")],
    "several": [("select", "STORE", "--readout", name) for name in ("lda", "knn")],
    "none": [],
}
"""What a store holds -> the commands that make it."""
MEANT = {"trained": "trained", "vote": "vote", "only lda": "lda", "several": None, "none": None}
"""What a store holds -> the name of the result that is meant."""


def _store(folder: Path, test: int) -> FeatureStore:
    """Return a store of two classes, of which one example looks like the other one."""
    rng = np.random.default_rng(3)
    rows = 12 + test
    pull = rng.normal(size=(8, 2, 5)) * 2
    values = (pull[:, [0, 1] * (rows // 2)] + rng.normal(size=(8, rows, 5))).astype(np.float32)
    values[:, 3] = values[:, 2]
    labels = list("ab" * (rows // 2))
    return make_store(folder, values[:, :12], labels[:12], values[:, 12:], labels[12:])


@pytest.mark.parametrize("test", [0, 4], ids=["no test examples", "test examples"])
@pytest.mark.parametrize("holds", MADE)
def test_every_command_takes_the_same_result(savs, tmp_path, holds, test) -> None:
    path = _store(tmp_path / "pets", test).path
    for made in MADE[holds]:
        done = savs(*(path if word == "STORE" else word for word in made))
        assert done.returncode == 0, done.stderr
    meant = MEANT[holds]
    measured = f"{meant}-cv" if meant and not test else meant
    problem = SEVERAL if holds == "several" else NONE

    def run(*words: str | Path, code: int = 0) -> str:
        done = savs(*words)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    for find in (lambda: open_store(path).results.find(), lambda: find_classifier(path)):
        _same(lambda find=find: find().name, meant, problem)
    heads = ("show", path, "--head-map")
    assert meant or problem in run(*heads, code=1)
    if meant:
        run(*heads)
        assert find_folders(path, print)[0].name == meant
    elif holds == "none":  # a new store is labelled in the app
        assert find_folders(path, print)[0].name == "vote"
    export = ("export", path, "--to", "classifier", "--out", tmp_path / "bundle")
    assert (meant and run(*export)) or problem in run(*export, code=1)

    printed = run("evaluate", path)  # `savs train` measured `trained`, by its readout alone now
    name = measured or ("vote" if test else "vote-cv")  # a new selection
    if holds == "trained" and not test:
        name = json.loads((path / "results/trained/config.json").read_text())["readout"] + "-cv"
    assert f"wrote {path}/results/{name}/metrics.json" in printed
    assert ("each training example was left out in turn" in printed) == (not test)

    explained = savs("explain", path, "--json")
    report = savs("report", path, "--out", tmp_path / "page.html", "--json")
    assert report.returncode == 0, report.stderr
    if meant is None and not test:  # only folds of a new selection were measured
        assert problem in explained.stderr
        return
    first = "vote" if meant is None else measured  # of a new selection in a store with test rows
    assert json.loads(report.stdout)["results"][0] == str(path / "results" / first)
    found = json.loads(explained.stdout)
    assert len(found["examples"]) > 1
    assert any("chosen, and" in note for note in found["notes"]) == (not test)
    assert savs("query", path, "SELECT count(*) FROM predictions").returncode == 0


@pytest.mark.parametrize("end", ["-cv", "-partial"])
def test_what_is_measured_of_folds_or_of_a_part_is_not_meant(tmp_path, end) -> None:
    store = _store(tmp_path / "pets", 4)
    selection = select(store, heads=1, readout="lda")
    for name in ("lda", f"lda{end}"):
        save_selection(selection, store.path / "results" / name)
    assert store.results.find().name == "lda"


def _same(find: Callable[[], str], meant: str | None, problem: str) -> None:
    if meant is None:
        with pytest.raises(SavsError, match=re.escape(problem)):
            find()
    else:
        assert find() == meant
