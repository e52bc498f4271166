"""The part of a report that looks at the space: chosen heads' features in two dimensions (PCA)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.foundation.errors import SavsError
from savs.pipeline.reports.report.evaluated import Evaluated
from savs.pipeline.reports.report.gallery import Gallery
from savs.pipeline.selection.heads.centroids import normalise
from savs.pipeline.selection.selection_config import TaskConfig
from savs.pipeline.selection.training_data import head_widths
from savs.stores import FeatureStore

MOST_POINTS = 3000
"""Most examples of a map; of more, a random part is taken."""
COLOURS = 6
"""Classes with a colour of their own, the most frequent ones."""
WIDTH, HEIGHT, EDGE = 640, 420, 16
"""Size of a map and width of its margin, in the units of its drawing."""


@dataclass(frozen=True, slots=True)
class Spot:
    """An example that the gallery shows."""

    x: float
    y: float
    card: int
    """Its place in the gallery."""
    title: str


@dataclass(frozen=True, slots=True)
class Layer:
    """The examples of one class, or of all that have no colour of their own."""

    name: str
    examples: int
    right: str
    """SVG path of a point for each right example."""
    wrong: str
    """SVG path of a cross for each wrong one."""


@dataclass(frozen=True, slots=True)
class SpaceMap:
    """The test examples of one subtask."""

    subtask: str | None
    shown: int
    examples: int
    explained: tuple[float, float]
    """Part of the variance that each axis has."""
    layers: tuple[Layer, ...]
    spots: tuple[Spot, ...]


def space_part(result: Evaluated, gallery: Gallery | None) -> tuple[SpaceMap, ...]:
    """Return a map of each subtask; none without the store or without heads.

    Features of the chosen heads are normalised head by head and put side by side.
    """
    if result.config is None or result.store is None or result.split != "test":
        return ()
    cards = {card.id: place for place, card in enumerate(gallery.cards)} if gallery else {}
    maps = []
    for task in result.config.tasks:
        rows = result.predictions.filter(
            pl.col("subtask").eq_missing(pl.lit(task.subtask)) & pl.col("prediction").is_not_null()
        )
        try:
            features = _features(result.store, task, rows["id"].to_list())
        except SavsError:
            return ()  # shards that are gone
        if features is not None:
            maps.append(_draw(task.subtask, rows, features, cards))
    return tuple(maps)


def _features(store: FeatureStore, task: TaskConfig, ids: Sequence[str]) -> Array | None:
    """Return `(n, heads * d)` of the examples, None where the store lacks one, or there are few."""
    places = {name: place for place, name in enumerate(ids)}
    width = max(head_widths(store, task.heads))
    found = np.zeros((len(ids), len(task.heads), width), np.float32)
    seen = 0
    for block in store.blocks("test", task.heads):
        at = [places.get(name, -1) for name in block.examples["id"]]
        kept = np.flatnonzero(np.array(at) >= 0)
        found[[at[i] for i in kept]] = normalise(block.features[:, kept]).transpose(1, 0, 2)
        seen += len(kept)
    return found.reshape(len(ids), -1) if seen == len(ids) > 2 else None


def _draw(
    subtask: str | None, rows: pl.DataFrame, features: Array, cards: dict[str, int]
) -> SpaceMap:
    from sklearn.decomposition import PCA

    total = len(features)
    if total > MOST_POINTS:
        is_card = np.array([name in cards for name in rows["id"]])
        order = np.random.default_rng(0).random(total) - is_card  # those of the gallery come first
        kept = np.sort(np.argsort(order, kind="stable")[:MOST_POINTS])
        rows, features = rows[kept], features[kept]
    fitted = PCA(n_components=2, svd_solver="randomized", random_state=0)
    places = _scaled(fitted.fit_transform(features))
    return SpaceMap(
        subtask=subtask,
        shown=len(features),
        examples=total,
        explained=(
            float(fitted.explained_variance_ratio_[0]),
            float(fitted.explained_variance_ratio_[1]),
        ),
        layers=tuple(_layers(rows, places)),
        spots=tuple(
            Spot(float(x), float(y), cards[name], f"{name}: {label}, said to be {prediction}")
            for (x, y), (name, label, prediction) in zip(
                places, rows.select("id", "label", "prediction").rows(), strict=True
            )
            if name in cards
        ),
    )


def _scaled(points: Array) -> Array:
    """Return points in the drawing's units, both axes with the same scale."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array([WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE])
    scale = (room / np.maximum(high - low, 1e-12)).min()
    return (points - (low + high) / 2) * scale + np.array([WIDTH, HEIGHT]) / 2


def _layers(rows: pl.DataFrame, places: Array) -> list[Layer]:
    counts = rows["label"].value_counts(sort=True)["label"].to_list()
    named = sorted(counts[:COLOURS]) if len(counts) > COLOURS else sorted(counts)
    names = [*named, *([None] if len(counts) > COLOURS else [])]
    found = []
    for name in names:
        own = rows["label"].is_in(named).not_() if name is None else rows["label"] == name
        right, wrong = (
            places[(own & (rows["correct"] == is_right)).to_numpy()] for is_right in (True, False)
        )
        found.append(
            Layer(
                "other classes" if name is None else name,
                int(own.sum()),
                "".join(f"M{x:.1f} {y:.1f}h0" for x, y in right),
                "".join(f"M{x - 3:.1f} {y - 3:.1f}l6 6m0-6l-6 6" for x, y in wrong),
            )
        )
    return found
