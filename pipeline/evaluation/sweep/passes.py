"""The passes of a sweep over the test split: all draws that fit into memory in each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import polars as pl

from savs.datasets.splits.clusters import clusters_of
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.predictions import VOTES_KEPT, named, predicted, with_skipped
from savs.pipeline.evaluation.sweep.batched import Batch, Headwise
from savs.pipeline.evaluation.sweep.draws import Draw
from savs.pipeline.evaluation.sweep.summary import Cell
from savs.pipeline.selection.heads.class_texts import text_arguments
from savs.pipeline.selection.heads.training_set import TrainingTask, head_widths
from savs.pipeline.selection.readouts import ClassScores, Fitted, Readout
from savs.pipeline.selection.readouts.lda import LDA
from savs.pipeline.selection.readouts.posterior import POSTERIOR
from savs.pipeline.selection.readouts.vote import VOTE
from savs.stores import FeatureStore

MEMORY = 2**30
"""Bytes of results and fits that one pass may hold; more draws than that take more passes."""
LARGEST_TABLE = 2**27
"""Cosines of one shard, heads x examples x classes, up to which all its examples are classified at
once."""
HEADWISE = (VOTE, POSTERIOR, LDA)
"""Readouts that are fitted once for all numbers of heads."""


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """A store, its draws, and the numbers of heads to measure."""

    store: FeatureStore
    tasks: list[TrainingTask]
    draws: list[Draw]
    counts: list[int]
    """Numbers of heads, ascending."""
    pool: Array
    """`(heads, n, d)`: the training features of all heads."""
    test: pl.DataFrame
    """The test examples with features, with their clusters."""
    skipped: pl.DataFrame
    """The other test examples, which are wrong."""

    @classmethod
    def of(
        cls,
        store: FeatureStore,
        tasks: list[TrainingTask],
        draws: list[Draw],
        counts: list[int],
    ) -> "SweepPlan":
        """Read the training features and the test examples."""
        return cls(store, tasks, draws, counts, store.features("train"), *swept_examples(store))


def swept_examples(store: FeatureStore) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the test examples and the skipped ones, which are wrong, with their clusters."""
    examples, skipped = store.examples("test"), store.skipped("test")
    clusters = clusters_of(pl.concat([examples, skipped], how="diagonal"))
    return (
        examples.with_columns(cluster=clusters.head(examples.height)),
        skipped.with_columns(cluster=clusters.tail(skipped.height), correct=pl.lit(False)),
    )


def run_draws(
    plan: SweepPlan, rule: Readout, orders: Sequence[Sequence[int]]
) -> Iterator[tuple[Cell, pl.DataFrame]]:
    """Yield each cell of the grid with predictions of all test examples, in the store's order.

    Parameters
    ----------
    plan
        The store and its draws.
    rule
        The readout.
    orders
        For each draw, the indices of its best heads in `store.heads`, best first.
    """
    numbers = sorted({draw.number for draw in plan.draws})
    step = max(1, MEMORY // _bytes_a_number(plan))
    for start in range(0, len(numbers), step):
        some = set(numbers[start : start + step])
        draws = [index for index, draw in enumerate(plan.draws) if draw.number in some]
        yield from _pass(plan, rule, orders, draws)


def _bytes_a_number(plan: SweepPlan) -> int:
    """Return about how many bytes one number of draws takes: results, and training examples."""
    classes = max(len(task.classes) for task in plan.tasks)
    shots = {draw.shots for draw in plan.draws}
    results = plan.test.height * len(plan.counts) * len(shots) * (8 + 8 * min(classes, VOTES_KEPT))
    fits = sum(len(d.task.rows) for d in plan.draws if d.number == 0) * sum(plan.counts)
    return results + 4 * fits * plan.pool.shape[2]


def _pass(
    plan: SweepPlan, rule: Readout, orders: Sequence[Sequence[int]], draws: Sequence[int]
) -> Iterator[tuple[Cell, pl.DataFrame]]:
    """Run some draws over the test split once."""
    rows: list[list[Array]] = [[] for _ in plan.tasks]
    found: dict[int, list[list[ClassScores]]] = {draw: [] for draw in draws}
    fits = [
        _Fits(plan, rule, orders, [draw for draw in draws if plan.draws[draw].pool == number])
        for number in range(len(plan.tasks))
    ]
    numbers = _task_numbers(plan)
    places = {name: place for place, name in enumerate(plan.test["id"])}
    for block in plan.store.blocks("test", reuse=True):  # shards may hold the rows in any order
        place = np.array([places[name] for name in block.examples["id"]], np.int64)
        own = numbers[place]
        for number in np.unique(own):
            inside = np.flatnonzero(own == number)
            rows[number].append(place[inside])
            whole = len(inside) == len(own)  # a copy of all heads takes as long as the products
            features = block.features if whole else block.features[:, inside]
            for draw, scores in fits[number].scores(features):
                found[draw].append([_small(one) for one in scores])
    yield from _cells(plan, rule, rows, found)


def _task_numbers(plan: SweepPlan) -> Array:
    """Return the task of each test example."""
    numbers = {task.subtask: number for number, task in enumerate(plan.tasks)}
    subtasks = plan.test["subtask"].to_list()
    absent = next((s for s in subtasks if s not in numbers), None)
    if absent is not None:
        raise SelectionError(
            f"subtask {absent!r} of the test split has no training examples; add some or drop it"
        )
    return np.array([numbers[subtask] for subtask in subtasks])


class _Fits:
    """A readout fitted to some draws of one task."""

    def __init__(
        self, plan: SweepPlan, rule: Readout, orders: Sequence[Sequence[int]], draws: Sequence[int]
    ) -> None:
        self._counts = plan.counts
        self._draws = draws
        self._orders = [list(orders[draw]) for draw in draws]
        self._fitted: list[list[Fitted]] = []
        self._nested: list[Headwise] = []
        self._batch: Batch | None = None
        tasks = [plan.draws[draw].task for draw in draws]
        classes = len(tasks[0].classes) if tasks else 0
        block = min(plan.test.height, max(s.rows for s in plan.store.manifest.plan.shards()))
        if rule not in HEADWISE:
            self._fitted = [
                [_fit(plan, rule, task, order[:count]) for count in self._counts]
                for task, order in zip(tasks, self._orders, strict=True)
            ]
            return
        most = self._counts[-1]
        self._nested = [
            cast(Headwise, _fit(plan, rule, task, order[:most]))
            for task, order in zip(tasks, self._orders, strict=True)
        ]
        if most * block * classes <= LARGEST_TABLE:
            self._batch = Batch(self._nested, [order[:most] for order in self._orders])

    def scores(self, features: Array) -> Iterator[tuple[int, list[ClassScores]]]:
        """Yield each draw with its scores of `(all heads, n, d)` features, by number of heads."""
        if self._batch is not None:
            found = self._batch.scores(features, self._counts)
            yield from zip(self._draws, found, strict=True)
            return
        if self._nested:
            for draw, order, one in zip(self._draws, self._orders, self._nested, strict=True):
                yield draw, list(one.nested(features[order[: self._counts[-1]]], self._counts))
            return
        for draw, order, fitted in zip(self._draws, self._orders, self._fitted, strict=True):
            pairs = zip(self._counts, fitted, strict=True)
            yield draw, [one.scores(features[order[:count]]) for count, one in pairs]


def _fit(plan: SweepPlan, rule: Readout, task: TrainingTask, heads: Sequence[int]) -> Fitted:
    held = plan.store.heads
    chosen = [held[head] for head in heads]
    features = plan.pool[np.asarray(heads)[:, None], task.rows]
    texts = text_arguments(plan.store, rule.texts, task, chosen)
    return rule.fit(features, task.labels, task.classes, head_widths(plan.store, chosen), **texts)


def _small(scores: ClassScores) -> ClassScores:
    """Return scores without those of single classes where there are many classes."""
    if scores.scores.shape[1] <= VOTES_KEPT:
        return scores
    nothing = np.zeros((len(scores.choice), 0), np.float32)
    return ClassScores(nothing, scores.choice, nothing)


def _cells(
    plan: SweepPlan,
    rule: Readout,
    rows: Sequence[Sequence[Array]],
    found: dict[int, list[list[ClassScores]]],
) -> Iterator[tuple[Cell, pl.DataFrame]]:
    tasks = [np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in rows]
    examples = [plan.test[own] for own in tasks]
    same: dict[tuple[int | None, int], list[int]] = {}
    for index in found:
        same.setdefault(plan.draws[index].point, []).append(index)
    for (shots, number), draws in same.items():
        for column, count in enumerate(plan.counts):
            parts = [
                _frame(
                    examples[plan.draws[draw].pool],
                    plan.draws[draw].task.classes,
                    [scores[column] for scores in found[draw]],
                )
                for draw in draws
                if found[draw]
            ]
            yield (
                Cell(rule.name, count, shots, number),
                with_skipped(plan.store, parts, plan.skipped),
            )


def _frame(
    examples: pl.DataFrame, classes: Sequence[str], parts: Sequence[ClassScores]
) -> pl.DataFrame:
    choice = np.concatenate([part.choice for part in parts])
    scores, soft = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("scores", "soft")
    )
    if scores.shape[1]:
        return predicted(examples, classes, ClassScores(scores, choice, soft))
    return named(examples, classes, choice)
