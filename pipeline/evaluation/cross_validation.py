"""`evaluate` on folds: the accuracy to expect of a selection, from the training examples alone."""

from collections.abc import Sequence
from functools import partial

import polars as pl

from savs.datasets.benchmarks.class_folders import FOLDERS
from savs.datasets.benchmarks.options import prompt_accuracies, stored_prompts
from savs.datasets.example import of_subtask
from savs.datasets.metrics.metrics import Classes, Units, class_metrics, subtask_accuracies
from savs.datasets.splits.clusters import clusters_of
from savs.pipeline.evaluation.assessment import Evaluation, evaluation_of
from savs.pipeline.running.formatting import counted, of_shares
from savs.pipeline.selection.selection import Selection
from savs.pipeline.statistics.paired_tests import Difference, subtract
from savs.pipeline.targets.target import packed
from savs.pipeline.targets.tasks import LeftOut, Limit, Measuring
from savs.stores import FeatureStore

NOUNS = {benchmark.name: kind.noun for kind, benchmark in FOLDERS.items()}
"""What examples of a benchmark are called."""
INFLATION = 1.5
"""Variance of a cross-validated accuracy, in variances of as many independent examples.

The folds share most of their training examples, so that their errors go together, and no estimate
from the folds themselves is unbiased (Bengio and Grandvalet, JMLR 5, 2004); Nadeau and Bengio
(Machine Learning 52, 2003) correct repeated splits by a constant, too. Simulated selections of
heads, for five folds, have 1.3 to 1.9 (scripts/check_intervals.py). The interval is about other
training sets of as many examples as the folds' classifiers have, not the given one, nor all of its
examples."""


def train_shares(parts: Sequence[LeftOut]) -> tuple[float, float]:
    """Return the least and the greatest share of the examples that a fold's fit was made of."""
    least, greatest = zip(*(part.train_shares for part in parts), strict=True)
    return min(least), max(greatest)


def folds_note(store: FeatureStore, parts: Sequence[LeftOut]) -> str:
    """Return how examples were left out, why not in more folds, and what that estimates."""
    noun = NOUNS.get(store.benchmark["name"], "example")
    fewest = min(parts, key=lambda part: part.folds)
    counts = sorted({part.folds for part in parts})
    why = ""
    if fewest.limit is not None:
        differ = len({part.limit for part in parts}) > 1  # prompts, which share examples, do not
        why = f" ({_why(fewest.limit, fewest.task.subtask if differ else None, noun)})"
    return (
        f"estimated by {' or '.join(map(str, counts))}-fold cross-validation{why}: classifiers of"
        f" {of_shares(*train_shares(parts))} of the {noun}s. The final one uses all and is usually"
        " better"
    )


def _why(limit: Limit, subtask: str | None, noun: str) -> str:
    kind = noun if limit.independent == limit.examples else f"independent {noun}"
    count = counted(limit.independent, kind)
    if limit.label is None:
        return f"there are only {count}"
    return f"{limit.label!r}{of_subtask(subtask)} has only {count}"


def assess_left_out(
    store: FeatureStore, selection: Selection, parts: Sequence[LeftOut]
) -> Evaluation:
    """Measure the left-out predictions of a selection's training examples.

    Metrics are accuracies: a benchmark's own may need its whole test split. Examples that share an
    image or a group stay in one fold, so there are no leaks.
    """
    target = selection.target
    store = selection.seen(store)
    examples = store.examples("train").with_row_index("row")
    examples = examples.with_columns(clusters_of(examples).alias("cluster"))
    table = packed(target.left_out(selection, examples, parts))
    classes = {task.subtask: task.classes for task in selection.run_tasks}
    how = Measuring(metrics=partial(_measure, store), inflation=INFLATION)
    measured = target.measure(table, selection, classes, how)
    some = [part for part in parts if part.folds]
    notes = [folds_note(store, some), *target.notes(selection), *measured.notes]
    return evaluation_of(
        store,
        measured,
        how,
        notes,
        selection=selection,
        planned=len(store.ids("train")),
        skipped=0,
        folds=some[0].asked,
        train_shares=train_shares(some),
    )


def change_since(store: FeatureStore, before: Evaluation, after: Evaluation) -> Difference | None:
    """Return how far the headline moved from an earlier cross-validation to a later one.

    Both are measured on the examples, with their labels, that both have; None without any,
    or where the headline is about other labels.
    """
    selection = after.selection
    assert selection is not None
    keys, tables = ["id", "label"], [one.predictions.sort("id") for one in (before, after)]
    old, new = (
        one.join(other.select(keys), on=keys, how="semi", nulls_equal=True, maintain_order="left")
        for one, other in (tables, tables[::-1])
    )
    if not new.height or old.columns != new.columns:
        return None
    classes = {task.subtask: task.classes for task in selection.run_tasks}
    how = Measuring(metrics=partial(_measure, store), only_units=True)
    scores = [
        selection.target.measure(packed(table), selection, classes, how).units[0]
        for table in (old.with_columns(new["cluster"]), new)
    ]
    try:
        return subtract(*(one.scores for one in scores), scale=scores[0].scale)
    except ValueError:  # of other labels
        return None


def _measure(store: FeatureStore, table: pl.LazyFrame, classes: Classes) -> list[Units]:
    """Return accuracies, the headline first; of several prompts, those of each alone."""
    predictions = table.collect()
    if stored_prompts(store.benchmark):
        return prompt_accuracies(predictions, classes)
    units = class_metrics(predictions, classes)
    if len(classes) == 1:
        return units
    *single, macro = subtask_accuracies(predictions, classes)
    return [macro, *units, *single]
