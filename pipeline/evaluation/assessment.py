"""From a predictor to an evaluation: metrics with intervals, skips, leaks, notes.

A `Predictor` yields blocks of examples with their predictions, one row an example. Each block is
packed as it comes, so that memory never holds a whole table of votes.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any, Protocol

import polars as pl

from savs.datasets import Benchmark, Units, find_leaks
from savs.datasets.benchmarks.options import stored_prompts
from savs.datasets.example import first_few
from savs.datasets.rows.plugin_guard import compute_metrics, make_submission
from savs.datasets.splits.clusters import clusters_of
from savs.datasets.splits.leaks import REPEATED, SHARED
from savs.pipeline.errors import LeakError
from savs.pipeline.evaluation.trials import Point
from savs.pipeline.heads.centroids import row_blocks
from savs.pipeline.names import ZERO_SHOT
from savs.pipeline.running.formatting import counted, counted_as, listed, measured, of_shares
from savs.pipeline.selection.selection import Selection
from savs.pipeline.statistics.confidence import Confidence
from savs.pipeline.statistics.intervals import Metric, summarise_all
from savs.pipeline.targets import Target, target_named
from savs.pipeline.targets.catalogue import ONE
from savs.pipeline.targets.target import packed
from savs.pipeline.targets.tasks import Folds, Measured, Measuring
from savs.stores import FeatureStore
from savs.stores.format.layout import digest

SLICE = 2**14
"""Examples whose media, or predictions, are Python objects at a time."""


class Predictor(Protocol):
    """A method that classifies the test examples from what a store keeps of them.

    Heads that were selected, the model's own answers and captions are predictors; `evaluate` runs
    any of them.
    """

    @property
    def rule(self) -> str:
        """Name of what makes the predictions, e.g. that of the readout."""
        ...

    @property
    def selection(self) -> Selection | None:
        """The heads and their fits; None if none were selected."""
        ...

    @property
    def target(self) -> Target:
        """What labels are."""
        ...

    @property
    def classes(self) -> Mapping[str | None, Sequence[str]]:
        """The classes of each subtask."""
        ...

    def predictions(self) -> Iterator[pl.DataFrame]:
        """Yield examples with predictions (`Target.columns`), and skipped ones (`as_wrong`)."""
        ...

    def notes(self, table: pl.LazyFrame) -> list[str]:
        """Return what limits the predictions, once all of them are packed in a table."""
        ...

    def cost(self) -> dict[str, Any]:
        """Return what the model ran for the predictions, see `evaluation.cost`."""
        ...


def packed_predictions(store: FeatureStore, predictor: Predictor) -> pl.LazyFrame:
    """Return all predictions in the order of the input file, packed block by block."""
    # A block's votes take far more memory as lists than packed. `map` packs each and lets it go
    # before the next is made; a comprehension would hold a block for longer.
    blocks = map(packed, predictor.predictions())
    table = pl.concat(blocks, how="diagonal_relaxed")
    # Shards hold rows in another order where examples that share an image lie together (`order` of
    # the plan), or where others were appended. Memory then holds the whole table while it is packed
    # anew, once, so that no query has to sort it.
    places = store.places("test", table.select("id").collect())
    if places.is_sorted():
        return table
    rows, order = table.collect(), places.arg_sort()
    return pl.concat(packed(rows[order[some]]) for some in row_blocks(rows.height, 1, SLICE))


def as_wrong(skipped: pl.DataFrame, subtasks: Container[str | None]) -> pl.DataFrame:
    """Return the skipped examples of some subtasks as rows of predictions."""
    rows = skipped.filter([subtask in subtasks for subtask in skipped["subtask"]])
    return rows.with_columns(correct=pl.lit(False), prediction=pl.lit(None, pl.String))


def with_skipped(
    store: FeatureStore, parts: Sequence[pl.DataFrame], skipped: pl.DataFrame
) -> pl.DataFrame:
    """Return the predictions of all tasks, and the skipped examples, in the store's order."""
    return store.in_order("test", pl.concat([*parts, skipped], how="diagonal_relaxed"))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Predictions of a store's test examples, and their metrics."""

    metrics: tuple[Metric, ...]
    """The headline first."""
    units: tuple[Units, ...]
    """The scores that each metric is the mean of, in the same order."""
    table: pl.LazyFrame
    """One row an example, in the order of the input file; columns `Target.schema`. That of
    `evaluate` is Parquet in memory, of which a query reads the columns that it names."""
    selection: Selection | None
    """None if the model's own answers were taken, or images were compared with captions."""
    model: Mapping[str, Any]
    """Identity of the model."""
    planned: int
    """Test examples in the input file, or up to `--limit`."""
    skipped: int
    """Test examples that could not be read; they count as wrong."""
    notes: tuple[str, ...]
    """What limits the numbers: leaks, missing examples, few clusters."""
    rule: str = ZERO_SHOT
    """Name of the source of the predictions if there is no selection."""
    confidence: tuple[Confidence, ...] = ()
    """How far probabilities can be trusted, of all examples or of each prompt; nothing without
    labels or probabilities."""
    submission: Mapping[str, Any] | None = None
    """Predictions in the form of the benchmark's official evaluation, if it has one."""
    benchmark: str = ""
    """Name of the benchmark."""
    cost: Mapping[str, Any] = field(default_factory=dict)
    """What the model ran for it, see `evaluation.cost`; empty if that is not known."""
    inflation: float = 1.0
    """Variance of means, in variances of independent clusters: greater than 1 where predictions
    depend on each other, see `cross_validation.py`."""
    folds: Folds | None = None
    """How many parts of the training examples were asked to be left out in turn, if they were."""
    train_shares: tuple[float, float] | None = None
    """Least and greatest share of the training examples that the measured classifiers were made of,
    if each example was left out of its own; None where one of all was measured."""
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """Where it is right and wrong, by the names that metrics.json has: `per_class`, `confusions`
    and `parts`; of many labels `per_label` and `pairs`; of numbers `ranges`. Rows are those of
    `savs.pipeline.statistics.per_class`."""
    folder: Path | None = None
    """Where it was saved, if it was."""

    def __repr__(self) -> str:
        """Return a few lines: the headline metric, other metrics, notes, and what comes next."""
        heads = self.point.heads
        by = f"{self.readout} of {counted(heads, 'head')}" if heads else self.readout
        examples = f"{counted(self.planned, 'example')} of {self.benchmark or 'a store'}"
        lines = [f"Evaluation({by}: {examples}, {self.skipped:,} skipped)"]
        if self.metrics:
            first = self.metrics[0]
            text_of = partial(measured, scale=first.scale)
            lines.append(
                f"  {first.name} {text_of(first.value)}{self.measured_of}, 95 % interval"
                f" {text_of(first.low)} .. {text_of(first.high)}, chance {text_of(first.chance)}"
            )
        if others := [metric.name for metric in self.metrics[1:]]:
            lines.append(f"  also: {listed(others)}")
        if self.notes:
            first_note = shorten(self.notes[0], 70, placeholder=" ...")
            lines.append(f"  {counted(len(self.notes), 'note')}: {first_note}")
        lines.append('  next: result.predictions, savs.save_evaluation(result, "DIR")')
        return "\n".join(lines)

    @property
    def target(self) -> Target:
        """What labels are."""
        return self.selection.target if self.selection else target_named(ONE)

    @property
    def measured_of(self) -> str:
        """Whose values these are, as the end of a phrase; nothing for the final classifier."""
        if self.train_shares is None:
            return ""
        return f" of classifiers of {of_shares(*self.train_shares)} of the examples"

    @property
    def readout(self) -> str:
        """Name of the rule that made the predictions."""
        return self.selection.readout if self.selection else self.rule

    @property
    def point(self) -> Point:
        """What was measured, as a point of a sweep is."""
        chosen = self.selection
        heads = chosen.head_count if chosen else 0
        return Point(None, self.readout, heads, max_layer=chosen.max_layer if chosen else None)

    @property
    def predictions(self) -> pl.DataFrame:
        """All of the table, made anew each time. An example's votes take 24 bytes a class."""
        return self.table.collect()

    @property
    def examples(self) -> int:
        """Rows of the table: the planned ones, but for those left out."""
        return int(self.table.select(pl.len()).collect().item())

    def to_json(self) -> dict[str, Any]:
        """Return the form that metrics.json holds."""
        chosen, examples = self.selection, self.examples
        leaking = self.table.filter(pl.col("leak").is_not_null()).select("id", "leak").collect()
        return {
            "benchmark": self.benchmark,
            "model": dict(self.model),
            "readout": self.readout,
            "scoring": chosen.scoring if chosen else None,
            "heads": self.point.heads,
            "planned": self.planned,
            "scored": examples - self.skipped,
            "skipped": self.skipped,
            "left_out": self.planned - examples,
            "leaks": {
                kind: leaking.filter(pl.col("leak") == kind)["id"].to_list()
                for kind in (REPEATED, SHARED)
            },
            "folds": self.folds,
            "train_shares": self.train_shares and list(self.train_shares),
            "metrics": [metric.to_json() for metric in self.metrics],
            "cost": dict(self.cost),
            "confidence": [part.to_json() for part in self.confidence],
            **{name: table.to_dicts() for name, table in self.tables.items()},
            "notes": list(self.notes),
        }


def assess(
    store: FeatureStore,
    predictor: Predictor,
    benchmark: Benchmark,
    *,
    drop_leaks: bool = False,
    risk: float | None = None,
) -> Evaluation:
    """Measure a predictor of test examples. A skipped example counts as wrong.

    `benchmark` is that of the store, whose metrics are taken; `drop_leaks` leaves out test examples
    that training has seen, with their whole groups; `risk` is that of the predictor's sets.
    LeakError if nothing would be left, StoreCorruptError if some examples have a label and some
    have none.
    """
    whole, classes = packed_predictions(store, predictor), predictor.classes
    notes = predictor.notes(whole)
    labels = whole.select("label").collect()["label"]
    store.require_labels("test", labels.to_frame())
    if 0 < labels.null_count() < len(labels):
        some = f"{labels.count():,} of {len(labels):,} test examples have a label"
        notes.append(f"{some}; the others are left out")
        whole = whole.filter(pl.col("label").is_not_null())
    # names count only where digests are unknown: the others would take memory
    names = pl.when(pl.col("media_sha256").list.len() == 0).then("media").otherwise([])
    examples = whole.select("id", "group", "prompt", "media_sha256", media=names).collect()
    is_kept, marks, leak_notes = mark_leaks(store, examples, drop_leaks=drop_leaks)
    whole = whole if is_kept is None else whole.filter(pl.lit(is_kept))
    table = pl.concat([whole, packed(marks)], how="horizontal")
    target = predictor.target
    of_rows = table.select(
        examples=pl.len(),
        labels=pl.col("label").count(),
        skipped=pl.col("prediction").null_count(),
        clusters=pl.col("cluster").hash().n_unique(),  # texts would take more memory
    )
    counts = of_rows.collect().row(0, named=True)
    prompts = stored_prompts(store.benchmark)
    how = Measuring(metrics=partial(compute_metrics, benchmark), prompts=prompts, risk=risk)
    measured = target.measure(table, predictor.selection, classes, how)
    notes += [*leak_notes, *measured.notes]
    if not counts["labels"]:
        notes.append("the test examples have no labels, so there are predictions but no metrics")
    if counts["skipped"]:
        what = ("was skipped at extraction; it counts", "were skipped at extraction; they count")
        skipped = counted_as(counts["skipped"], "test example", *what)
        notes.append(f"{skipped} {target.skipped_as}")
    if counts["clusters"] < FEW_CLUSTERS < counts["examples"]:
        notes.append(
            "examples that share an image or a group form a cluster; with"
            f" {counts['clusters']} clusters, intervals are wide, and with one there are none"
        )
    return evaluation_of(
        store,
        measured,
        how,
        notes,
        selection=predictor.selection,
        planned=len(store.ids("test")),
        skipped=counts["skipped"],
        rule=predictor.rule,
        submission=make_submission(benchmark, measured.table),
        cost=predictor.cost(),
    )


def evaluation_of(
    store: FeatureStore, measured: Measured, how: Measuring, notes: Sequence[str], **facts: Any
) -> Evaluation:
    """Return the evaluation of measured predictions; `facts` are other fields of it."""
    identity = store.manifest.identity
    return Evaluation(
        metrics=summarise_all(measured.units, inflation=how.inflation),
        units=tuple(measured.units),
        table=measured.table,
        model=dict(identity.model),
        notes=tuple(
            dict.fromkeys([*notes, *(note for unit in measured.units for note in unit.notes)])
        ),
        confidence=measured.confidence,
        benchmark=str(identity.benchmark["name"]),
        inflation=how.inflation,
        tables=measured.tables,
        **facts,
    )


def mark_leaks(
    store: FeatureStore, examples: pl.DataFrame, *, drop_leaks: bool
) -> tuple[pl.Series | None, pl.DataFrame, list[str]]:
    """Return flags of the test examples that are kept, what marks these, and notes on leaks.

    Marks are the columns `leak`, `cluster` and `content`. The flags are None if all are kept.
    LeakError if none would be.
    """
    is_unseen = None
    has_train = "train" in store.splits
    train = store.examples("train") if has_train else store.examples("test").clear()
    leaks = find_leaks(train, examples)
    kinds, notes = leaks.kinds, leaks.summary()
    if not has_train:
        notes.append("the store has no training examples, so leaks were not looked for")
    if drop_leaks:
        is_unseen = ~leaks.dropped()
        if not is_unseen.any():
            raise LeakError(
                f"all {len(is_unseen)} test examples share an image with training, or are in a"
                " group with one that does; omit `drop_leaks`, or use other training examples"
            )
        examples, kinds = examples.filter(is_unseen), kinds.filter(is_unseen)
        notes.append(
            counted_as(int((~is_unseen).sum()), "test example", "was", "were")
            + " left out (`drop_leaks`)"
        )
    marks = [kinds.alias("leak"), clusters_of(examples), content_of(examples)]
    return is_unseen, pl.DataFrame(marks), notes


def content_of(examples: pl.DataFrame) -> pl.Series:
    """Return a digest of each example's media, null if it has none or they are not known."""
    nothing = pl.Series("content", [], dtype=pl.String)
    digests = [
        pl.Series(
            "content",
            [
                digest(list(media))[:16] if media else None
                for media in part["media_sha256"].to_list()
            ],
            dtype=pl.String,
        )
        for part in examples.select("media_sha256").iter_slices(SLICE)
    ]
    return pl.concat([nothing, *digests])


FEW_CLUSTERS = 10
"""With fewer clusters than this, a note says so."""


def partial_notes(store: FeatureStore) -> list[str]:
    """Return a note for each split of a partial store that has missing shards."""
    notes = []
    for split in store.splits:
        missing = store.missing(split)
        if missing:
            rows = sum(store.planned_rows(spec, split) for spec in missing)
            names = first_few((spec.name for spec in missing), 3)
            total = len(store.ids(split))
            notes.append(
                f"partial: {rows:,} of {total:,} {split} examples are not extracted yet ({names})"
            )
    return notes
