"""Trained stores of each kind of labels, whose heads know of the labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np

import savs
from savs.datasets.label_texts import text_of
from savs.pipeline.targets.catalogue import OWN_ANSWER
from savs.stores import FeatureStore, LayerGrid
from stores import identity, write_store

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


def write_trained(kind: str, folder: Path) -> FeatureStore:
    """Write a store of a kind of labels, train on it, and return it."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(TRAIN + TEST, 2))
    features = {}
    for layer in GRID:
        values = rng.normal(size=(len(layer.heads), len(hidden), layer.head_dim))
        values[0] += hidden @ rng.normal(size=(2, layer.head_dim)) * 3
        features[layer.layer] = np.float32(values)
    labels = texts(kind, hidden)
    rows, options = [{"label": text} for text in labels], FORMS[kind]
    what, outputs = identity(grid=GRID, options={"labels": options} if options else {}), {}
    if kind == OWN_ANSWER:
        what = replace(what, outputs={"answers": {n: [1] for n in ("left", "middle", "right")}})
        found = answers(labels, hidden)
        outputs = {"train": {"answers": found[:TRAIN]}, "test": {"answers": found[TRAIN:]}}
    store = write_store(
        folder,
        what,
        {
            "train": {n: v[:, :TRAIN] for n, v in features.items()},
            "test": {n: v[:, TRAIN:] for n, v in features.items()},
        },
        {"train": rows[:TRAIN], "test": rows[TRAIN:]},
        outputs=outputs,
    )
    if kind == OWN_ANSWER:
        write_result(store, "vote", target=kind)
    else:
        savs.train(store)
    return store


def write_result(store, name: str, **how) -> None:
    selection = savs.calibrate(store, savs.select(store, **how)).selection
    folder = Path(store.path, "results", name)
    savs.save_selection(selection, folder)
    savs.save_evaluation(savs.evaluate(store, selection), folder)
