"""A selection of other features of the same grid is refused by each command that would use it.

Two stores of the same examples have the features of two sites, or of two models; or their labels
are of two kinds. The result of the one lies in the other: each head would speak of another thing.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import savs as api
from savs.stores import FeatureStore, LayerGrid
from stores import identity, write_store

GRID = (LayerGrid(0, (0, 1, 2), 4),)
USES = {
    "evaluate": ("evaluate", "STORE", "--selection", "vote"),
    "evaluate in folds": ("evaluate", "STORE", "--selection", "vote", "--folds", "2"),
    "explain": ("explain", "RESULT"),
    "report": ("report", "RESULT", "--out", "x.html"),
    "report of the store": ("report", "STORE", "--out", "x.html"),
    "query": ("query", "STORE", "SELECT * FROM votes"),
    "map of heads": ("show", "RESULT", "--head-map"),
    "suggest": ("suggest", "RESULT"),
    "select": ("select", "STORE", "--heads", "RESULT", "--out", "x"),
    "app": ("app", "STORE"),
    **{
        f"export --to {form}": ("export", "RESULT", "--to", form)
        for form in ("parquet", "npz", "store", "classifier", "space")
    },
    "export of heads": ("export", "STORE", "--heads", "RESULT", "--to", "parquet"),
    "export of all heads": ("export", "STORE", "--heads", "all", "--to", "store"),
}


def store_of(folder: Path, seed: int, site: str, weights: str = "w") -> FeatureStore:
    """Write a store; its examples are the same whatever the seed of its features."""
    rng = np.random.default_rng(seed)
    labels = ["cyan", "purple"] * 4
    what = identity(grid=GRID)
    facts = dict(what.model) | {"weights": weights} | ({} if site == "heads" else {"site": site})
    return write_store(
        folder,
        replace(what, model=facts),
        {s: {0: rng.normal(size=(3, 8, 4)).astype(np.float32)} for s in ("train", "test")},
        {split: [{"label": label} for label in labels] for split in ("train", "test")},
    )


def misplaced(tmp_path: Path, theirs: FeatureStore, ours: FeatureStore) -> Path:
    """Return the folder of results of one store in the other."""
    selection = api.select(theirs, heads=2)
    made = theirs.path / "results/vote"
    api.save_evaluation(api.evaluate(theirs, selection), made)
    api.save_selection(selection, made)
    return Path(shutil.copytree(made, ours.path / "results/vote"))


@pytest.mark.thorough
@pytest.mark.parametrize("use", USES)
def test_no_command_takes_the_heads_of_another_site(use, tmp_path, savs, monkeypatch) -> None:
    monkeypatch.setattr("savs.pipeline.app.server.Workspace", lambda *_: pytest.fail("served"))
    theirs = store_of(tmp_path / "last", 0, "residual")
    ours = store_of(tmp_path / "image-means", 1, "residual,image-mean")
    folder = misplaced(tmp_path, theirs, ours)
    words = [{"STORE": ours.path, "RESULT": folder}.get(word, word) for word in USES[use]]
    more = ["--out", tmp_path / "out"] if use.startswith("export") else []
    before = sorted(tmp_path.rglob("*"))
    done = savs(*words, *more)
    assert done.returncode == 1, done
    assert "does not fit" in done.stderr
    line = "\n  site: residual in the selection, residual,image-mean "
    assert line in done.stderr
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_one_line_a_difference(tmp_path, savs) -> None:
    theirs = store_of(tmp_path / "theirs", 0, "heads", weights="their weights")
    ours = store_of(tmp_path / "ours", 1, "heads")
    folder = misplaced(tmp_path, theirs, ours)
    done = savs("explain", folder)
    assert done.stderr.splitlines() == [
        f"error: the selection {folder} does not fit {ours.path}, they differ in:",
        "  model.weights: 'their weights' in the selection, 'w' in the store",
        "give a selection of the same features: run `savs select` on them",
    ]
    assert savs("explain", theirs.path / "results/vote").returncode == 0
