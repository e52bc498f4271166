"""What a target works on: tasks of training examples, left-out examples, runs, and what they say.

`Target` in `target.py` is the protocol that takes and returns them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import numpy as np
import polars as pl
from msgspec import Meta

from savs.datasets.metrics.metrics import Classes, Units
from savs.foundation.arrays import Array
from savs.pipeline.readouts import ClassScores, Fitted, Readout
from savs.pipeline.readouts.heads_fit import Pool
from savs.pipeline.statistics.confidence import Confidence
from savs.stores import Head
from savs.stores.format.layout import Count, Text

Folds = int | Literal["loo"]
Tables = Mapping[str, Sequence[Mapping[str, Any]]]
"""Tables of metrics.json by name."""
Features = Callable[[], Iterable[Array]]
"""Yields the `(heads, n, d)` training features of each task."""
LARGEST = 1e38
"""Scores and margins are smaller: logits are float32."""
Number = Annotated[float, Meta(gt=-LARGEST, lt=LARGEST)]
EXAMPLE_SCHEMA = {
    "group": pl.String,
    "subtask": pl.String,
    "category": pl.String,
    "cluster": pl.String,
    "leak": pl.String,
    "content": pl.String,
    "media": pl.List(pl.String),
    "prompt": pl.String,
    "extra": pl.String,
}
"""Columns of all predictions, whatever the target: what is known of an example. `content` is a
digest of its media, null if it has none or was skipped; `media` are the names of its images and
videos; `extra` is a JSON object of the input's columns that the benchmark does not know."""


class Decision:
    """What left-out training examples say of a task's classifier, by the target of the task.

    Its fields but for arrays are what config.json holds; `kind` names it there.
    """

    kind: Any
    is_fitted: bool = True
    """Whether left-out examples made it: else it is what the training labels say alone."""

    def array_axes(self, rule: Readout) -> dict[str, tuple[str, ...]]:
        """Return the axes of its arrays, which classifier.safetensors holds."""
        return {}

    def without_arrays(self) -> "Decision":
        """Return what config.json holds."""
        return self

    def check_array(self, name: str, array: Array) -> None:
        """Raise ValueError if finite numbers of one of its arrays are not what they can be."""

    def with_arrays(self, arrays: Mapping[str, Array]) -> "Decision":
        """Return the decision with its arrays."""
        return self


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Training examples with their labels, from which a target makes tasks."""

    name: str
    """What messages call their source."""
    planned: pl.DataFrame
    """Columns `label` and `subtask`, in the order in which labels appear first; skipped examples,
    too."""
    readable: pl.DataFrame
    """The examples that have features, in the order of ids: columns `row`, `id`, `label`,
    `subtask`, `prompt` and `media`."""
    names: tuple[str, ...] = ()
    """Labels that are known without an example."""
    options: Sequence[tuple[str | None, Sequence[str]]] = ()
    """By subtask the labels that the model's own answers were chosen among; see `of_store`."""
    clusters: Callable[[pl.DataFrame], Sequence[str]] = field(
        default=lambda frame: frame["id"].to_list()
    )
    """Returns the cluster of each of some readable examples."""


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """The training examples that one fit learns from.

    That is a subtask, one of many labels, or all numbers. Tasks of labels share rows: each has
    those that say whether its label is there.
    """

    subtask: str | None
    """Its name; of many labels the label."""
    classes: tuple[str, ...]
    rows: Array
    """`(n,)` rows of the train split."""
    labels: Array
    """`(n,)` class numbers; of numbers standard deviations from their mean."""
    question: str | None
    """The prompt of all of them; None if they have several."""
    media: int | None
    """Media of each of their prompts; None if that differs."""
    decision: Decision | None = None
    """What is known before any example is left out."""
    clusters: Array | None = None
    """`(n,)` numbers of clusters, where a fit needs them."""

    @property
    def strata(self) -> Array:
        """`(n,)` numbers of what shots are counted of: classes; 0 where labels are numbers."""
        return self.labels if len(self.classes) > 1 else np.zeros(len(self.rows), np.int64)

    def part(self, chosen: Array) -> "TrainingTask":
        """Return the task with some of its examples: `(n,)` flags, or indices."""
        clusters = None if self.clusters is None else self.clusters[chosen]
        return replace(self, rows=self.rows[chosen], labels=self.labels[chosen], clusters=clusters)


Tasks = Sequence[TrainingTask]


@dataclass(frozen=True, slots=True)
class Limit:
    """What limits the number of folds: clusters stay whole, and each fold has all classes."""

    label: str | None
    """The class that has the fewest independent examples; None where all count."""
    independent: int
    """How many of its examples, or of all, share nothing."""
    examples: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The examples of a task, each classified by a selection of the other folds."""

    task: TrainingTask
    order: Array
    """`(n,)` indices of the task's examples, fold by fold: the order of all that follows."""
    scores: ClassScores
    typicality: Array
    """`(n,)` float32; empty if nothing is decided by it."""
    seen: ClassScores
    """Scores of `(m,)` examples that each fold's readout was fitted on; empty unless something is
    decided."""
    asked: Folds
    """How many folds were asked for."""
    folds: int
    """How many there are; 0 for a label with too few independent examples: none is left out."""
    train_shares: tuple[float, float]
    """Least and greatest share of the examples that a fold's selection was made of."""
    limit: Limit | None
    """Why there are fewer folds than were asked for; None if there are not."""
    fold: Array
    """`(n,)` number of the fold of each example."""
    by_turn: Mapping[int, ClassScores] = field(default_factory=dict)
    """Fold -> scores of all `(n,)` examples by the readout that was chosen in its turn; empty where
    all folds have one readout. `scores` has the fold's own part of each."""

    def in_turn(self, turn: int) -> "LeftOut":
        """Return the same, all of it classified by the readout of a fold.

        What a fold decides by the others is decided by this: margins of other readouts have other
        scales.
        """
        return replace(self, scores=self.by_turn.get(turn, self.scores))

    @property
    def labels(self) -> Array:
        """`(n,)` labels as the task has them."""
        return self.task.labels[self.order]

    @property
    def clusters(self) -> Array:
        """`(n,)` numbers of clusters, where the task has some."""
        assert self.task.clusters is not None
        return self.task.clusters[self.order]

    @property
    def rows(self) -> Array:
        """`(n,)` rows of the training data."""
        return self.task.rows[self.order]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskConfig:
    """The chosen heads of one subtask, or of one of many labels."""

    subtask: Text | None
    """None if the benchmark has no subtasks; of many labels the label."""
    classes: Annotated[tuple[Text, ...], Meta(min_length=1)]
    """In order of first appearance in the train file; of numbers a name for them alone."""
    written: Mapping[Text, tuple[int, ...]] = field(default_factory=dict)
    """Where the model's own answers are read: what it would write for each class -> the tokens."""
    heads: Annotated[tuple[Head, ...], Meta(min_length=1)]
    """Best first."""
    strengths: tuple[Number, ...]
    """Share of the training examples that each chosen head classifies alone, by its nearest class
    centroid, whatever the readout; of numbers the share of the variance that it explains. No
    estimate of performance."""
    scores: tuple[Number, ...]
    """What each head was chosen by, see `HeadScores`."""
    margins: tuple[Number, ...]
    """What decided between equal scores."""
    examples: Count
    question: str | None
    """The prompt of all training examples; None if they have several."""
    media: Count | None
    """Images and videos of each of their prompts; None if that differs."""
    pool: Pool | None
    """How the readout pools what heads say, see `HeadsFit`; None if it is no such fit."""
    decision: Decision | None = None
    """What left-out training examples say; None if they were not looked at."""

    def __post_init__(self) -> None:
        require_unique("classes", self.classes)
        require_unique("heads", self.heads)
        if any(len(v) != len(self.heads) for v in (self.strengths, self.scores, self.margins)):
            raise ValueError(
                f"expected {len(self.heads)} strengths, scores and margins, one for each head"
            )
        if 0 < self.examples < len(self.classes):
            raise ValueError(f"{len(self.classes)} classes have only {self.examples} examples")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSelection(TaskConfig):
    """The chosen heads of one subtask or label, and the classifier that they make."""

    fitted: Fitted = field(repr=False)
    """What the readout fitted on the chosen heads."""


def require_unique(what: str, values: Collection[Any]) -> None:
    """Raise ValueError if a value is there twice."""
    if len(set(values)) != len(values):
        raise ValueError(f"{what}: expected each once, got {values}")


class Selected(Protocol):
    """A selection, as far as a target needs to know it."""

    @property
    def tasks(self) -> Sequence[TaskSelection]:
        """One for each fit."""
        ...

    @property
    def heads(self) -> list[Head]:
        """Those of all tasks, each once."""
        ...

    @property
    def rule(self) -> Readout:
        """The readout."""
        ...

    @property
    def precision(self) -> float | None:
        """What thresholds were chosen for."""
        ...


@dataclass(frozen=True, slots=True)
class TaskScores:
    """What the fit of a subtask says of some examples."""

    task: TaskSelection
    features: Array
    """`(heads, n, d)`."""
    scores: ClassScores

    @classmethod
    def of(cls, task: TaskSelection, features: Array) -> "TaskScores":
        """Return the scores of features."""
        return cls(task, features, task.fitted.scores(features))


@dataclass(frozen=True, slots=True)
class Run:
    """What one example is scored by: the fit of its subtask, or those of all labels."""

    subtask: str | None
    heads: tuple[Head, ...]
    width: int
    """Of the widest of its heads."""
    classes: tuple[str, ...]
    """What probabilities belong to."""
    score: Callable[[Array], Any]
    """From `(heads, n, d)` features to scores, as `Target.columns` takes them."""


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Rows of a block, and what their run says."""

    run: Run
    rows: Array
    """`(n,)` numbers of rows."""
    scores: Any


@dataclass(frozen=True, slots=True)
class Said:
    """What a run says of one example, for a person."""

    prediction: str
    """Its text; empty of many labels."""
    labels: tuple[str, ...] | None = None
    """Of many labels the predicted ones, the likeliest first."""
    probabilities: Array | None = None
    """`(classes,)` of `Run.classes`; None of numbers."""
    atypical: bool | None = None
    """None without a calibration."""
    interval: tuple[str, str] | None = None
    """The ends of a number's interval."""
    inside: Callable[[float], tuple[str, ...]] | None = None
    """Risk -> the classes or labels of the set, the likeliest first; None without a calibration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Predictions with their metrics."""

    table: pl.LazyFrame
    """Columns `Target.schema`."""
    units: list[Units]
    """The headline first."""
    notes: list[str]
    """On labels that training lacks, and the like."""
    confidence: tuple[Confidence, ...] = ()
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """The tables of metrics.json, by their names there; nothing without a label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """How predictions are measured."""

    metrics: Callable[[pl.LazyFrame, Classes], list[Units]]
    """The metrics of a benchmark, of examples with one class."""
    prompts: Sequence[str] = ()
    """Those that each example is under; empty if rows have their own."""
    risk: float | None = None
    """That of prediction sets."""
    inflation: float = 1.0
    """Variance of means, in variances of independent clusters."""
    only_units: bool = False
    """Whether metrics are all that is needed: no intervals, and the table stays as it is."""


class Share(NamedTuple):
    """A class with its part of the votes, or its probability."""

    name: str
    share: float
    text: str
    """Number of votes, or probability in percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a person reads of an example with a prediction."""

    labels: tuple[str, ...]
    """Its label, or its many labels."""
    predictions: tuple[str, ...]
    """What was predicted, in the same form."""
    verdict: str
    """In a word; empty if nothing can be said."""
    missed: tuple[str, ...] = ()
    """Of many labels, those that the example has and were not predicted."""
    false: tuple[str, ...] = ()
    """Of many labels, those that were predicted and the example lacks."""
    are_several: bool = False
    """Whether an example may have several labels."""
    shares: tuple[Share, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
