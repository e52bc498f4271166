"""Predictions of readouts on all draws of a store: few passes over its test split, many fits each.

A pass holds all draws that fit into memory and reads each shard once. Fits whose first heads are
fits of their own share the products of a shard (`score_fits`): most of a sweep's time is there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import polars as pl

from savs.datasets.splits.clusters import clusters_of
from savs.foundation.arrays import Array
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import with_skipped
from savs.pipeline.evaluation.sweep.draws import Draw, DrawKey
from savs.pipeline.heads.head_scores import Ranking
from savs.pipeline.heads.scoring import Scoring
from savs.pipeline.readouts import ClassScores, HeadsFit, Readout
from savs.pipeline.readouts.heads_fit import score_fits
from savs.pipeline.selection.selection import Fitter, ScoredHeads, choosable, heads_up_to
from savs.pipeline.selection.training_data import StoredTraining, TrainingTask
from savs.pipeline.targets.one import VOTES_KEPT, named, predicted
from savs.stores import FeatureStore
from savs.stores.format.layout import pick

MEMORY = 2**30
"""Bytes of results and fits that one pass may hold; more draws than that take more passes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SweepPlan:
    """A store with the draws and the numbers of heads that its methods are measured with."""

    store: FeatureStore
    tasks: list[TrainingTask]
    draws: list[Draw]
    counts: list[int]
    """Numbers of heads, ascending."""
    scoring: Scoring

    @cached_property
    def pool(self) -> Array:
        """`(heads, n, d)`: the training features of all heads."""
        return self.store.features("train")

    @cached_property
    def swept(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The test examples with features, and the others, which are wrong."""
        return swept_examples(self.store)


def swept_examples(store: FeatureStore) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the test examples and the skipped ones, which are wrong, with their clusters."""
    examples, skipped = store.examples("test"), store.skipped("test")
    clusters = clusters_of(pl.concat([examples, skipped], how="diagonal"))
    return (
        examples.with_columns(cluster=clusters.head(examples.height)),
        skipped.with_columns(cluster=clusters.tail(skipped.height), correct=pl.lit(False)),
    )


def sweep_readouts(
    plan: SweepPlan, rules: Sequence[Readout]
) -> Iterator[tuple[str, int, DrawKey, pl.DataFrame]]:
    """Yield readout, number of heads and draw, with predictions of all test examples.

    Predictions are in the store's order. Heads are scored, chosen and fitted on each draw alone.
    """
    chosen: dict[Any, list[list[ScoredHeads]]] = {}
    for rule in rules:
        decides = (rule.score_heads, tuple(rule.texts))  # most readouts score heads alike
        if decides not in chosen:
            chosen[decides] = _best_heads(plan, rule)
        for count, key, predictions in _run_draws(plan, rule, chosen[decides]):
            yield rule.name, count, key, predictions


def _best_heads(plan: SweepPlan, rule: Readout) -> list[list[ScoredHeads]]:
    """Return the best heads, or neurons, of each draw, for each of the numbers of heads."""
    heads = choosable(rule, plan.store.grid)
    tasks = {id(draw.task): draw.task for draw in plan.draws}  # all depths of a draw have one task
    fitter = Fitter(StoredTraining(plan.store), rule, plan.scoring)
    scores = fitter.score(list(tasks.values()))
    ranked = {key: Ranking.of(one, heads) for key, one in zip(tasks, scores, strict=True)}
    chosen = []
    for draw in plan.draws:
        among = range(len(heads_up_to(heads, draw.key.max_layer)))  # heads go layer by layer
        ranking = ranked[id(draw.task)].among(among)
        best = [ranking.best(count) for count in plan.counts]
        chosen.append(
            [
                ScoredHeads(draw.task, tuple(heads[i] for i in one.order), members=one.members)
                for one in best
            ]
        )
    return chosen


def _run_draws(
    plan: SweepPlan, rule: Readout, chosen: Sequence[Sequence[ScoredHeads]]
) -> Iterator[tuple[int, DrawKey, pl.DataFrame]]:
    """Yield the predictions of one readout, in as many passes as memory needs.

    All shots of a draw's number are in one pass: the features of its examples are read once.
    """
    groups = list(dict.fromkeys(_group(draw) for draw in plan.draws))
    step = max(1, MEMORY // _bytes_a_group(plan))
    for start in range(0, len(groups), step):
        some = set(groups[start : start + step])
        draws = [index for index, draw in enumerate(plan.draws) if _group(draw) in some]
        yield from _pass(plan, rule, chosen, draws)


def _group(draw: Draw) -> tuple[int, int | None]:
    return draw.key.number, draw.key.max_layer


def _bytes_a_group(plan: SweepPlan) -> int:
    """Return about how many bytes one number of draws takes: results, and training examples."""
    classes = max(len(task.classes) for task in plan.tasks)
    shots = {draw.key.shots for draw in plan.draws}
    cells = plan.swept[0].height * len(plan.counts) * len(shots)
    results = cells * (8 + 8 * min(classes, VOTES_KEPT))
    first = _group(plan.draws[0])
    fits = sum(len(d.task.rows) for d in plan.draws if _group(d) == first) * sum(plan.counts)
    return results + 4 * fits * plan.pool.shape[2]


def _pass(
    plan: SweepPlan, rule: Readout, chosen: Sequence[Sequence[ScoredHeads]], draws: Sequence[int]
) -> Iterator[tuple[int, DrawKey, pl.DataFrame]]:
    """Run some draws over the test split once."""
    rows: list[list[Array]] = [[] for _ in plan.tasks]
    scores: dict[int, list[list[ClassScores]]] = {draw: [] for draw in draws}
    fits = [
        _Fits(plan, rule, chosen, [draw for draw in draws if plan.draws[draw].pool == number])
        for number in range(len(plan.tasks))
    ]
    numbers = _task_numbers(plan)
    row_of = {name: row for row, name in enumerate(plan.swept[0]["id"])}
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
    subtasks = plan.swept[0]["subtask"].to_list()
    absent = next((s for s in subtasks if s not in numbers), None)
    if absent is not None:
        raise SelectionError(
            f"subtask {absent!r} of the test split has no training examples; add some or drop it"
        )
    return np.array([numbers[subtask] for subtask in subtasks])


class _Fits:
    """A readout fitted to some draws of one task."""

    def __init__(
        self,
        plan: SweepPlan,
        rule: Readout,
        chosen: Sequence[Sequence[ScoredHeads]],
        draws: Sequence[int],
    ) -> None:
        self._counts, self._held = plan.counts, plan.store.heads
        self._draws = draws
        # the first heads of a nested fit are a fit of their own
        self._chosen = [chosen[draw][-1:] if rule.is_nested else chosen[draw] for draw in draws]
        fitter = Fitter(StoredTraining(plan.store), rule, plan.scoring)
        self._fitted = [
            [
                fitter.fit_one(one, pick(plan.pool, self._held, one.heads, one.task.rows))
                for one in of_draw
            ]
            for of_draw in self._chosen
        ]
        self._nested: list[HeadsFit] = []
        if rule.is_nested:
            self._nested = [cast(HeadsFit, fit) for (fit,) in self._fitted]

    def scores(self, features: Array) -> Iterator[tuple[int, list[ClassScores]]]:
        """Yield each draw with its scores of `(all heads, n, d)` features, by number of heads."""
        if self._nested:
            index = {head: place for place, head in enumerate(self._held)}
            places = [[index[head] for head in one.heads] for (one,) in self._chosen]
            scored = score_fits(self._nested, places, features, self._counts)
            yield from zip(self._draws, scored, strict=True)
            return
        for draw, of_draw, fitted in zip(self._draws, self._chosen, self._fitted, strict=True):
            pairs = zip(of_draw, fitted, strict=True)
            yield draw, [fit.scores(pick(features, self._held, one.heads)) for one, fit in pairs]


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
    examples = [plan.swept[0][one] for one in task_rows]
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
            yield count, key, with_skipped(plan.store, parts, plan.swept[1])


def _frame(
    examples: pl.DataFrame, classes: Sequence[str], parts: Sequence[ClassScores]
) -> pl.DataFrame:
    whole = ClassScores.joined(parts)
    if whole.scores.shape[1]:
        return predicted(examples, classes, whole)
    return named(examples, classes, whole.choice)
