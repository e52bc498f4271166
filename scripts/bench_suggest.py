"""Measure `savs suggest` against random choice on drawn images. Prints a Markdown table.

    python scripts/bench_suggest.py --work build/bench-suggest

Each draw labels a few images of every class, then 20 more of a pool of 200: at random, the least
sure, or those that `savs suggest` names. The classifier of all labelled images is scored on the
rest. Draws are paired. Takes a minute on one core, with the shipped model.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import numpy as np
import polars as pl
from PIL import Image
from scipy.special import stdtrit

from savs import extract
from savs.datasets.benchmarks.shapes import write_shapes
from savs.foundation.arrays import Array
from savs.pipeline.evaluation.suggest import (
    CANDIDATES,
    farthest_first,
    least_sure,
    sureness,
    unit_features,
)
from savs.pipeline.selection.heads.head_scores import rank_heads
from savs.pipeline.selection.readouts import READOUTS, ClassScores
from savs.pipeline.selection.training_data import head_widths
from savs.stores import FeatureStore

LABELLED, SUGGESTED, POOL, HEADS = 3, 20, 200, 20
TASKS = ("animal", "creature")
SKIES = {"noon": 0.45, "dawn": 0.3, "dusk": 0.17, "night": 0.08}
"""Class -> its share."""
TOPS = {
    "noon": (90, 150, 235),
    "dawn": (130, 120, 190),
    "dusk": (90, 60, 110),
    "night": (15, 20, 50),
}
GROUNDS = {
    "noon": (190, 220, 245),
    "dawn": (245, 180, 140),
    "dusk": (225, 100, 60),
    "night": (40, 40, 70),
}


def draw_sky(kind: str, rng: np.random.Generator) -> Image.Image:
    """Draw a sky above hills; colours vary so much that neighbours overlap."""
    top, low = (np.array(c[kind]) + rng.normal(0, 28, 3) for c in (TOPS, GROUNDS))
    height = np.linspace(0, 1, 56)[:, None, None]
    picture = top * (1 - height) + low * height + np.zeros((56, 56, 3))
    line = 40 + 8 * np.sin(np.arange(56) / rng.uniform(4, 12) + rng.uniform(0, 6))
    picture[np.arange(56)[:, None] > line] = rng.uniform(20, 120, 3)
    return Image.fromarray(
        (picture + rng.normal(0, 14, picture.shape)).clip(0, 255).astype("uint8")
    )


def write_skies(folder: Path, count: int = 560) -> tuple[Path, Path]:
    """Write images and files; the training file has `LABELLED` of each class."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    kinds = rng.choice(list(SKIES), count, p=list(SKIES.values())).tolist()
    rows = []
    for number, kind in enumerate(kinds):
        draw_sky(kind, rng).save(folder / f"{number}.png")
        rows.append({"image": f"{number}.png", "question": "What time of day?", "label": kind})
    first = [i for i, kind in enumerate(kinds) if kinds[:i].count(kind) < LABELLED]
    files = folder / "train.jsonl", folder / "test.jsonl"
    for path, is_train in zip(files, (True, False), strict=True):
        found = [row for i, row in enumerate(rows) if (i in first) == is_train]
        path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return files


@dataclass(frozen=True, slots=True)
class Data:
    """All examples of a task."""

    features: Array
    """`(heads, n, d)`."""
    labels: Array
    """`(n,)` class numbers."""
    widths: list[int]
    heads: list[tuple[int, int]]

    def fit(self, rows: Array, readout: str) -> "Classifier":
        """Return the classifier of some examples."""
        rule, classes = READOUTS[readout], [str(c) for c in range(self.labels.max() + 1)]
        known = self.features[:, rows], self.labels[rows], classes
        order = rank_heads(rule.score_heads(*known, self.widths, "resubstitution"), self.heads)
        chosen = order[:HEADS]
        widths = [self.widths[i] for i in chosen]
        fitted = rule.fit(known[0][chosen], known[1], classes, widths)
        return Classifier(chosen, lambda some: fitted.scores(self.features[chosen][:, some]))


class Classifier:
    """The chosen heads, and what scores examples."""

    def __init__(self, heads: list[int], scores: Callable[[Array], ClassScores]) -> None:
        self.heads, self._scores = heads, scores

    def scores(self, rows: Array) -> ClassScores:
        """Score examples of the data."""
        return self._scores(rows)


def data_of(store: FeatureStore, subtask: str | None) -> Data:
    """Return both splits of a task as one."""
    parts = [store.examples(split).select("subtask", "label") for split in ("train", "test")]
    table = pl.concat(parts).with_row_index("row").filter(pl.col("subtask").eq_missing(subtask))
    features = np.concatenate([store.features(split) for split in ("train", "test")], axis=1)
    classes = sorted(set(table["label"]))
    labels = np.array([classes.index(label) for label in table["label"]])
    widths = head_widths(store, store.heads)
    return Data(features[:, table["row"].to_numpy()], labels, widths, store.heads)


def one_draw(data: Data, readout: str, seed: int) -> Mapping[str, float]:
    """Return the accuracy after each way of choosing."""
    order = np.random.default_rng(seed).permutation(len(data.labels))
    known = np.concatenate(
        [order[data.labels[order] == c][:LABELLED] for c in range(data.labels.max() + 1)]
    )
    rest = order[~np.isin(order, known)]
    pool, test = rest[:POOL], rest[POOL:]
    before = data.fit(known, readout)
    unsure = least_sure(sureness(before.scores(pool)), CANDIDATES * SUGGESTED)
    units = unit_features(data.features[before.heads][:, pool[unsure]])
    ways = {
        "random": pool[:SUGGESTED],
        "margin": pool[unsure[:SUGGESTED]],
        "suggest": pool[unsure[farthest_first(units, SUGGESTED)]],
    }
    found = {"before": known} | {way: np.concatenate([known, rows]) for way, rows in ways.items()}
    return {
        way: float((data.fit(rows, readout).scores(test).choice == data.labels[test]).mean())
        for way, rows in found.items()
    }


def gain(draws: list[Mapping[str, float]], way: str) -> str:
    """Return the mean paired difference to random choice in points, with its 95 % interval."""
    apart = 100 * np.array([draw[way] - draw["random"] for draw in draws])
    half = stdtrit(len(apart) - 1, 0.975) * apart.std(ddof=1) / np.sqrt(len(apart))
    return f"{apart.mean():+.1f} ({apart.mean() - half:+.1f} .. {apart.mean() + half:+.1f})"


def main() -> None:
    """Make the stores and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=30)
    given = parser.parse_args()
    files = write_shapes(
        *(given.work / "scenes",), seed=5, tasks=TASKS, train_per_class=LABELLED, test_units=500
    )
    scenes = extract("shapes", train=files.train, test=files.test, model="demo", dtype="float32",
                     out=given.work / "scenes-store").store  # fmt: skip
    train, test = write_skies(given.work / "skies")
    skies = extract("general", train=train, test=test, model="demo", dtype="float32",
                    out=given.work / "skies-store").store  # fmt: skip
    sets = {**{task: data_of(scenes, task) for task in TASKS}, "skies": data_of(skies, None)}
    print(f"| data | readout | labelled | before | {SUGGESTED} at random | least sure | suggest |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, data in sets.items():
        for readout in ("vote", "lda"):
            draws = [one_draw(data, readout, seed) for seed in range(given.draws)]
            means = [f"{100 * np.mean([d[w] for d in draws]):.1f}" for w in ("before", "random")]
            known = LABELLED * (data.labels.max() + 1)
            cells = [
                name,
                readout,
                str(known),
                *means,
                gain(draws, "margin"),
                gain(draws, "suggest"),
            ]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
