"""Training examples, in a store or in memory: all that heads are chosen and readouts fitted by.

`StoredTraining` reads the train split of a store, `TrainingArrays` has the features of one task in
memory. Both have the same properties and methods: `TrainingData` is either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import polars as pl

from savs.datasets.asked import asked_questions, written_answers
from savs.datasets.benchmarks.options import stored_prompts, without_prompt
from savs.datasets.example import of_subtask
from savs.datasets.splits.clusters import clusters_of
from savs.foundation.arrays import Array
from savs.foundation.errors import command
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.centroids import normalise
from savs.pipeline.names import IMPORTED
from savs.pipeline.readouts.readout import ClassTexts
from savs.pipeline.running.formatting import counted
from savs.pipeline.targets import Target, labels_of, target_of
from savs.pipeline.targets.stored_answers import ANSWERS, with_answers
from savs.pipeline.targets.target import check_classes, prompt_of
from savs.pipeline.targets.tasks import TaskConfig, TrainingRows, TrainingTask
from savs.stores import ANSWERS_HEAD, FeatureStore, Head, HeadNotFoundError
from savs.stores.format.layout import (
    CAPTIONS,
    CLASSES,
    LOGIT_SCALE,
    UNLABELLED,
    digest,
    grid_widths,
    is_held,
    is_neuron,
    pick,
)
from savs.stores.format.manifest import FeatureSource, Manifest
from savs.stores.read.store import AnyStore, as_store

NO_EXAMPLES = "no training examples"
"""Instead of a digest, of a store without any."""
LABELS = "labels "
"""Before the digest of labels that came after the features."""
_WITHOUT = " without "
PSEUDO_LABELS = " pseudo-labels "
"""Before the probability that the model's own answers had, which were the labels."""
MEMORY = 2**28
"""Bytes of chosen features that several tasks have in memory at a time, or those of one task."""
READ = 2**26
"""Bytes of features that are read at a time."""


@dataclass(frozen=True, slots=True)
class StoredTraining:
    """The train split of a store. Rows are numbered in one order everywhere."""

    store: FeatureStore

    @property
    def name(self) -> str:
        """What messages call it: the path of the store."""
        return str(self.store.path)

    @property
    def source(self) -> FeatureSource:
        """Model, processor and prompt form of the features, with the grid of all heads."""
        return self.store.manifest.identity.source()

    @property
    def train(self) -> str:
        """Digest of the examples, which a selection keeps."""
        return train_digest(self.store)

    @property
    def count(self) -> int:
        """How many rows there are at most: the planned examples."""
        return len(self.store.ids("train"))

    @property
    def target(self) -> Target:
        """What labels are."""
        return target_of(self.store.benchmark)

    def order(self) -> Array:
        """Return `(rows,)` indices of the rows in the order of their ids, see `id_order`."""
        return id_order(self.store.examples("train")["id"])

    def tasks(self, *, named: bool = False) -> list[TrainingTask]:
        """Return what is to be learned; if `named`, classes that have texts alone will do.

        SelectionError without examples, or as in `Target.tasks`.
        """
        store, has_examples = self.store, bool(self.store.ids("train"))
        if named and not has_examples and (asked := asked_questions(store.benchmark)):
            tested = store.examples()
            return [_without_examples(one.subtask, one.answers, tested) for one in asked]
        if "train" in store.splits and not has_examples and CLASSES in store.splits:
            if named:
                return _named_tasks(store)
            raise SelectionError(
                f"{store.path} has no training examples, only the names of its classes; add some"
                " with savs extract --append --train FILE, or use `savs select --readout clip` or"
                " hec-t"
            )
        _require_training(store)
        return self.target.tasks(self._rows())

    def _rows(self) -> TrainingRows:
        """Return the examples: labels in the order of the train file, or by id if they came later.

        Readable ones are in the order of ids, see `id_order`.
        """
        store, facts = self.store, self.store.benchmark
        labels = labels_of(facts)
        usable = store.examples("train").with_row_index("row")
        skipped = store.skipped("train")
        planned = store.in_order("train", pl.concat([usable, skipped], how="diagonal"))
        several = bool(stored_prompts(facts))
        if store.manifest.labels:
            planned = planned[id_order(planned["id"], with_prompts=several)]
        readable = planned.filter(pl.col("row").is_not_null())
        return TrainingRows(
            name=str(store.path),
            planned=planned,
            readable=readable[id_order(readable["id"], with_prompts=several)],
            names=tuple(labels.kind.columns(labels.form)),
            options=labels.form.get("options", ()),
            clusters=lambda examples: clusters_of(examples).to_list(),
        )

    def clusters(self) -> list[str]:
        """Return the cluster of each row: examples that share an image or a group share one.

        They are never separated.
        """
        return clusters_of(self.store.examples("train")).to_list()

    def widths(self, heads: Sequence[Head]) -> list[int]:
        """Return the width of each head; HeadNotFoundError if it does not hold one."""
        return self.store.widths(heads)

    def features(self, heads: Sequence[Head]) -> Array:
        """Return `(heads, rows, d)` float32; heads narrower than the widest are padded with 0."""
        return self.store.features("train", heads)

    def texts(self, kinds: Sequence[str], task: TrainingTask, heads: Sequence[Head]) -> ClassTexts:
        """Return the texts of a task's classes.

        SelectionError if the store has no texts, none of these kinds, or not of each class.
        """
        store, rows = self.store, _rows(self.store, kinds, task.subtask)
        units = normalise(store.features(CLASSES, heads)).astype(np.float64)
        means = []
        for label in task.classes:
            of_class = rows.filter(label=label)["row"].to_numpy()
            if not len(of_class):
                raise SelectionError(
                    f"{store.path} has no text of class {label!r}{of_subtask(task.subtask)} of"
                    f" the kind {rows['category'][0]}; extract again with --classes, and look at"
                    " the skipped texts in `savs show`, or import it with the others"
                )
            means.append(units[:, of_class].mean(axis=1))
        directions = normalise(np.stack(means, axis=1).astype(np.float32))
        return ClassTexts(directions, store.manifest.identity.model.get(LOGIT_SCALE))

    @property
    def has_answers(self) -> bool:
        """Whether the store keeps what the model says of each class."""
        return all(all(self.written(task).values()) for task in self.tasks())

    def with_answers(self) -> "StoredTraining":
        """Return the same with the model's own answers as one more head."""
        if self.store.answers is not None:
            return self
        texts = {task.subtask: self.written(task) for task in self.tasks(named=True)}
        return replace(self, store=with_answers(self.store, texts))

    def written(self, task: TrainingTask) -> dict[str, tuple[int, ...]]:
        """Return what the model would write for each class -> its tokens; none if not asked."""
        texts = written_answers(self.store.benchmark, {task.subtask: task.classes})[task.subtask]
        known = self.store.manifest.identity.outputs.get(ANSWERS, {})
        return {text: tuple(known.get(text, ())) for text in texts}

    def under_prompts(self, task: TrainingTask, scoring: str) -> list[TrainingTask]:
        """Return the examples of a task under each prompt that all examples have.

        Examples that were skipped under one prompt are left out of all. SelectionError, for the
        `scoring`, without several prompts.
        """
        # an example has the same id under each prompt but for the number of the prompt
        prompts = stored_prompts(self.store.benchmark)
        if not prompts:
            raise _one_prompt(self.name, scoring)
        examples = self.store.examples("train")
        names, subtasks = without_prompt(examples["id"]).to_list(), examples["subtask"].to_list()
        row_of = {key: row for row, key in enumerate(zip(names, subtasks, strict=True))}
        rows = [[row_of.get((names[row], prompt)) for row in task.rows] for prompt in prompts]
        everywhere = np.array([None not in column for column in zip(*rows, strict=True)], bool)
        common = task.part(everywhere)
        return [
            replace(common, rows=np.array(prompt_rows)[everywhere].astype(np.int64))
            for prompt_rows in rows
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingArrays:
    """The training examples of one task, or of many labels, in memory; see `StoredTraining`."""

    source: FeatureSource
    values: Array
    """`(heads, n, d)` float32, heads in the order of the grid, padded with zeros."""
    labels: Sequence[str]
    """The text of each label, as a store has it."""
    names: tuple[str, ...] = ()
    """Classes or labels in their order; others follow in order of first appearance."""
    ids: Sequence[str]
    """For each example a name of its content: equal ones are one cluster."""
    target: Target
    """What labels are."""
    question: str | None = None
    media: int | None = None

    @property
    def name(self) -> str:
        """What they are."""
        return "the training data in memory"

    @property
    def count(self) -> int:
        """Their number."""
        return len(self.labels)

    @property
    def train(self) -> str:
        """Digest of contents and labels."""
        return digest([list(pair) for pair in zip(self.ids, self.labels, strict=True)])

    def order(self) -> Array:
        """They stay as they are."""
        return np.arange(self.count)

    def tasks(self, *, named: bool = False) -> list[TrainingTask]:
        """Return what is to be learned; errors as in `Target.tasks`."""
        media = None if self.media is None else [""] * self.media
        examples = pl.DataFrame({"id": self.ids, "label": self.labels}).with_columns(
            pl.lit(None, pl.String).alias("subtask"),
            pl.lit(self.question, pl.String).alias("prompt"),
            pl.lit(media, pl.List(pl.String)).alias("media"),
        )
        examples = examples.with_row_index("row")
        return self.target.tasks(TrainingRows(self.name, examples, examples, self.names))

    def clusters(self) -> list[str]:
        """Examples of equal content share a cluster."""
        return list(self.ids)

    def widths(self, heads: Sequence[Head]) -> list[int]:
        """Look them up in the grid."""
        widths = grid_widths(self.source.grid)
        if absent := [head for head in heads if not is_held(head, widths)]:
            raise HeadNotFoundError(
                f"{self.name} has no head {absent[0]}, only {len(widths)} others"
            )
        return [1 if is_neuron(head) else widths[head] for head in heads]

    def features(self, heads: Sequence[Head]) -> Array:
        """Return those of the values; of neighbouring heads as a view."""
        width = max(self.widths(heads))
        held = [*grid_widths(self.source.grid)]
        if any(map(is_neuron, heads)):
            return pick(self.values, held, heads)[:, :, :width]
        index = {head: number for number, head in enumerate(held)}
        numbers = [index[head] for head in heads]
        first, last = numbers[0], numbers[-1] + 1
        if numbers == list(range(first, last)):
            return self.values[first:last, :, :width]
        return self.values[numbers, :, :width]

    def texts(self, kinds: Sequence[str], task: TrainingTask, heads: Sequence[Head]) -> ClassTexts:
        """Raise SelectionError: there are none."""
        raise SelectionError(
            "this readout compares images with the names of classes, which a store has: extract"
            " with --classes labels, and use savs select"
        )

    has_answers: ClassVar[bool] = False

    def with_answers(self) -> "TrainingArrays":
        """Raise SelectionError: there are none."""
        raise SelectionError(
            f"{self.name} has no answers of the model; extract a store with `answers` labels, and"
            " select from it"
        )

    def written(self, task: TrainingTask) -> dict[str, tuple[int, ...]]:
        """Return nothing: no model wrote."""
        return {}

    def under_prompts(self, task: TrainingTask, scoring: str) -> list[TrainingTask]:
        """Raise SelectionError: there is one."""
        raise _one_prompt(self.name, scoring)


def _one_prompt(name: str, scoring: str) -> SelectionError:
    return SelectionError(
        f"{name} has one prompt for each example, but {scoring} scoring compares several; run"
        " `savs extract` with --question for each prompt, or use another `scoring`"
    )


TrainingData = StoredTraining | TrainingArrays
Training = AnyStore | TrainingData
"""What `select` and `calibrate` take."""


def training_of(
    training: Training, target: Target | None = None, selected: Sequence[TaskConfig] = ()
) -> TrainingData:
    """Return the training data of an argument: a store's train split, or what is one already.

    `target` is what labels are to be, where it is known; `selected` see `Target.of_store`: if they
    have `ANSWERS_HEAD`, so has the result. ParameterError if it is neither, but the path of a
    store, for example.
    """
    if isinstance(training, StoredTraining | TrainingArrays):
        data = training
    else:
        store = as_store(training)
        data = StoredTraining(store if target is None else target.of_store(store, selected))
    return data.with_answers() if reads_answers(selected) else data


def reads_answers(selected: Sequence[TaskConfig]) -> bool:
    """Return whether tasks have the model's own answers among their heads."""
    return any(ANSWERS_HEAD in task.heads for task in selected)


def train_digest(store: FeatureStore) -> str:
    """Return the digest of the training examples that have features; `NO_EXAMPLES` for none."""
    if "train" not in store.splits:
        return NO_EXAMPLES
    parts = [*segment_digests(store.manifest), *labels_digest(store.manifest)]
    planned, skipped = "+".join(parts), store.skipped("train")["id"].to_list()
    return f"{planned}{_WITHOUT}{digest(skipped)}" if skipped else planned or NO_EXAMPLES


def segment_digests(manifest: Manifest) -> list[str]:
    """Return the digest of each segment of planned training examples."""
    plan = manifest.plan.splits.get("train")
    return [] if plan is None else [segment.digest for segment in plan.segments]


def labels_digest(manifest: Manifest) -> list[str]:
    """Return a digest of what came since and changes the training examples; none if nothing.

    Labels do, and sources that were given again.
    """
    changes = [
        [planned_in, name, *(row.get(column) for column in ("label", "split", "group"))]
        for planned_in, rows in manifest.changes.items()
        for name, row in rows.items()
        if "train" in (planned_in, row["split"])
    ]
    return [LABELS + digest(sorted(changes, key=str))] if changes else []


def examples_digest(train: str) -> str:
    """Return the digest of examples whose labels were, or were not, the model's own answers."""
    return train.partition(PSEUDO_LABELS)[0]


def answered_share(train: str) -> float | None:
    """Return the least probability of the model's own answers, if those were the labels."""
    share = train.partition(PSEUDO_LABELS)[2]
    return float(share) if share else None


def split_digest(train: str) -> tuple[list[str], list[str]]:
    """Return the digests of segments, and that of labels, which a `train_digest` is made of."""
    parts = examples_digest(train).partition(_WITHOUT)[0].split("+")
    labels = [part for part in parts if part.startswith(LABELS)]
    return [part for part in parts if part not in labels], labels


def id_order(ids: pl.Series, *, with_prompts: bool = False) -> Array:
    """Return the indices of ids in their order: paths folder by folder, numbers at the end by size.

    An example that got its label later stands last in a store. By its id it takes the place that it
    has in a store that was labelled at once, so that folds are the same. Ids that savs gives to
    rows of a file, or to files in a folder, are in this order already. Ids `with_prompts` end with
    the number of their prompt, which counts last.

    >>> id_order(pl.Series(["b/1.png", "train:10", "train:9", "b-/1.png"])).tolist()
    [0, 3, 2, 1]
    """
    names = without_prompt(ids) if with_prompts else ids
    start = names.str.strip_chars_end("0123456789")
    number = names.str.slice(start.str.len_chars()).str.strip_chars_start("0")
    folders = start.str.replace_all("/", "\0", literal=True)
    keys = pl.DataFrame({"start": folders, "digits": number.str.len_bytes(), "number": number})
    keys = keys.with_columns(id=ids)
    return keys.select(pl.arg_sort_by("start", "digits", "number", "id")).to_series().to_numpy()


_BY_ITSELF = (
    "; or take the model's surest answers as labels, as CALM does (arXiv 2602.07077), savs select"
    " {store} --target pseudo-labels:0.875: how good that is, nothing here has measured"
)


def _require_training(store: FeatureStore) -> None:
    if "train" in store.splits and not store.ids("train"):
        if waiting := len(store.ids(UNLABELLED)):
            raise SelectionError(
                f"{store.path} has {counted(waiting, 'example')} without a label, and none with"
                f" one; label some ({command('savs', 'suggest', store.path, '--out', 'next.html')},"
                f" then savs label), and run {command('savs', 'train', store.path)}"
                + (_BY_ITSELF.format(store=store.path) if asked_questions(store.benchmark) else "")
            )
        raise SelectionError(
            f"{store.path} has no training examples: `savs classify` made it, by the heads of a"
            " classifier; select from the store of that one"
        )


def _named_tasks(store: FeatureStore) -> list[TrainingTask]:
    """Return the classes that have texts by subtask, without training examples."""
    tasks, tested = [], store.examples("test")
    for (subtask,), part in store.examples(CLASSES).group_by("subtask", maintain_order=True):
        name = None if subtask is None else str(subtask)
        classes = tuple(part["label"].unique(maintain_order=True))
        check_classes(name, classes, set(classes))
        tasks.append(_without_examples(name, classes, tested))
    return tasks


def _without_examples(
    subtask: str | None, classes: tuple[str, ...], tested: pl.DataFrame
) -> TrainingTask:
    """Return a task without training examples; its prompt is that of the examples of a subtask."""
    question, media = prompt_of(tested.filter(pl.col("subtask").eq_missing(pl.lit(subtask))))
    nothing = np.zeros(0, np.int64)
    return TrainingTask(subtask, classes, nothing, nothing, question, media)


def text_arguments(
    training: TrainingData, kinds: Sequence[str], task: TrainingTask, heads: Sequence[Head]
) -> dict[str, ClassTexts]:
    """Return `texts`, the class texts of one of some kinds; nothing if no kind is wanted."""
    return {"texts": training.texts(kinds, task, heads)} if kinds else {}


def count_texts(
    store: FeatureStore, kinds: Sequence[str], subtask: str | None, classes: Sequence[str]
) -> int | None:
    """Return how many texts `StoredTraining.texts` reads of some classes; None without any."""
    try:
        rows = _rows(store, kinds, subtask)
    except SelectionError:
        return None
    return rows.filter(pl.col("label").is_in(list(classes))).height


def _rows(store: FeatureStore, kinds: Sequence[str], subtask: str | None) -> pl.DataFrame:
    """Return the texts of a subtask, of the first kind that the store has, with their `row`."""
    where, splits = of_subtask(subtask), store.splits
    is_imported = store.manifest.identity.model.get("class") == IMPORTED
    rows = store.examples(CLASSES) if CLASSES in splits else None
    if rows is not None:
        rows = rows.with_row_index("row")
        rows = rows.filter(pl.col("subtask").eq_missing(pl.lit(subtask)))
    if rows is None or rows.is_empty():
        remedy = (
            "its prompts are captions, which `savs evaluate --readout clip` compares with"
            if CAPTIONS in splits
            else f"import rows of the split {CLASSES!r}"
            if is_imported
            else "extract with --classes labels"
        )
        raise SelectionError(
            f"{store.path} has no texts of the classes{where}, which this readout needs; {remedy}"
        )
    stored = rows["category"].unique().to_list()
    kind = next((kind for kind in kinds if kind in stored), None)
    if kind is None:
        other = "" if is_imported else ", or extract with a dual encoder"
        raise SelectionError(
            f"{store.path} has no texts of the classes{where} of the kind that this readout needs"
            f" ({' or '.join(kinds)}), only {', '.join(sorted(map(str, stored)))}; use another"
            f" readout{other}"
        )
    return rows.filter(category=kind)


def chosen_features(
    training: TrainingData, wanted: Sequence[tuple[Sequence[Head], Array]]
) -> list[Array]:
    """Return some heads of some training examples, for each pair of heads and `(rows,)` indices.

    Each array is `(heads, rows, d)` float32, `d` the width of the pair's widest head. Each head is
    read once; memory holds `READ` bytes of all examples next to the result.
    """
    results = [
        np.zeros((len(heads), len(rows), max(training.widths(heads))), np.float32)
        for heads, rows in wanted
    ]
    needed = sorted({head for heads, _ in wanted for head in heads})
    step = max(1, READ // (4 * max(1, training.count) * max(training.widths(needed))))
    for start in range(0, len(needed), step):
        block = needed[start : start + step]
        features = training.features(block)
        for (heads, rows), result in zip(wanted, results, strict=True):
            for number, head in enumerate(heads):
                if head in block:
                    values = features[block.index(head), :, : result.shape[2]]
                    result[number, :, : values.shape[1]] = values[rows]
    return results


def chosen_in_parts(
    training: TrainingData, wanted: Sequence[tuple[Sequence[Head], Array]]
) -> Iterator[Array]:
    """Yield the same one after the other, `MEMORY` bytes of them at a time."""
    part: list[tuple[Sequence[Head], Array]] = []
    size = 0
    for heads, rows in wanted:
        more = 4 * len(heads) * len(rows) * max(training.widths(heads))
        if part and size + more > MEMORY:
            yield from chosen_features(training, part)
            part, size = [], 0
        part.append((heads, rows))
        size += more
    yield from chosen_features(training, part)


class RowsCopier:
    """Copies rows into the memory of the last copy, which is lost.

    The system clears new memory first, which takes longer than the copy.
    """

    def __init__(self) -> None:
        self._memory = np.empty(0, np.float32)

    def copy(self, features: Array, rows: Array, heads: Array | None = None) -> Array:
        """Return `(heads, rows, d)` of `(all heads, n, d)` float32 features, by indices.

        If all rows and heads are wanted in their order, those are `features` itself, not copied.
        """
        count, n, d = features.shape
        wanted = np.arange(count) if heads is None else heads
        if np.array_equal(wanted, np.arange(count)) and np.array_equal(rows, np.arange(n)):
            return features
        size = len(wanted) * len(rows) * d
        if self._memory.size < size:
            self._memory = np.empty(size, np.float32)
        copied = self._memory[:size].reshape(len(wanted), len(rows), d)
        for head, values in zip(wanted, copied, strict=True):  # faster than one index of both axes
            np.take(features[head], rows, axis=0, out=values, mode="clip")  # other modes buffer it
        return copied
