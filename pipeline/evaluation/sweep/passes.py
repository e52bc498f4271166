"""Predictions of readouts on all draws of a store: few passes over its test split, many fits each.

A pass holds all draws that fit into memory and reads each shard once. Fits whose scores are sums
over heads share the products of a shard (`Batch`): most of a sweep's time is spent there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, cast

import numpy as np
import polars as pl

from savs.datasets.splits.clusters import clusters_of
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.predictions import VOTES_KEPT, named, predicted, with_skipped
from savs.pipeline.evaluation.sweep.draws import Draw, DrawKey
from savs.pipeline.selection.heads.centroids import TIE, few_threads, lengths_of, not_finite
from savs.pipeline.selection.heads.head_scores import rank_heads
from savs.pipeline.selection.readouts import ClassScores, Fitted, Readout
from savs.pipeline.selection.readouts.calm import POSTERIOR, FittedPosterior
from savs.pipeline.selection.readouts.lda import HEC_V, LDA, FittedLda
from savs.pipeline.selection.readouts.readout import softmax
from savs.pipeline.selection.readouts.vote import VOTE, FittedVote, elect
from savs.pipeline.selection.selection import score_tasks
from savs.pipeline.selection.training_data import (
    StoredTraining,
    TrainingTask,
    head_widths,
    text_arguments,
)
from savs.stores import FeatureStore

MEMORY = 2**30
"""Bytes of results and fits that one pass may hold; more draws than that take more passes."""
LARGEST_TABLE = 2**27
"""Cosines of one shard, heads x examples x classes, up to which all its examples are classified at
once."""
TABLE = 2**25
"""Products that a batch holds at a time, heads x examples x fits x classes: 128 MB."""
BLOCK = 2**18
"""Probabilities that are in work at a time: 1 MB, which stays in a cache."""
HEADWISE = (VOTE, POSTERIOR, LDA, HEC_V)
"""Readouts that are fitted once for all numbers of heads."""
Headwise = FittedVote | FittedPosterior | FittedLda
"""Fits whose scores are sums over heads of what each head makes of its own products."""


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """A store, its draws, and the numbers of heads to measure."""

    store: FeatureStore
    tasks: list[TrainingTask]
    draws: list[Draw]
    counts: list[int]
    """Ascending."""
    pool: Array
    """`(heads, n, d)`: the training features of all heads."""
    test: pl.DataFrame
    """The test examples with features, with their clusters."""
    skipped: pl.DataFrame
    """The other test examples, which are wrong."""


def swept_examples(store: FeatureStore) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the test examples and the skipped ones, which are wrong, with their clusters."""
    examples, skipped = store.examples("test"), store.skipped("test")
    clusters = clusters_of(pl.concat([examples, skipped], how="diagonal"))
    return (
        examples.with_columns(cluster=clusters.head(examples.height)),
        skipped.with_columns(cluster=clusters.tail(skipped.height), correct=pl.lit(False)),
    )


def sweep_readouts(
    plan: SweepPlan, rules: Sequence[Readout], scoring: str
) -> Iterator[tuple[str, int, DrawKey, pl.DataFrame]]:
    """Yield readout, number of heads and draw, with predictions of all test examples.

    Predictions are in the store's order. Heads are scored, chosen and fitted on each draw alone.
    """
    orders: dict[Any, list[list[int]]] = {}
    for rule in rules:
        decides = (rule.score_heads, tuple(rule.texts))  # most readouts score heads alike
        if decides not in orders:
            orders[decides] = _best_heads(plan, rule, scoring)
        for count, key, predictions in _run_draws(plan, rule, orders[decides]):
            yield rule.name, count, key, predictions


def _best_heads(plan: SweepPlan, rule: Readout, scoring: str) -> list[list[int]]:
    """Return the indices of the best heads of each draw in `store.heads`, best first."""
    heads = plan.store.heads
    tasks = {id(draw.task): draw.task for draw in plan.draws}  # all depths of a draw have one task
    scores = score_tasks(StoredTraining(plan.store), rule, scoring, list(tasks.values()))
    ranked = {
        key: rank_heads(head_scores, heads) for key, head_scores in zip(tasks, scores, strict=True)
    }
    return [
        [
            index
            for index in ranked[id(draw.task)]
            if draw.key.max_layer is None or heads[index][0] <= draw.key.max_layer
        ][: plan.counts[-1]]
        for draw in plan.draws
    ]


def _run_draws(
    plan: SweepPlan, rule: Readout, orders: Sequence[Sequence[int]]
) -> Iterator[tuple[int, DrawKey, pl.DataFrame]]:
    """Yield the predictions of one readout, in as many passes as memory needs.

    All shots of a draw's number are in one pass: the features of its examples are read once.
    """
    groups = list(dict.fromkeys(_group(draw) for draw in plan.draws))
    step = max(1, MEMORY // _bytes_a_group(plan))
    for start in range(0, len(groups), step):
        some = set(groups[start : start + step])
        draws = [index for index, draw in enumerate(plan.draws) if _group(draw) in some]
        yield from _pass(plan, rule, orders, draws)


def _group(draw: Draw) -> tuple[int, int | None]:
    return draw.key.number, draw.key.max_layer


def _bytes_a_group(plan: SweepPlan) -> int:
    """Return about how many bytes one number of draws takes: results, and training examples."""
    classes = max(len(task.classes) for task in plan.tasks)
    shots = {draw.key.shots for draw in plan.draws}
    results = plan.test.height * len(plan.counts) * len(shots) * (8 + 8 * min(classes, VOTES_KEPT))
    first = _group(plan.draws[0])
    fits = sum(len(d.task.rows) for d in plan.draws if _group(d) == first) * sum(plan.counts)
    return results + 4 * fits * plan.pool.shape[2]


def _pass(
    plan: SweepPlan, rule: Readout, orders: Sequence[Sequence[int]], draws: Sequence[int]
) -> Iterator[tuple[int, DrawKey, pl.DataFrame]]:
    """Run some draws over the test split once."""
    rows: list[list[Array]] = [[] for _ in plan.tasks]
    scores: dict[int, list[list[ClassScores]]] = {draw: [] for draw in draws}
    fits = [
        _Fits(plan, rule, orders, [draw for draw in draws if plan.draws[draw].pool == number])
        for number in range(len(plan.tasks))
    ]
    numbers = _task_numbers(plan)
    row_of = {name: row for row, name in enumerate(plan.test["id"])}
    # Shards hold rows in another order than the plan where examples that share an image lie
    # together, and those of an append come last; so scores are kept with the rows they belong to.
    for block in plan.store.blocks("test", reuse=True):
        block_rows = np.array([row_of[name] for name in block.examples["id"]], np.int64)
        block_tasks = numbers[block_rows]
        for number in np.unique(block_tasks):
            inside = np.flatnonzero(block_tasks == number)
            rows[number].append(block_rows[inside])
            whole = len(inside) == len(block_rows)  # a copy of all heads takes as long as products
            features = block.features if whole else block.features[:, inside]
            for draw, by_count in fits[number].scores(features):
                scores[draw].append([_small(one) for one in by_count])
    yield from _predictions(plan, rows, scores)


def _task_numbers(plan: SweepPlan) -> Array:
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
        self._orders = [list(orders[draw]) for draw in draws]  # as many heads as the last count
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
        self._nested = [
            cast(Headwise, _fit(plan, rule, task, order))
            for task, order in zip(tasks, self._orders, strict=True)
        ]
        if self._counts[-1] * block * classes <= LARGEST_TABLE:
            self._batch = Batch(self._nested, self._orders)

    def scores(self, features: Array) -> Iterator[tuple[int, list[ClassScores]]]:
        """Yield each draw with its scores of `(all heads, n, d)` features, by number of heads."""
        if self._batch is not None:
            batch = self._batch.scores(features, self._counts)
            yield from zip(self._draws, batch, strict=True)
            return
        if self._nested:
            for draw, order, one in zip(self._draws, self._orders, self._nested, strict=True):
                yield draw, list(one.nested(features[order], self._counts))
            return
        for draw, order, fitted in zip(self._draws, self._orders, self._fitted, strict=True):
            pairs = zip(self._counts, fitted, strict=True)
            yield draw, [one.scores(features[order[:count]]) for count, one in pairs]


def _fit(plan: SweepPlan, rule: Readout, task: TrainingTask, heads: Sequence[int]) -> Fitted:
    held = plan.store.heads
    chosen = [held[head] for head in heads]
    features = plan.pool[np.asarray(heads)[:, None], task.rows]
    texts = text_arguments(StoredTraining(plan.store), rule.texts, task, chosen)
    return rule.fit(features, task.labels, task.classes, head_widths(plan.store, chosen), **texts)


def _small(scores: ClassScores) -> ClassScores:
    """Return scores without those of single classes if there are many classes."""
    if scores.scores.shape[1] <= VOTES_KEPT:
        return scores
    nothing = np.zeros((len(scores.choice), 0), np.float32)
    return ClassScores(nothing, scores.choice, nothing)


def _predictions(
    plan: SweepPlan, rows: Sequence[Sequence[Array]], scores: dict[int, list[list[ClassScores]]]
) -> Iterator[tuple[int, DrawKey, pl.DataFrame]]:
    task_rows = [np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in rows]
    examples = [plan.test[one] for one in task_rows]
    draws_of: dict[DrawKey, list[int]] = {}  # one draw of each task
    for index in scores:
        draws_of.setdefault(plan.draws[index].key, []).append(index)
    for key, draws in draws_of.items():
        for column, count in enumerate(plan.counts):
            parts = [
                _frame(
                    examples[plan.draws[draw].pool],
                    plan.draws[draw].task.classes,
                    [by_count[column] for by_count in scores[draw]],
                )
                for draw in draws
                if scores[draw]
            ]
            yield count, key, with_skipped(plan.store, parts, plan.skipped)


def _frame(
    examples: pl.DataFrame, classes: Sequence[str], parts: Sequence[ClassScores]
) -> pl.DataFrame:
    whole = ClassScores.joined(parts)
    if whole.scores.shape[1]:
        return predicted(examples, classes, whole)
    return named(examples, classes, whole.choice)


class Batch:
    """Several fits, whose heads are any of a store's.

    With few classes numpy is fast along the examples, not along the classes: tables are `(heads,
    classes, n)` here.
    """

    def __init__(self, fits: Sequence[Headwise], orders: Sequence[Sequence[int]]) -> None:
        """Keep fits of one type, and the index of each one's heads in the features, best first."""
        self._fits = fits
        self._orders = [np.asarray(order) for order in orders]

    def scores(self, features: Array, counts: Sequence[int]) -> Iterator[list[ClassScores]]:
        """Yield, fit by fit, the scores with each number of heads: those of its first heads.

        `features` are `(heads, n, d)`, all heads of some examples; `counts` ascend, none above the
        number of a fit's heads.
        """
        values, lengths = lengths_of(features)
        heads, classes, d = self._fits[0].directions.shape
        step = max(1, TABLE // (heads * features.shape[1] * classes))
        with few_threads(features.shape[1] * d * classes * step):
            for start in range(0, len(self._fits), step):
                some = slice(start, start + step)
                tables = self._tables(values, lengths, some)
                for fit, table in zip(self._fits[some], tables, strict=True):
                    yield list(_tally(fit, table, counts))

    def _tables(self, values: Array, lengths: Array, some: slice) -> Iterator[Array]:
        """Yield each fit's products with unit features, `(heads, classes, n)`, best head first."""
        fits, orders = self._fits[some], self._orders[some]
        heads, classes, d = fits[0].directions.shape
        if heads < len(values):  # each fit has its own few heads
            for fit, order in zip(fits, orders, strict=True):
                columns = np.ascontiguousarray(fit.directions.swapaxes(1, 2))
                yield _normalised(_products(columns, values[order]), lengths[order], fit)
            return
        columns = np.empty((heads, d, len(fits) * classes), np.float32)
        for number, (fit, order) in enumerate(zip(fits, orders, strict=True)):
            places = slice(number * classes, (number + 1) * classes)
            columns[order, :, places] = fit.directions.swapaxes(1, 2)
        products = _products(columns, values)  # all fits at once: features are read once
        for number, (fit, order) in enumerate(zip(fits, orders, strict=True)):
            places = slice(number * classes, (number + 1) * classes)
            yield _normalised(products[order, places], lengths[order], fit)


def _products(columns: Array, values: Array) -> Array:
    """Return `(heads, columns, n)` products of `(heads, d, columns)` and `(heads, n, d)`.

    That way BLAS takes two thirds of the time of `(heads, columns, d)`.
    """
    return columns.swapaxes(1, 2) @ values.swapaxes(1, 2)


def _normalised(products: Array, lengths: Array, fit: Headwise) -> Array:
    """Divide `(heads, classes, n)` products by the features' lengths, in place."""
    products /= lengths[:, None]
    if isinstance(fit, FittedLda):
        products += fit.offsets[:, :, None]
    return products


def _tally(fit: Headwise, table: Array, counts: Sequence[int]) -> Iterator[ClassScores]:
    """Yield the scores of the first heads, more and more of them."""
    if isinstance(fit, FittedVote):
        yield from _votes(table, counts)
        return
    step = max(1, BLOCK // table[0].size)
    total = np.zeros(table.shape[1:], np.float32)
    for start, end in pairwise([0, *counts]):
        for head in range(start, end, step):
            total += softmax(table[head : min(head + step, end)].copy(), axis=1).sum(axis=0)
        mean = np.ascontiguousarray(total.T) / np.float32(end)
        yield fit.choose(mean, end, partial(_logits, table[:end]))


def _logits(table: Array, rows: Array) -> Array:
    return table[:, :, rows].swapaxes(1, 2)


def _votes(table: Array, counts: Sequence[int]) -> Iterator[ClassScores]:
    heads, classes, n = table.shape
    floor = table.max(axis=1) - np.float32(TIE)
    if np.isnan(floor).any():
        raise not_finite()
    votes = np.empty((heads, n), np.int64)
    for number in reversed(range(classes)):  # the first class that is near enough stays
        np.copyto(votes, number, where=table[:, number] >= floor)
    tally, done = np.zeros((n, classes), np.float32), 0
    for count, total in _sums(table, counts):
        new = votes[done:count]
        tally = tally + np.stack([(new == c).sum(axis=0) for c in range(classes)], axis=1)
        tally, done = tally.astype(np.float32), count
        yield ClassScores(tally, elect(tally, votes[:count]), total / np.float32(count))


def _sums(table: Array, counts: Sequence[int]) -> Iterator[tuple[int, Array]]:
    """Yield each count with the sum over that many heads, `(n, classes)`."""
    total, done = np.zeros(table.shape[1:], np.float32), 0
    for count in counts:
        total = total + table[done:count].sum(axis=0)
        done = count
        yield count, np.ascontiguousarray(total.T)
