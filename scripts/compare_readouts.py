"""Compare all readouts on drawn scenes and on photographs, draw by draw, with paired tests.

    python scripts/compare_readouts.py --work build/compare-readouts

Each draw of scenes has fresh training and test scenes. The photographs are the 2,000 textile images
of the package `conformal-clip-data` (`pip install conformal-clip-data`): each draw takes 20 a class
of them to train, all others to test. Both go through the demo model, so the table says which
readout makes most of its heads, and nothing of large models. Twenty draws take about ten minutes
on two cores.
"""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl

from savs.datasets.benchmarks.shapes import write_shapes
from savs.pipeline import extract
from savs.pipeline.heads.head_scores import rank_heads
from savs.pipeline.heads.training_set import head_widths
from savs.pipeline.readouts import READOUTS
from savs.pipeline.statistics.paired_tests import Difference, holm, subtract
from savs.stores import FeatureStore, open_store

TASKS = ("color", "shape", "size", "relation", "composition", "same-color", "third-image",
         "animal", "creature", "concept")  # fmt: skip
TEXTILES = "textiles (photographs)"
SHOTS, TEST_UNITS = 20, 100
BASELINE = "vote"
Accuracies = dict[tuple[str, str], list[float]]
"""Task and readout -> accuracy in each draw."""


def main() -> None:
    """Extract, measure, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for images and stores")
    parser.add_argument("--model", default="demo", help="a Hugging Face id, a folder, or demo")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--heads", type=int, default=20)
    options = parser.parse_args()
    found: Accuracies = {}
    for draw in range(options.draws):
        store = _scenes(options.work / f"scenes-{draw}", draw, options.model)
        for task in TASKS:
            train, test = (_rows(store, split, task) for split in ("train", "test"))
            _measure(found, store, task, train, test, options.heads)
    store = _textiles(options.work / "textiles", options.model)
    labels = store.examples("test")["label"].to_numpy()
    for draw in range(options.draws):
        rng = np.random.default_rng(draw)
        order = rng.permutation(len(labels))
        train = np.concatenate([order[labels[order] == c][:SHOTS] for c in np.unique(labels)])
        rest = np.setdiff1d(order, train)
        _measure(found, store, TEXTILES, ("test", train), ("test", rest), options.heads)
    _print(found, options)


def _scenes(folder: Path, draw: int, model: str) -> FeatureStore:
    if not (folder / "store" / "store.json").exists():
        files = write_shapes(
            folder, seed=1000 + draw, tasks=TASKS, train_per_class=SHOTS, test_units=TEST_UNITS
        )
        extract("shapes", train=files.train, test=files.test, model=model, out=folder / "store",
                media_root=files.root, batch_size=16)  # fmt: skip
    return open_store(folder / "store")


def _textiles(folder: Path, model: str) -> FeatureStore:
    """Extract all photographs as a test split; draws take their training examples out of it."""
    if find_spec("conformal_clip_data") is None:
        raise SystemExit("the photographs are missing: pip install conformal-clip-data")
    from conformal_clip_data import textile_simulated_root  # type: ignore[import-not-found]

    root = Path(textile_simulated_root())
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(str(path.relative_to(root)) for path in root.glob("*/*.jpg"))
    rows = [
        json.dumps({"image": n, "question": "Is this fabric flawed?", "label": n.split("/")[0]})
        for n in names
    ]
    firsts = [next(r for r in rows if f'"label": "{label}"' in r) for label in ("local", "nominal")]
    (folder / "all.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (folder / "two.jsonl").write_text("\n".join(firsts), encoding="utf-8")
    extract("general", train=folder / "two.jsonl", test=folder / "all.jsonl", media_root=root,
            model=model, out=folder / "store", batch_size=16)  # fmt: skip
    return open_store(folder / "store")


def _rows(store: FeatureStore, split: str, task: str) -> tuple[str, np.ndarray]:
    return split, np.flatnonzero((store.examples(split)["subtask"] == task).to_numpy())


def _measure(
    found: Accuracies,
    store: FeatureStore,
    task: str,
    train: tuple[str, np.ndarray],
    test: tuple[str, np.ndarray],
    heads: int,
) -> None:
    """Add the accuracy of every readout on one draw."""
    names = [store.examples(split)["label"].to_numpy()[rows] for split, rows in (train, test)]
    classes = list(dict.fromkeys(names[0]))
    labels, truth = (np.array([classes.index(name) for name in part]) for part in names)
    features, unseen = (store.features(split)[:, rows] for split, rows in (train, test))
    widths = head_widths(store, store.heads)
    for name, rule in READOUTS.items():
        scores = rule.score_heads(features, labels, classes, widths, "resubstitution")
        best = rank_heads(scores, store.heads)[:heads]
        fitted = rule.fit(features[best], labels, classes, [widths[head] for head in best])
        choice = fitted.scores(unseen[best]).choice
        found.setdefault((task, name), []).append(float((choice == truth).mean()))


def _print(found: Accuracies, options: argparse.Namespace) -> None:
    """Print accuracies, and the differences from `vote` that hold after Holm's correction."""
    others = [name for name in READOUTS if name != BASELINE]
    tasks = list(dict.fromkeys(task for task, _ in found))
    keys = [(task, name) for task in tasks for name in others]
    differences = {key: _difference(found[key[0], BASELINE], found[key]) for key in keys}
    corrected = dict(zip(keys, holm([d.test.p for d in differences.values()]), strict=True))
    print(
        f"{options.draws} draws, {SHOTS} examples a class, {options.heads} heads; per cent;"
        f" differences from {BASELINE}, * where p < .05 after Holm over all {len(keys)}\n"
    )
    print("| task | " + " | ".join([BASELINE, *others]) + " |")
    print("| --- |" + " --- |" * len(READOUTS))
    for task in tasks:
        cells = [f"{100 * np.mean(found[task, BASELINE]):.1f}"]
        for name in others:
            star = "*" if corrected[task, name] < 0.05 else ""
            cells.append(f"{100 * differences[task, name].value:+.1f}{star}")
        print(f"| {task} | " + " | ".join(cells) + " |")
    means = [[found[task, name] for task in tasks] for name in (BASELINE, *others)]
    row = [f"{100 * np.mean(means[0]):.1f}"]
    row += [f"{100 * (np.mean(own) - np.mean(means[0])):+.1f}" for own in means[1:]]
    print("| **mean** | " + " | ".join(row) + " |")


def _difference(a: list[float], b: list[float]) -> Difference:
    """Return the paired difference over draws, each a cluster by itself."""
    clusters = {"cluster": [str(draw) for draw in range(len(a))], "stratum": ["all"] * len(a)}
    return subtract(*(pl.DataFrame({"score": own} | clusters) for own in (a, b)))


if __name__ == "__main__":
    main()
