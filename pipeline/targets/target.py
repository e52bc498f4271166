"""What a label is, as all of stage 2 asks for it: the protocol of a target.

A target says what a fit learns (`tasks`), which examples are left out together (`folds`), what
left-out examples decide (`decide`), which columns predictions have (`columns`), and how they are
measured (`measure`). Its `kind` reads the labels of rows. It knows rows and scores, and nothing of
commands, of a store's files or of pages. Nobody else asks which kind a label is.
"""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from savs.datasets.example import of_subtask
from savs.datasets.metrics.metrics import Classes
from savs.datasets.rows.label_kinds import CLASS, OPTION, LabelKind
from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.foundation.frames import scan_parquet
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.centroids import lead
from savs.pipeline.heads.head_scores import HeadScores
from savs.pipeline.names import DEFAULT_READOUT, DEFAULT_SHOTS, DEFAULT_TRIED_READOUTS
from savs.pipeline.readouts import ClassScores, Fitted, Readout
from savs.pipeline.readouts.readout import Widths
from savs.pipeline.running.formatting import listed
from savs.pipeline.running.table import Column, Table
from savs.pipeline.statistics.intervals import Metric
from savs.pipeline.targets.calibration import are_counts, vote_shares
from savs.pipeline.targets.catalogue import TARGET, TARGETS
from savs.pipeline.targets.tables import Rows
from savs.pipeline.targets.tasks import (
    Decision,
    Features,
    Folds,
    LeftOut,
    Limit,
    Measured,
    Measuring,
    Run,
    Said,
    ScoredRows,
    Selected,
    Share,
    Shown,
    Tables,
    TaskConfig,
    Tasks,
    TaskScores,
    TaskSelection,
    TrainingRows,
    TrainingTask,
)
from savs.stores import FeatureStore, Head

Counts = Sequence[Mapping[str, int] | None]
"""Training examples of each class, of each task; None where they are not known."""
Cells = tuple[Sequence[str], list[list[Any]]]
"""Header and rows of a table."""
LEVEL = 1
"""Level of zstd, the fastest: tables are read again soon."""
SEEN = 512
"""Examples of its own fit that a readout classifies at most, for a decision."""


class Target(ABC):
    """A kind of label."""

    name: ClassVar[str]
    """In config.json."""
    kind: ClassVar[LabelKind] = CLASS
    """How rows spell labels, and what their text names."""
    noun: ClassVar[str]
    """What an example has: `one label`."""
    part: ClassVar[str] = "subtask"
    """What a task is."""
    decides: ClassVar[str]
    """The `kind` of its decisions."""
    decision: ClassVar[type[Decision]]
    """Their class, without arrays."""
    headline: ClassVar[str] = "accuracy"
    """What a classifier is measured by."""
    estimated_as: ClassVar[str] = "cross-validated (%)"
    """Heading of the estimates of tasks."""
    heading: ClassVar[str] = "Classes"
    """Of what a task learned."""
    kinds_of_task: ClassVar[bool] = True
    """Whether a task has several classes to count."""
    doubted: ClassVar[str] = "subtask"
    """Heading of what the label of a suspect is doubted in."""
    suspected_as: ClassVar[str] = "be of another class"
    """What others say of a suspect."""
    suspected_how: ClassVar[str] = (
        "the share of the right predictions that are not surer than this one"
    )
    """What the strength of a suspect is."""
    has_mean_over_data_sets: ClassVar[bool] = True
    """Whether headlines of different data sets have a mean: errors have units."""
    default_readout: ClassVar[str] = DEFAULT_READOUT
    default_scoring: ClassVar[str] = "resubstitution"
    tried_readouts: ClassVar[tuple[str, ...]] = DEFAULT_TRIED_READOUTS
    """What `savs train` chooses the readout from: these are fast."""
    compared_readouts: ClassVar[tuple[str, ...]] = ("vote", "lda", "neurons", "logistic")
    """What `savs compare STORE` measures, the simplest first, where a store has what it needs."""
    tried_with_answers: ClassVar[tuple[str, ...]] = ()
    """What it compares where a store keeps what the model says of each class; the last is taken.
    Empty where that is no answer."""
    tried_shots: ClassVar[tuple[int, ...]] = DEFAULT_SHOTS
    """Numbers of training examples that `savs sweep` measures, and all."""
    tasks_share_rows: ClassVar[bool] = False
    """Whether an example is in several tasks."""
    schema: ClassVar[Mapping[str, Any]]
    """Columns of predictions."""
    tables: ClassVar[Mapping[str, type]]
    """The tables of metrics.json, with what their rows are."""
    always: ClassVar[tuple[str, ...]] = ("id", "split", "correct", "cluster")
    """Columns of predictions that are never null."""
    new_schema: ClassVar[Mapping[str, Any]]
    """Columns of predictions of new images."""
    skipped_as: ClassVar[str] = "as wrong"
    """How a skipped example counts."""
    calibrated: ClassVar[str] = "probabilities are calibrated by left-out training examples"
    """What a fitted decision means for predictions."""
    uncalibrated: ClassVar[str] = "probability is only the share of the scores"
    """What a classifier without one means for them."""
    given_as: ClassVar[Literal["class", "marks", "number"]] = "class"
    """How a person labels an example: one of the classes, marks, or a number that is typed."""
    has_classes: ClassVar[bool] = True
    """Whether a prediction is one of the classes, and so whole without a decision of left-out
    examples. Where it is not, a sweep selects, calibrates and measures each draw as a store of its
    own."""
    heads_alone: ClassVar[tuple[str, str]] = (
        "by the nearest class mean, they classify",
        "of the training examples",
    )
    """What heads do alone, the stronger the more, and of what."""
    first_shown: ClassVar[tuple[str, str]] = (
        "the surest mistakes of each class first",
        "others, the least sure first",
    )
    """Which wrong examples `ranked` puts first, and which of the others."""
    is_filtered: ClassVar[bool] = True
    """Whether examples are found by their label."""
    is_standalone: ClassVar[bool] = False
    """Whether the program of a bundle, predict.py, predicts such labels as `said` does."""
    refused: ClassVar[Mapping[str, str]] = {}
    """What has no meaning for these labels -> what to use; the other uses have one."""

    def refusal(self, use: str, name: Any) -> str:
        """Return why a use has no meaning for these labels, which `name` has; empty if it has."""
        if use not in self.refused:
            return ""
        return f"{name} has {self.noun}, for which {use} does not work; {self.refused[use]}"

    def require(self, use: str, name: Any) -> None:
        """Raise SelectionError if a use has no meaning for these labels, which `name` has."""
        if reason := self.refusal(use, name):
            raise SelectionError(reason)

    def check(self, task: TaskConfig) -> None:
        """Raise ValueError unless a task has two classes or more, and a decision of this target."""
        if len(task.classes) < 2:
            raise ValueError("classes: expected at least 2")
        if task.decision is not None and task.decision.kind != self.decides:
            raise ValueError(f"decision: expected one of {self.decides}, got {task.decision.kind}")

    def result_name(self, readout: str) -> str:
        """Return the name of the result of a readout, a folder of its store."""
        return readout

    def of_store(self, store: FeatureStore, selected: Sequence[TaskConfig] = ()) -> FeatureStore:
        """Return a store with the labels that this target is about: its own, if no others.

        `selected` are the tasks of a selection that is used on it, if there is one. A target of an
        installed package is named with the labels, which do not tell it.
        """
        if self.name in TARGETS:
            return store
        facts = store.benchmark
        options = facts.get("options", {})
        form = {**(options.get(OPTION) or {}), TARGET: self.name}
        return store.with_benchmark({**facts, "options": {**options, OPTION: form}})

    def answer_kind(self, selected: Sequence[TaskConfig]) -> str | None:
        """Return which of the model's own answers new images need; None for none."""
        return None

    def answer_labels(self, selected: Sequence[TaskConfig]) -> list[tuple[str | None, str]]:
        """Return the labels, with their subtasks, that answers to new images are chosen among."""
        return []

    @abstractmethod
    def tasks(self, rows: TrainingRows) -> list[TrainingTask]:
        """Return what is to be learned; SelectionError if it cannot be."""

    def require_method(
        self, rule: Readout, scoring: str, name: str, *, joint_heads: bool, precision: float | None
    ) -> None:
        """Raise SelectionError or ParameterError if heads cannot be chosen so for these labels."""
        if joint_heads or precision is not None:
            wrong = "joint_heads" if joint_heads else "precision"
            raise ParameterError(
                f"`{wrong}` is for examples with many labels, and these have one each"
            )

    def score(
        self, rule: Readout, features: Array, task: TrainingTask, *given: Any, **texts: Any
    ) -> HeadScores:
        """Return the scores of heads each alone, from their `(heads, n, d)` features of a task.

        `given` and `texts` are the other arguments of `Readout.score_heads`.
        """
        return rule.score_heads(features, task.labels, task.classes, *given, **texts)

    def fit(
        self, rule: Readout, features: Array, task: TrainingTask, widths: Widths, **given: Any
    ) -> Fitted:
        """Return a readout fitted to the `(heads, n, d)` features of a task's chosen heads."""
        return rule.fit(features, task.labels, task.classes, widths, **given)

    scores_are_strengths: ClassVar[bool] = False
    """Whether scores of heads are strengths, whatever the readout and the scoring."""
    strength_of: ClassVar[tuple[str, str]] = ("classifies", "the training examples")
    """What a head does alone, as strong as it is, and to what."""
    share_of: ClassVar[str] = ""
    """What follows the share that a strength is."""

    @abstractmethod
    def folds(
        self, tasks: Tasks, clusters: Sequence[str], order: Array, folds: Folds, scoring: str
    ) -> list[dict[int, Array]]:
        """Return for each task the flags of its examples left out, by number of the fold.

        Examples of one of the `(rows,)` `clusters` stay together; `order` is that of rows by id.
        SelectionError if too few examples are independent.
        """

    def limit(self, task: TrainingTask, clusters: Sequence[str]) -> Limit:
        """Return what limits the number of folds of a task; `clusters` are those of all rows."""
        return Limit(None, len({clusters[int(row)] for row in task.rows}), len(task.rows))

    has_typicality: ClassVar[bool] = False
    """Whether a decision needs to know how typical examples are."""

    @abstractmethod
    def decide(
        self, selection: Selected, parts: Sequence[LeftOut], features: Features, rows: int
    ) -> list[Decision | None]:
        """Return the decision of each task, from its left-out examples; `rows` are those of all."""

    @abstractmethod
    def right(self, parts: Sequence[LeftOut]) -> float:
        """Return how good left-out predictions are, by which readouts are compared: 0 to 1."""

    def runs(self, selection: Selected, widths: Mapping[Head, int]) -> list[Run]:
        """Return what examples are scored by, one run for each subtask."""
        return [
            Run(
                task.subtask,
                task.heads,
                max(widths[head] for head in task.heads),
                task.classes,
                partial(TaskScores.of, task),
            )
            for task in selection.tasks
        ]

    @abstractmethod
    def columns(
        self, examples: pl.DataFrame, parts: Sequence[ScoredRows], risk: float | None
    ) -> Iterator[pl.DataFrame]:
        """Yield scored examples with their predictions."""

    @abstractmethod
    def sureness(self, run: Run, scores: Any) -> tuple[pl.Series, Array]:
        """Return predictions as text, and `(n, keys)` float32 of how sure each is.

        The first key is the margin, the others decide ties.
        """

    @abstractmethod
    def said(self, run: Run, scores: Any) -> list[Said]:
        """Return what a person reads of each example."""

    @abstractmethod
    def values(self, scores: Any) -> Array:
        """Return predictions: `(n,)` class numbers or numbers, or `(n, labels)` of 0 and 1."""

    def probabilities(self, scores: Any, readout: str) -> Array:
        """Return `(n, classes)` float64 in the order of `Run.classes`; SelectionError without."""
        raise SelectionError(self.refusal("a probability", "the classifier"))

    @abstractmethod
    def left_out(
        self, selection: Selected, examples: pl.DataFrame, parts: Sequence[LeftOut]
    ) -> pl.DataFrame:
        """Return left-out training examples with their predictions, as `columns` has them.

        What a decision adds in a fold comes from the other folds.
        """

    @abstractmethod
    def measure(
        self, table: pl.LazyFrame, selection: Selected | None, classes: Classes, how: Measuring
    ) -> Measured:
        """Return the metrics of predictions; without a label there are none."""

    def worded(self, tables: Mapping[str, Rows]) -> list[Table]:
        """Return tables, of `tables` by name, as people read them."""
        return []

    def estimates(
        self,
        metrics: Mapping[str, Metric],
        tables: Mapping[str, pl.DataFrame],
        subtasks: Sequence[str | None],
    ) -> dict[str | None, Metric]:
        """Return what is measured of each task, where it is known; `metrics` are by name."""
        if len(subtasks) == 1:
            return {subtasks[0]: metrics.get(self.headline, next(iter(metrics.values())))}
        known = {subtask: metrics.get(f"{self.headline}, {subtask}") for subtask in subtasks}
        return {subtask: metric for subtask, metric in known.items() if metric is not None}

    def ranked(self, predictions: pl.DataFrame, tables: Tables) -> pl.DataFrame:
        """Return examples with a prediction, with what a person is shown first.

        That is the greatest `margin` of the wrong ones, in `turn`, and the least of the others;
        `typicality` may be null. `tables` are those of metrics.json.
        """
        known = predictions.filter(pl.col("prediction").is_not_null())
        return known.with_columns(turn=pl.concat_str("subtask", "label", ignore_nulls=True))

    def shown(self, row: Mapping[str, Any], tables: Tables) -> Shown:
        """Return what a person reads of a row of `ranked`."""
        return Shown(
            labels=() if row["label"] is None else (row["label"],),
            predictions=(row["prediction"],),
            verdict="right" if row["correct"] else "wrong",
            shares=best_votes(
                row["votes"] or [],
                row["probability"],
                row.get("temperature"),
                in_shares=row.get("in_shares", False),
            ),
        )

    def of_one_task(self, ranked: pl.DataFrame, tables: Tables) -> pl.DataFrame:
        """Return examples as the one task of each that an explanation is about has them.

        `label` and `prediction` are classes of `subtask`, or texts of numbers.
        """
        return ranked

    def texts(self, task: TrainingTask, labels: Sequence[str]) -> list[str]:
        """Return what the label of each example of a task is; `labels` are those of the rows."""
        return [task.classes[number] for number in task.labels]

    def moves(
        self, task: TrainingTask, fitted: Fitted, train: Array, features: Array
    ) -> Array | None:
        """Return how far each head moves a number, `(heads,)`; None where heads vote.

        They sum to the number less the mean over the `(heads, n, d)` training features.
        `features` are the `(heads, d)` of an example.
        """
        return None

    def gives(self, selected: TaskSelection, scores: ClassScores, known: pl.DataFrame) -> bool:
        """Return whether scores give the predictions that are known of the same examples."""
        said = pl.Series([selected.classes[number] for number in scores.choice], dtype=pl.String)
        ahead = lead(scores.scores, scores.choice)
        margins = known["margin"].fill_null(np.nan)
        close = np.isclose(ahead, margins, rtol=1e-3, atol=1e-5)
        return bool(close.all()) and said.equals(known["prediction"])

    def contradicted(
        self, selection: Selected, predictions: pl.DataFrame
    ) -> Iterator[pl.DataFrame]:
        """Yield left-out examples whose label is contradicted, with `margin` and `strength`.

        `strength` is the share of the rightly predicted examples whose margin is not larger.
        """
        raise SelectionError(self.refusal("a list of suspects", "the selection"))

    def in_words(self, classes: Sequence[str]) -> str:
        """Return what a task is to tell apart."""
        return f"{len(classes):,} classes: {listed(classes)}"

    @abstractmethod
    def limits(self, selection: Selected, quoted: Callable[[str], str]) -> list[str]:
        """Return what a model card says of limits; `quoted` returns a name as a card has it."""

    def learned(self, decision: Decision | None) -> list[list[Any]]:
        """Return names and values of what a task without classes learned."""
        return []

    def learned_together(self, tasks: Sequence[TaskSelection], counts: Counts) -> Cells:
        """Return the header and the rows of a table of tasks that share rows."""
        return ("label", "examples"), [[task.subtask, task.examples] for task in tasks]

    def facts(self, decision: Decision | None) -> dict[str, Any]:
        """Return what `savs select --json` says of a decision."""
        return {"temperature": getattr(decision, "temperature", None)}

    def grouped(self, examples: pl.DataFrame) -> pl.DataFrame:
        """Return examples with the `label` that they are counted by; maybe several rows each."""
        return examples

    def given(self, label: str | Sequence[str], before: Sequence[str | None]) -> Any:
        """Return the label that a person gave to examples, as a file or a dictionary has it.

        It is what a page sends; examples had the labels `before`.
        """
        return label

    def wrong_name(self, name: str) -> str:
        """Return why no class can be called so; empty if one can."""
        return ""

    def range_of(self, predictions: Sequence[str]) -> str:
        """Return the different predictions of new images, in a line."""
        return listed(predictions)

    def levels(self, labels: pl.Series) -> list[str]:
        """Return all levels of a scale that examples have, ascending; nothing without a scale."""
        return []

    def named(self, label: str | None) -> list[str] | None:
        """Return the classes or labels that the label of an example names; None without one."""
        return None if label is None else [label]

    def unknown(self, label: str | None) -> list[str]:
        """Return the labels that are unknown of an example."""
        return []

    def can_measure(self, labels: pl.Series, tasks: Sequence[TrainingTask]) -> bool:
        """Return whether examples with these labels, maybe null, measure what tasks learn."""
        return labels.count() > 0

    def notes(self, selection: Selected) -> list[str]:
        """Return notes on decisions of a selection."""
        return []

    def risk_notes(self, selection: Selected, risk: float | None) -> list[str]:
        """Return what prediction sets of a risk cannot say; SelectionError if there can be none."""
        if risk is not None:
            self.require("a risk", "the selection")
        return []

    def of_new(self, table: pl.LazyFrame, selection: Selected) -> pl.LazyFrame:
        """Return predictions of new images, as a file of them has them: columns `new_schema`."""
        return in_schema(table, self.new_schema)

    new_cells: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    """Columns of predictions of new images that are lists -> what JSON has of them in a cell."""

    def predicted_labels(self, predictions: pl.DataFrame) -> pl.Series:
        """Return what was predicted of new images: a class each, or a label and more."""
        return predictions["prediction"]

    def counted(self, predictions: pl.DataFrame) -> Table:
        """Return how often each class, or label, was predicted of new images."""
        labels = self.predicted_labels(predictions).drop_nulls().alias("label")
        columns = [Column(self.counted_as, "label"), Column("examples", "count")]
        return Table(labels.value_counts(sort=True), columns)

    counted_as: ClassVar[str] = "prediction"
    """Heading of what is counted of new images."""

    def new_columns(self, predictions: pl.DataFrame) -> list[Column]:
        """Return columns of predictions of new images as people read them, after their ids."""
        return [Column("prediction", "prediction", is_text=True)]


MOST_VOTES = 4
"""Most classes of an example's votes."""


def best_votes(
    votes: Sequence[Mapping[str, Any]],
    probability: float | None = None,
    temperature: float | None = None,
    *,
    in_shares: bool = False,
) -> tuple[Share, ...]:
    """Return the classes with the most votes, from a prediction's `votes`; see `vote_shares`.

    A number of votes stays one, or is written as its share, `in_shares`.
    """
    is_vote = are_counts(votes)
    total = sum(vote["score"] for vote in votes)
    shares = vote_shares(votes, probability, None if is_vote else temperature)
    is_counted = is_vote and not in_shares
    return tuple(
        Share(
            vote["class"],
            share,
            f"{vote['score']:g} of {total:g}" if is_counted else f"{100 * share:.0f} %",
        )
        for vote, share in zip(votes[:MOST_VOTES], shares, strict=False)
        if vote["score"] > 0
    )


def strengths(margins: Array, right: Array) -> Array:
    """Return for each margin the share of the `right` ones that are not larger; 0 without any.

    >>> strengths(np.float32([3, 0]), np.float32([1, 2, 3, 4])).tolist()
    [0.75, 0.0]
    """
    return np.searchsorted(np.sort(right), margins, side="right") / max(len(right), 1)


def scores_of_seen(fitted: Fitted, features: Array) -> ClassScores:
    """Return the scores of every n-th example of a fit: `SEEN` at most, or all of fewer."""
    step = -(-features.shape[1] // SEEN)
    return fitted.scores(features[:, ::step])


def check_classes(subtask: str | None, classes: tuple[str, ...], usable: set[str]) -> None:
    """Raise SelectionError for a class without a usable example, or for one class alone."""
    where = of_subtask(subtask)
    for label in classes:
        if label not in usable:
            raise SelectionError(
                f"class {label!r}{where} has no training example left: all of them were skipped"
                " at extraction; `savs show` prints the reasons"
            )
    if len(classes) < 2:
        raise SelectionError(
            f"the training examples{where} have one class only, {next(iter(classes))!r};"
            " a classifier needs at least two: add examples of another class"
        )


def prompt_of(examples: pl.DataFrame) -> tuple[str | None, int | None]:
    """Return the prompt of all examples, and how many media each has; None where that differs."""
    columns = (examples["prompt"], examples["media"].list.len())
    question, media = (values[0] if values.n_unique() == 1 else None for values in columns)
    return question, media


def packed(predictions: pl.DataFrame) -> pl.LazyFrame:
    """Return predictions as Parquet in memory; a query reads only the columns that it names."""
    file = io.BytesIO()
    predictions.write_parquet(file, compression_level=LEVEL, statistics=False)
    return scan_parquet(file.getvalue())


def in_schema(frame: pl.LazyFrame, schema: Mapping[str, Any]) -> pl.LazyFrame:
    """Return a table with the columns of a schema alone, null if it has none."""
    there = frame.collect_schema()
    return frame.select(
        (pl.col(name) if name in there else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in schema.items()
    )
