"""Measure the label loop: accuracy against labels given. Prints two Markdown tables.

    python scripts/bench_suggest.py --work build/bench-suggest

Each draw splits the images of a task anew: one half is the test set, of the other half 3 images of
each class have a label. Then come 4 rounds of 10 labels for images that are chosen at random or by
`savs suggest`. In the second table a person is wrong in one of ten looks, and a third way spends up
to half of each round on a second look at the strongest suspects. All ways of a draw have the same
start, the same images to choose from, and the same wrong answers.

Each image is read once, by the shipped model; all rounds are `savs.label`, `savs.select`,
`savs.suggest` and `savs.evaluate` on copies of that store. `surface` and `face` are photographs of
scikit-image (`pip install scikit-image`); without it, name the others in `--tasks`.
"""

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import numpy as np
from method_comparison.tasks import POOLS, rows_of

from savs import FeatureStore, Selection, evaluate, extract, label, open_store, select, suggest
from savs.datasets.benchmarks.shapes import write_shapes
from savs.foundation.arrays import Array
from savs.pipeline.evaluation.suspects import suspects
from savs.pipeline.statistics.intervals import student_quantile

START, ROUNDS, ROUND_LABELS, HEADS = 3, 4, 10, 20
WRONG = 0.1
"""Share of the looks at an image in which a person is wrong."""
READOUTS = ("vote", "lda")
UNITS = 400
"""Images of a drawn task."""
UNEVEN = {"cat": 200, "dog": 100, "bird": 40, "fish": 20}
"""Images of each class of the task `animal, uneven`."""
TASKS = ("animal", "animal-uneven", "creature", "surface", "face")


@dataclass(frozen=True, slots=True)
class Images:
    """The images of a task, whose features are stored, all without a label."""

    store: Path
    labels: Mapping[str, str]
    """Id -> the true label."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Which images are where, and what a person says of them."""

    test: list[str]
    start: list[str]
    """Images that have their true label when the loop begins."""
    pool: list[str]
    """The others, in random order."""
    looks: tuple[Mapping[str, str], Mapping[str, str]]
    """Id -> label at the first look, and at the second."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What the labels of one way were good for."""

    accuracies: list[float]
    """Before the first round, and after each."""
    wrong: float
    """Share of the training labels that are wrong in the end."""

    @property
    def area(self) -> float:
        """The mean height of the curve, by trapezoids."""
        return float(np.trapezoid(self.accuracies)) / (len(self.accuracies) - 1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The images that a person looks at in a round."""

    first: list[str]
    """Images without a label."""
    again: list[str]
    """Images whose label is doubted."""


Way = Callable[[FeatureStore, Selection, Draw, frozenset[str]], Wanted]
"""Chooses the images of a round; the set has the ids that had a second look."""


def at_random(
    store: FeatureStore, selection: Selection, draw: Draw, again: frozenset[str]
) -> Wanted:
    """Take the next images of the random order."""
    is_open = dict.fromkeys(store.ids("unlabelled"), True)
    return Wanted([name for name in draw.pool if name in is_open][:ROUND_LABELS], [])


def by_suggest(
    store: FeatureStore, selection: Selection, draw: Draw, again: frozenset[str]
) -> Wanted:
    """Take those of `savs suggest`."""
    return Wanted(suggest(store, selection, ROUND_LABELS).table["id"].to_list(), [])


def suspects_first(
    store: FeatureStore, selection: Selection, draw: Draw, again: frozenset[str]
) -> Wanted:
    """Look again at the strongest suspects, each once, half of the round at most."""
    listed = [name for name in suspects(store, selection)["id"] if name not in again]
    doubted = listed[: ROUND_LABELS // 2]
    rest = suggest(store, selection, ROUND_LABELS - len(doubted)).table["id"].to_list()
    return Wanted(rest, doubted)


WAYS: dict[str, Way] = {
    "random": at_random,
    "suggest": by_suggest,
    "suspects first": suspects_first,
}


def draw_of(labels: Mapping[str, str], seed: int, wrong: float) -> Draw:
    """Split the images of a task; the split does not depend on the share of wrong looks."""
    rng = np.random.default_rng(seed)
    mixed = rng.permutation(list(labels)).tolist()
    test, rest = mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]
    classes = sorted(set(labels.values()))
    start = [n for c in classes for n in [n for n in rest if labels[n] == c][:START]]
    if len(start) < START * len(classes):
        raise ValueError(f"draw {seed} has fewer than {START} images of a class to begin with")
    pool = [name for name in rest if name not in start]
    if len(pool) < ROUNDS * ROUND_LABELS:
        raise ValueError(f"draw {seed} leaves {len(pool)} images, too few for the rounds")
    first, second = ({n: _look(labels[n], classes, rng, wrong) for n in labels} for _ in "12")
    return Draw(test, start, pool, (first, second))


def _look(label: str, classes: Sequence[str], rng: np.random.Generator, wrong: float) -> str:
    others = [name for name in classes if name != label]
    chance, other = rng.random(), others[rng.integers(len(others))]
    return other if chance < wrong else label


def begin(images: Images, draw: Draw, folder: Path) -> FeatureStore:
    """Return a copy of the store with the test labels and the first training labels."""
    shutil.copytree(images.store, folder)
    for split, names in (("test", draw.test), ("train", draw.start)):
        truths = {name: images.labels[name] for name in names}
        label(folder, truths, split=split, new_classes=True)
    return open_store(folder)


def curve_of(
    store: FeatureStore, labels: Mapping[str, str], draw: Draw, way: Way, readout: str
) -> Curve:
    """Go through the rounds."""
    accuracies: list[float] = []
    again: frozenset[str] = frozenset()
    while True:
        selection = select(store, heads=HEADS, readout=readout)
        accuracies.append(
            float(evaluate(store, selection).predictions["correct"].to_numpy().mean())
        )
        if len(accuracies) > ROUNDS:
            break
        wanted = way(store, selection, draw, again)
        first, second = draw.looks
        answers = {name: first[name] for name in wanted.first}
        answers |= {name: second[name] for name in wanted.again}
        store = label(store, answers, new_classes=True).store
        again |= frozenset(wanted.again)
    known = store.examples("train").select("id", "label").iter_rows()
    return Curve(accuracies, float(np.mean([text != labels[name] for name, text in known])))


def curves_of(images: Images, wrong: float, draws: int, work: Path) -> dict[str, list[list[Curve]]]:
    """Return readout -> draw -> the curve of each way; without wrong looks, of the first two."""
    ways = list(WAYS.values()) if wrong else list(WAYS.values())[:2]
    curves: dict[str, list[list[Curve]]] = {readout: [] for readout in READOUTS}
    for seed in range(draws):
        draw = draw_of(images.labels, seed, wrong)
        with tempfile.TemporaryDirectory(dir=work) as folder:
            first = begin(images, draw, Path(folder) / "start")
            for readout, of_readout in curves.items():
                of_draw = []
                for number, way in enumerate(ways):
                    copy = Path(folder) / f"{readout}-{number}"
                    shutil.copytree(first.path, copy)
                    of_draw.append(curve_of(open_store(copy), images.labels, draw, way, readout))
                of_readout.append(of_draw)
    return curves


def gain(values: Array, others: Array) -> str:
    """Return the mean paired difference in points, with its 95 % interval by Student's t."""
    apart = 100 * (values - others)
    half = student_quantile(len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
    return f"{apart.mean():+.1f} ({apart.mean() - half:+.1f} .. {apart.mean() + half:+.1f})"


def header_of(ways: Sequence[str]) -> list[str]:
    """Return the names of the columns of a table."""
    budgets = [f"+{number * ROUND_LABELS}" for number in range(1, ROUNDS + 1)]
    gains = [f"{way}, {what}" for way in ways[1:] for what in (f"at {budgets[-1]}", "area")]
    noisy = [f"{ways[2]} to {ways[1]}, at {budgets[-1]}", "wrong labels"] if ways[2:] else []
    return ["images", "readout", "start", *budgets, *gains, *noisy]


def row_of(task: str, readout: str, curves: Sequence[Sequence[Curve]]) -> list[str]:
    """Return the cells of a row; the curves are those of each way in each draw."""
    heights = 100 * np.array([[c.accuracies for c in of_draw] for of_draw in curves])
    start, *rounds = heights.mean(axis=0).T  # (ways,) at each budget
    ends = heights[:, :, -1].T / 100
    areas = np.array([[c.area for c in of_draw] for of_draw in curves]).T
    ways = range(1, len(ends))
    gains = [gain(what[way], what[0]) for way in ways for what in (ends, areas)]
    wrong = 100 * np.array([[c.wrong for c in of_draw] for of_draw in curves]).mean(axis=0)
    return [
        *(task, readout, f"{start[0]:.1f}"),
        *map(_joined, rounds),
        *gains,
        *([gain(ends[2], ends[1]), _joined(wrong)] if len(ends) > 2 else []),
    ]


def _joined(numbers: Array) -> str:
    return " / ".join(f"{number:.1f}" for number in numbers)


def images_of(task: str, folder: Path) -> Images:
    """Write the images of a task and store their features."""
    folder.mkdir(parents=True, exist_ok=True)
    if task in POOLS:
        benchmark, rows = "general", rows_of(task, folder)
    else:
        benchmark, rows = "shapes", _scenes(task, folder)
    file = folder / "images.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    store = extract(benchmark, unlabelled=file, media_root=folder, model="demo", dtype="float32",
                    shard_rows=len(rows), out=folder / "store").store  # fmt: skip
    return Images(store.path, {row["id"]: row["label"] for row in rows})


def _scenes(task: str, folder: Path) -> list[dict[str, str]]:
    """Write drawn scenes; of `animal-uneven`, as many of each class as `UNEVEN` says."""
    name, _, uneven = task.partition("-")
    units = len(UNEVEN) * max(UNEVEN.values()) * 5 // 4 if uneven else UNITS
    files = write_shapes(folder, seed=5, tasks=[name], train_per_class=1, test_units=units)
    rows = [json.loads(line) for line in files.test.read_text("utf-8").splitlines()]
    if not uneven:
        return rows
    by_class = {c: [row for row in rows if row["label"] == c] for c in UNEVEN}
    return [row for c, count in UNEVEN.items() for row in by_class[c][:count]]


def main() -> None:
    """Store the features and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for images and stores")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, metavar="TASK")
    arguments = parser.parse_args()
    images = {task: images_of(task, arguments.work / task) for task in arguments.tasks}
    for wrong in (0, WRONG):
        header = header_of(list(WAYS) if wrong else list(WAYS)[:2])
        for row in (header, ["---"] * len(header)):
            print("| " + " | ".join(row) + " |")
        for task, of_task in images.items():
            curves = curves_of(of_task, wrong, arguments.draws, arguments.work)
            for readout, of_readout in curves.items():
                row = row_of(task.replace("-", ", "), f"`{readout}`", of_readout)
                print("| " + " | ".join(row) + " |", flush=True)
        print()


if __name__ == "__main__":
    main()
