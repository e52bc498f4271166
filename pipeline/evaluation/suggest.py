"""`savs suggest`: which images of a store, or of a file of predictions, to label next."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.benchmarks.options import stored_prompts, without_prompt
from savs.datasets.splits.leaks import REPEATED, find_leaks
from savs.foundation.arrays import Array
from savs.foundation.errors import command
from savs.foundation.files import regular_size
from savs.foundation.frames import collect_rows, scan_parquet
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.evaluation import run_features
from savs.pipeline.running.formatting import counted, counted_as, listed
from savs.pipeline.running.output_files import media_of_cell
from savs.pipeline.running.result_files import reading
from savs.pipeline.selection.compatibility import require_fit, require_same_prompt
from savs.pipeline.selection.selection import Selection, only_subtask
from savs.pipeline.targets.tasks import Run
from savs.stores import ANSWERS_HEAD, FeatureStore, StoreIncompleteError
from savs.stores.format.layout import THUMBNAIL_COLUMN, UNLABELLED, is_neuron
from savs.stores.read.store import AnyStore, as_store

SCHEMA = pl.Schema(
    {
        "id": pl.String,
        "media": pl.List(pl.String),
        "prompt": pl.String,
        "subtask": pl.String,
        "label": pl.String,
        "prediction": pl.String,
        "margin": pl.Float32,
    }
)
UNPREDICTED: Any = {"label": pl.lit(""), "prediction": None, "margin": None}
"""Columns of an example while there is no classifier."""
LOOKED_AT = 5_000
"""Examples that are looked at while there is no classifier, or for alike ones."""
ALIKE_SCHEMA = {"id": pl.String, "prediction": pl.String, "likeness": pl.Float64}
"""Columns of `most_alike`."""
CANDIDATES = 5
"""Least sure examples that are looked at for each one that is suggested."""
COLUMNS = {name: SCHEMA[name] for name in ("id", "media", "subtask", "prediction", "margin")}
"""What is read of a file of predictions."""
NEEDED = ("id", "prediction", "margin")
LINES = (".jsonl", ".ndjson")
SUFFIXES = (".csv", *LINES, ".parquet")


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Examples to label next."""

    table: pl.DataFrame
    """One row an example, first the one to label first, subtask by subtask: `id`; `image`, its one
    medium, or `images`, a list; `question` and `subtask` where rows have their own; `label`, to be
    filled in; `prediction`; `margin`. The first ones are named as the benchmark of the store reads
    them, so that the filled table is a training file. Of many labels `prediction` is their list, as
    JSON, and `margin` how far the logit of the least sure one is from that of its threshold."""
    notes: tuple[str, ...]
    """What a reader of the table must know, a sentence each."""
    split: str | None = None
    """The split of the store that they are in; None if they come from a file."""
    classes: tuple[str, ...] = ()
    """The classes that the training examples have, or the labels."""

    def __repr__(self) -> str:
        """Return a few lines: which examples are to be labelled, and what comes next."""
        names = self.table["id"].cast(pl.String).to_list()
        return (
            f"Suggestions({counted(len(names), 'example')} to label: {listed(names)})\n"
            "  next: fill in `label` of suggestions.table, then savs.label(STORE, table)"
        )


def suggest_from_store(
    store: AnyStore, selection: Selection | None, count: int, *, subtask: str | None = None
) -> Suggestions:
    """Return the examples of a store that should get a label next, see `savs.suggest`.

    `selection` is None while there are no labels to make one from. `count` is that of each subtask.

    SelectionError if the selection belongs to another model
    or prompt, or has no such subtask; StoreIncompleteError if the store has nothing to label, or a
    shard is missing.
    """
    store = as_store(store)
    split = UNLABELLED if store.ids(UNLABELLED) else "test"
    if split not in store.splits or not store.ids(split):
        raise StoreIncompleteError(
            f"nothing in {store.path} waits for a label; add images without one, by"
            f" {command('savs', 'extract', '...', '--append', '--unlabelled', 'FILE')} or in a"
            " folder `unlabelled`, and `savs train` again"
        )
    tested = store.examples(split)
    notes: list[str] = []
    if selection is not None:
        selection.target.require("a suggestion", "the selection")
        notes += require_fit(selection, store.manifest, store.path)
        notes += require_same_prompt(selection, tested, is_allowed=True)
    train = store.examples("train") if store.ids("train") else tested.clear()
    is_known = find_leaks(train, tested).kinds.eq_missing(REPEATED)
    if is_known.any():
        repeated = counted_as(
            int(is_known.sum()),
            f"{split} example",
            one="is a training example",
            several="are training examples",
        )
        notes.append(f"{repeated} already: left out")
    is_open = ~is_known
    if tested["label"].null_count():
        is_open &= tested["label"].is_null()
    else:
        notes.append("these test examples have labels: `savs label` moves them to training")
    is_open = dict(zip(tested["id"], is_open, strict=True))
    if selection is None:
        notes.append("there is no classifier yet, so these are images that differ most")
        different = _most_different(store, split, is_open, count, subtask)
        chosen = pl.concat([pl.DataFrame(schema=SCHEMA), *different])
        return Suggestions(_form(chosen, store), tuple(notes), split)
    if subtask is not None:
        selection.target.require("a subtask", store.path)
        selection = only_subtask(selection, subtask)
    store = selection.seen(store)
    runs = selection.runs()
    parts = [_Scored(store, selection, run, split).least_sure(is_open, count) for run in runs]
    classes = tuple(dict.fromkeys(name for run in runs for name in run.classes))
    return Suggestions(_form(pl.concat(parts), store), tuple(notes), split, classes)


def _most_different(
    store: FeatureStore, split: str, is_open: Mapping[str, bool], count: int, subtask: str | None
) -> Iterator[pl.DataFrame]:
    """Yield examples of each subtask that are spread out in the heads of the last layer.

    Of a large split `LOOKED_AT` examples are looked at, evenly spaced.
    """
    table = store.examples(split)
    subtasks = table["subtask"].unique(maintain_order=True).to_list()
    if subtask is not None and subtask not in subtasks:
        names = ", ".join(map(str, subtasks))
        raise SelectionError(f"{split} has no subtask {subtask!r}; it has: {names}")
    table = table.filter([is_open[name] for name in table["id"]])
    for (name,), rows in table.group_by("subtask", maintain_order=True):
        if subtask not in (None, name):
            continue
        some = _evenly_spaced(rows)
        different = _spread_out(some, _last_layer(store, split), count)
        yield different.with_columns(**UNPREDICTED).select(list(SCHEMA)).cast(SCHEMA)


def _last_layer(store: FeatureStore, split: str) -> Iterator[tuple[pl.DataFrame, Array]]:
    """Yield the examples of a split with the `(heads, n, d)` features of the last layer."""
    heads = [head for head in store.heads if head[0] == store.heads[-1][0]]
    return ((block.examples, block.features) for block in store.blocks(split, heads))


def most_alike(
    store: FeatureStore,
    selection: Selection | None,
    split: str,
    names: Sequence[str],
    count: int,
    *,
    subtask: str | None = None,
) -> pl.DataFrame:
    """Return `count` of some examples, each after one that is most like it, so alike ones together.

    The first is the one that the selection is least sure about. Columns `id`; `prediction`, null
    without a selection; `likeness`, the mean cosine with the one before, null of the first. Of many
    names `LOOKED_AT` are looked at.
    """
    table = _evenly_spaced(pl.DataFrame({"id": names}))
    if selection is None:
        table = table.with_columns(prediction=pl.lit(None, pl.String))
        first, blocks = 0, _last_layer(store, split)
    else:
        store, runs = selection.seen(store), selection.runs()
        run = next((one for one in runs if one.subtask == subtask), runs[0])
        scored = _Scored(store, selection, run, split)
        table = scored.table(dict.fromkeys(table["id"], True))
        first = table["margin"].arg_min() or 0
        blocks = scored.compared(table["id"])
    if not table.height:
        return pl.DataFrame(schema=ALIKE_SCHEMA)
    order, likeness = nearest_chain(_units(table["id"], blocks), first, count)
    column = pl.Series("likeness", likeness, dtype=pl.Float64)
    return table[order].select("id", "prediction").with_columns(column)


def _evenly_spaced(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.gather_every(max(1, -(-rows.height // LOOKED_AT)))


def suggest_from_predictions(path: str | Path, count: int) -> Suggestions:
    """Return the `count` least sure rows of each subtask of a file of predictions.

    The file, Parquet, CSV or JSON Lines, has no features, so the images may be alike.
    ResultError if the file cannot be read, or lacks a column.
    """
    rows = read_predictions(Path(path)).filter(pl.col("prediction").is_not_null())
    ordered = rows[least_sure(rows["margin"].to_numpy()[:, None], rows.height)]
    first = ordered.group_by("subtask", maintain_order=True).head(count)
    names = [name for name in ("id", "media", "subtask") if name in first.columns]
    table = first.select(*names, pl.lit("").alias("label"), "prediction", "margin")
    note = "the least sure images may be alike: pass the store to spread them"
    return Suggestions(_with_images(_with_subtasks(table), {}), (note,))


@dataclass(frozen=True, slots=True)
class _Scored:
    """The examples of a split that a run scores; features are read shard by shard."""

    store: FeatureStore
    selection: Selection
    run: Run
    split: str

    def least_sure(self, is_open: Mapping[str, bool], count: int) -> pl.DataFrame:
        """Return examples that are least sure, spread out."""
        table = self.table(is_open)
        if not table.height:
            return table.drop("sure")
        sure = table["sure"].to_numpy()
        if (sure == sure[0]).all():  # as of numbers, whose intervals are equally wide: any is first
            candidates = _evenly_spaced(table)
        else:
            candidates = table[least_sure(sure, CANDIDATES * count)]
        blocks = self.compared(candidates["id"])
        return _spread_out(candidates, blocks, count).select(list(SCHEMA))

    def table(self, is_wanted: Mapping[str, bool]) -> pl.DataFrame:
        """Return the wanted examples with predictions, and with `sure`, the keys of each."""
        scored = [pl.DataFrame(schema={**SCHEMA, "sure": pl.List(pl.Float32)})]
        for rows, features in self.blocks(is_wanted):
            scores = self.run.score(features)
            predictions, sure = self.selection.target.sureness(self.run, scores)
            columns = rows.with_columns(
                pl.lit("").alias("label"), prediction=predictions, margin=pl.Series(sure[:, 0])
            )
            scored.append(columns.select(*SCHEMA, sure=pl.Series(sure)))
        return self.store.in_order(self.split, pl.concat(scored[1:] or scored))

    def compared(self, names: Iterable[str]) -> Iterator[tuple[pl.DataFrame, Array]]:
        """Yield examples with the features that tell alike ones: of the run's heads.

        Answers that are alike may be of images that are not, and a neuron has no direction: there
        those of the last layer.
        """
        if self.run.heads == (ANSWERS_HEAD,) or is_neuron(self.run.heads[0]):
            return _last_layer(self.store, self.split)
        return self.blocks(dict.fromkeys(names, True))

    def blocks(self, is_wanted: Mapping[str, bool]) -> Iterator[tuple[pl.DataFrame, Array]]:
        """Yield the wanted examples with the `(heads, n, d)` features of the run's heads."""
        heads = self.selection.heads
        index = {head: number for number, head in enumerate(heads)}
        for block in self.store.blocks(self.split, heads):
            rows = block.examples.drop(THUMBNAIL_COLUMN, strict=False).with_row_index("row")
            rows = rows.filter(pl.col("subtask").eq_missing(pl.lit(self.run.subtask)))
            rows = rows.filter([is_wanted.get(name, False) for name in rows["id"]])
            if rows.height:
                places = rows["row"].to_numpy()
                yield rows, run_features(block.features, index, self.run, places)


def _spread_out(
    candidates: pl.DataFrame, blocks: Iterable[tuple[pl.DataFrame, Array]], count: int
) -> pl.DataFrame:
    """Return the candidates that differ most; `blocks` have their `(heads, n, d)` features."""
    return candidates[farthest_first(_units(candidates["id"], blocks), count)]


def _units(names: pl.Series, blocks: Iterable[tuple[pl.DataFrame, Array]]) -> Array:
    """Return the `(n, heads x d)` features of unit length of some examples of blocks."""
    wanted = set(names)
    units = {
        name: unit
        for rows, features in blocks
        for name, unit in zip(rows["id"], unit_features(features), strict=True)
        if name in wanted
    }
    return np.stack([units[name] for name in names])


def _form(table: pl.DataFrame, store: FeatureStore) -> pl.DataFrame:
    """Return the columns as the benchmark of the store reads them."""
    facts = store.benchmark
    options = facts.get("options", {})
    if stored_prompts(facts):  # a training file has each image once
        once = table.with_columns(without_prompt(table["id"])).drop("prompt")
        table = once.unique("id", keep="first", maintain_order=True).with_columns(
            subtask=pl.lit(None, pl.String)
        )
    elif "question" in options:  # all rows have that prompt
        table = table.drop("prompt")
    return _with_images(_with_subtasks(table).rename({"prompt": "question"}, strict=False), options)


def _with_subtasks(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table without the column `subtask` if there are none."""
    return table.drop("subtask") if table["subtask"].null_count() == table.height else table


def _with_images(table: pl.DataFrame, options: Mapping[str, Any]) -> pl.DataFrame:
    """Return a table with `image` or `images` in place of `media`, renamed by the columns given."""
    if "media" in table.columns:
        if table["media"].list.len().eq(1).all():
            table = table.with_columns(pl.col("media").list.first())
            table = table.rename({"media": "image"})
        else:
            table = table.rename({"media": "images"})
    return table.rename(options.get("columns", {}), strict=False)


def least_sure(margins: Array, count: int) -> Array:
    """Return the rows that a classifier is least sure about, the least sure first.

    Of `(n, keys)` margins the first key decides, then the next; equal rows keep their order.

    >>> least_sure(np.float32([[3, 0], [0, 2], [0, 1]]), 2).tolist()
    [2, 1]
    """
    return np.lexsort(margins.T[::-1])[:count]


def farthest_first(features: Array, count: int) -> list[int]:
    """Return rows that are spread out: the first, then each time the one farthest from all before.

    Of equally far ones the first is taken. Source: the greedy k-centre choice of Sener and
    Savarese, arXiv 1708.00489.

    `features` are `(n, d)` float32 of unit length, so that a small product is a large distance.

    >>> angle = np.float32([0, 0.1, 1.5, 0.7])
    >>> farthest_first(np.stack([np.cos(angle), np.sin(angle)], axis=1), 3)
    [0, 2, 3]
    """
    nearest = np.full(len(features), -np.inf, np.float32)
    chosen: list[int] = []
    for _ in range(min(count, len(features))):
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, features @ features[chosen[-1]])
    return chosen


def nearest_chain(features: Array, first: int, count: int) -> tuple[list[int], list[float | None]]:
    """Return rows that each follow the one nearest to them, and their products with that one.

    `features` are `(n, d)` of unit length; the product of the first is None.

    >>> angle = np.float32([0, 1.5, 0.1, 1.4])
    >>> nearest_chain(np.stack([np.cos(angle), np.sin(angle)], axis=1), 0, 4)[0]
    [0, 2, 3, 1]
    """
    order, products = [first], list[float | None]([None])
    is_left = np.ones(len(features), bool)
    while len(order) < min(count, len(features)):
        is_left[order[-1]] = False
        near = np.where(is_left, features @ features[order[-1]], -np.inf)
        order.append(int(near.argmax()))
        products.append(float(near[order[-1]]))
    return order, products


def unit_features(features: Array) -> Array:
    """Return `(n, heads x d)` float32 of unit length from `(heads, n, d)`, each head alike.

    The product of two rows is then the mean cosine of their heads.
    """
    lengths = np.linalg.norm(features, axis=2, keepdims=True)
    units = features / np.where(lengths > 0, lengths, 1)
    flat = units.transpose(1, 0, 2).reshape(features.shape[1], -1)
    return (flat / np.sqrt(len(features))).astype(np.float32)


def read_predictions(path: Path) -> pl.DataFrame:
    """Return the columns `COLUMNS`; `media` only where the file has it.

    ResultError if the file is not there, has another form, or lacks a column.
    """
    with reading(path, "savs classify"):
        regular_size(path)
        table = _read(path)
        lacks = [name for name in NEEDED if name not in table.columns]
        if lacks:
            raise ValueError(f"it has no column {lacks[0]!r}; expected {', '.join(NEEDED)}")
        if "media" in table.columns and table.schema["media"] == pl.String:
            cells = map(media_of_cell, table["media"])
            table = table.with_columns(media=pl.Series(cells, dtype=pl.List(pl.String)))
        if "subtask" not in table.columns:
            table = table.with_columns(subtask=pl.lit(None, pl.String))
        types = {n: kind for n, kind in COLUMNS.items() if n in table.columns}
        return table.select(pl.col(name).cast(kind) for name, kind in types.items())


def _read(path: Path) -> pl.DataFrame:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        text: dict[str, Any] = dict.fromkeys(COLUMNS, pl.String) | {"margin": pl.Float32}
        return pl.read_csv(path, schema_overrides=text, infer_schema_length=None)
    if suffix in LINES:
        return pl.read_ndjson(path, infer_schema_length=None)
    with path.open("rb") as file:
        return collect_rows(scan_parquet(file), path.stat().st_size)
