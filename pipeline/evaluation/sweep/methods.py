"""Methods: a readout of a store, or the model's own answers, and what each predicts on all draws.

Readouts are fitted on each draw, captions get their thresholds of it, and the model's own answers,
which learn nothing from a draw, are level lines.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from savs.datasets import Benchmark, Units
from savs.datasets.splits.clusters import clusters_of
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import packed_predictions, with_skipped
from savs.pipeline.evaluation.captions import Captions, compares_captions
from savs.pipeline.evaluation.evaluation import SelectedHeads
from savs.pipeline.evaluation.own_answer import OwnAnswers
from savs.pipeline.evaluation.sweep.draws import DrawKey
from savs.pipeline.evaluation.sweep.passes import SweepPlan, sweep_readouts
from savs.pipeline.evaluation.sweep.shared_examples import Stores
from savs.pipeline.evaluation.trials import Point
from savs.pipeline.inputs.chosen_benchmark import stored_benchmark
from savs.pipeline.names import GENERATED, ICL, OWN_ANSWERS
from savs.pipeline.readouts import Readout, choose_readout
from savs.pipeline.readouts.answers import ALONE
from savs.pipeline.selection.left_out import calibrate
from savs.pipeline.selection.selection import Selection, choose_heads
from savs.pipeline.selection.training_data import (
    StoredTraining,
    TrainingArrays,
    TrainingTask,
    text_arguments,
)
from savs.pipeline.targets import target_of
from savs.pipeline.targets.stored_answers import ANSWERS
from savs.pipeline.targets.tasks import Measuring
from savs.stores import FeatureStore

NO_HEADS = 0
"""Number of heads of the model's own answers, and of captions."""
Rule = Readout | str
"""A readout, or the name of one of `OWN_ANSWERS`."""
Predicted = Iterator[tuple[list[tuple[Point, int]], pl.DataFrame]]
"""Points with the number of a draw, and the predictions that they have in common."""


@dataclass(frozen=True, slots=True)
class Method:
    """A readout of a store."""

    store: str
    rule: Rule
    is_fitted: bool
    """Whether the readout is fitted on heads alone: not captions, nor the model's own answers."""

    @property
    def readout(self) -> str:
        """Name of the readout."""
        return self.rule if isinstance(self.rule, str) else self.rule.name


def find_methods(
    stores: Stores,
    tasks: Mapping[str, Sequence[TrainingTask]],
    readouts: Sequence[str | Path | Readout],
) -> tuple[list[Method], list[str]]:
    """Return the methods in the order of the readouts, then of the stores; and what is left out.

    SelectionError if a readout is unknown, given twice, or possible in no store that it was asked
    of.
    """
    methods: list[Method] = []
    notes: list[str] = []
    for readout in readouts:
        names, text = _store_of(readout, stores)
        is_answer = isinstance(text, str) and text in OWN_ANSWERS
        rule: Rule = str(text) if is_answer else choose_readout(text, also=OWN_ANSWERS)
        name = rule if isinstance(rule, str) else rule.name
        lacking = {store: what_lacks(stores[store], tasks[store][0], rule) for store in names}
        able = [store for store, lack in lacking.items() if not lack]
        if not able:
            raise SelectionError(f"readout {name!r}: " + "; ".join(lacking.values()))
        notes += [f"{name} is left out: {lack}" for lack in lacking.values() if lack]
        for store in able:
            is_rule = isinstance(rule, Readout) and not rule.answers
            is_fitted = is_rule and not compares_captions(stores[store], rule)
            methods.append(Method(store, rule, is_fitted))
    require_names([f"{m.store}:{m.readout}" if len(stores) > 1 else m.readout for m in methods])
    return methods, notes


def require_names(names: Sequence[str]) -> None:
    """Raise SelectionError unless there is a readout to measure, and each has its own name."""
    if not names:
        raise SelectionError("no readout was given, expected at least one, such as vote")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SelectionError(f"two readouts are called {twice!r}; give each once, or rename one")


def _store_of(
    readout: str | Path | Readout, stores: Stores
) -> tuple[list[str], str | Path | Readout]:
    """Return the stores that a readout is asked of, and the readout."""
    prefix, mark, rest = readout.partition(":") if isinstance(readout, str) else ("", "", "")
    if mark and prefix in stores:
        return [prefix], rest
    if mark and not str(readout).endswith(".py"):
        raise SelectionError(
            f"readout {readout!r} belongs to a store {prefix!r}; the stores are called"
            f" {', '.join(stores)}"
        )
    return list(stores), readout


def what_lacks(store: FeatureStore, task: TrainingTask, rule: Rule) -> str:
    """Return what a store lacks for a readout; empty if it has all."""
    reads_answers = isinstance(rule, str) or bool(rule.answers)
    use = "the model's own answer" if reads_answers else "a readout of class names"
    if isinstance(rule, str) or rule.answers or rule.texts:
        refusal = target_of(store.benchmark).refusal(use, store.path)
        if refusal:
            return refusal
    if isinstance(rule, str) or rule.answers:
        output = rule if isinstance(rule, str) and rule in (ICL, GENERATED) else ANSWERS
        has = output in store.manifest.identity.outputs
        name = rule if isinstance(rule, str) else rule.name
        return "" if has else f"{store.path} has no answers of the model for {name}"
    if not rule.texts or compares_captions(store, rule):
        return ""
    head = store.heads[:1]
    try:
        texts = text_arguments(StoredTraining(store), rule.texts, task, head)
        features = store.features("train", head)[:, task.rows]
        rule.fit(features, task.labels, task.classes, store.widths(head), **texts)
    except SelectionError as error:
        return str(error)
    return ""


@dataclass(frozen=True, slots=True)
class DrawnTraining(StoredTraining):
    """Some of the training examples of a store."""

    drawn: tuple[TrainingTask, ...]

    def tasks(self, *, named: bool = False) -> list[TrainingTask]:
        """Return what was drawn."""
        return list(self.drawn)


@dataclass(frozen=True, eq=False, kw_only=True)
class StoreDraws(SweepPlan):
    """What methods of a store predict on all draws."""

    name: str
    benchmark: str | Path | Benchmark | None
    """The store's, if it is in a Python file of the user (its path) or an object."""

    def predictions(self, methods: Sequence[Method]) -> Predicted:
        """Yield the predictions of some methods on all draws."""
        rules = [(m.rule, m.is_fitted) for m in methods if isinstance(m.rule, Readout)]
        if fitted := [rule for rule, is_fitted in rules if is_fitted]:
            yield from self._fitted(fitted)
        if captioned := [r.name for r, is_fitted in rules if not (is_fitted or r.answers)]:
            yield from self._captioned(captioned)
        yield from self._with_answers([rule for rule, _ in rules if rule.answers])
        yield from self._level([m.rule for m in methods if isinstance(m.rule, str)])

    def _fitted(self, rules: Sequence[Readout]) -> Predicted:
        for readout, count, key, predictions in sweep_readouts(self, rules):
            yield [self._point(readout, count, key)], predictions

    def selected(
        self, methods: Sequence[Method], clusters: pl.Series
    ) -> Iterator[tuple[Point, int, list[Units]]]:
        """Yield the metrics at each point; `clusters` are those of test examples.

        Each draw is selected, calibrated and measured like a store of its rows. SelectionError if
        one cannot be, before any is.
        """
        values, examples = self.pool, self.store.examples("train")
        groups, identity = np.array(clusters_of(examples).to_list()), self.store.manifest.identity
        target = target_of(identity.benchmark)
        names = tuple(str(task.subtask) for task in self.tasks) if target.tasks_share_rows else ()
        drawn = {}
        for key in self._keys():
            parts = [draw.task.rows for draw in self.draws if draw.key == key]
            rows = np.unique(np.concatenate(parts))
            labels = TrainingArrays(
                source=identity.source(),
                values=values[:, :0],
                labels=examples["label"][rows].to_list(),
                names=names,
                ids=groups[rows].tolist(),
                target=target,
            )
            try:
                labels.tasks()
            except SelectionError as error:
                raise SelectionError(
                    f"a draw of {len(rows):,} examples is too few, use more `shots`: {error}"
                ) from None
            drawn[key] = labels, rows
        for key, (labels, rows) in drawn.items():
            training = replace(labels, values=values[:, rows])
            for method in methods:
                for count in self.counts:
                    selection = choose_heads(
                        training,
                        heads=count,
                        readout=method.rule,
                        scoring=self.scoring,
                        max_layer=key.max_layer,
                    )
                    with suppress(SelectionError):  # too few examples to leave some out
                        selection = calibrate(training, selection).selection
                    point, draw = self._point(method.readout, count, key)
                    yield point, draw, self._units(selection, clusters)

    def _units(self, selection: Selection, clusters: pl.Series) -> list[Units]:
        """Return the metrics of a selection on the test examples that have labels."""
        predictor = SelectedHeads(self.store, selection, is_compared=True)
        table = packed_predictions(self.store, predictor)
        table = pl.concat([table, pl.LazyFrame({"cluster": clusters})], how="horizontal")
        table = table.filter(pl.col("label").is_not_null())
        how = Measuring(metrics=lambda _table, _classes: [], only_units=True)
        return selection.target.measure(table, selection, predictor.classes, how).units

    def _with_answers(self, rules: Sequence[Readout]) -> Predicted:
        """Fit readouts that read the model's own answers, alone or next to heads."""
        for key in self._keys():
            drawn = tuple(draw.task for draw in self.draws if draw.key == key)
            training = DrawnTraining(self.store, drawn)
            for rule in rules:
                for count in [None] if rule.answers == ALONE else self.counts:
                    selection = choose_heads(
                        training, heads=count, readout=rule, scoring=self.scoring
                    )
                    predictor = SelectedHeads(self.store, selection, is_compared=True)
                    predictions = packed_predictions(self.store, predictor).collect()
                    yield [self._point(rule.name, count or NO_HEADS, key)], predictions

    def _captioned(self, readouts: Sequence[str]) -> Predicted:
        captions = Captions(self.store, stored_benchmark(self.store, self.benchmark))
        for key in self._keys():
            parts = [captions.match(draw.task).rows for draw in self.draws if draw.key == key]
            points = [self._point(readout, NO_HEADS, key) for readout in readouts]
            yield points, with_skipped(self.store, parts, self.swept[1])

    def _level(self, answers: Sequence[str]) -> Predicted:
        for answer in answers:
            parts = OwnAnswers(self.store, answer).parts
            points = [self._point(answer, NO_HEADS, key) for key in self._keys()]
            yield points, with_skipped(self.store, parts, self.swept[1])

    def _keys(self) -> list[DrawKey]:
        return list(dict.fromkeys(draw.key for draw in self.draws))

    def _point(self, readout: str, count: int, key: DrawKey) -> tuple[Point, int]:
        return Point(self.name, readout, count, key.shots, key.max_layer), key.number
