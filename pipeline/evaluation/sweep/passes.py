"""Predictions of readouts on all draws of a store: few passes over its test split, many fits each.

A pass holds all draws that fit into memory and reads each shard once. Fits whose first heads are
fits of their own share the products of a shard (`score_fits`): most of a sweep's time is there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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
from savs.pipeline.readouts import ClassScores, Fitted, HeadsFit, Readout
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
    pairs = list(zip(plan.draws, chosen, strict=True))
    groups = list(dict.fromkeys(_group(draw) for draw in plan.draws))
    step = max(1, MEMORY // _bytes_a_group(plan))
    for start in range(0, len(groups), step):
        some = set(groups[start : start + step])
        yield from _pass(plan, rule, [pair for pair in pairs if _group(pair[0]) in some])


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


@dataclass(slots=True)
class _Fit:
    """A readout fitted to a draw, and what it says of the test examples, block by block."""

    draw: Draw
    chosen: Sequence[ScoredHeads]
    """For each number of heads; the last alone where the first heads are a fit of their own."""
    fitted: list[Fitted]
    scores: list[list[ClassScores]] = field(default_factory=list)
    """For each block and each number of heads."""


def _pass(
    plan: SweepPlan, rule: Readout, draws: Sequence[tuple[Draw, Sequence[ScoredHeads]]]
) -> Iterator[tuple[int, DrawKey, pl.DataFrame]]:
    """Run some draws over the test split once."""
    fitter, held = Fitter(StoredTraining(plan.store), rule, plan.scoring), plan.store.heads
    fits = []
    for draw, chosen in draws:
        some = chosen[-1:] if rule.is_nested else chosen
        features = (pick(plan.pool, held, one.heads, one.task.rows) for one in some)
        fits.append(_Fit(draw, some, list(map(fitter.fit_one, some, features))))
    rows: list[list[Array]] = [[] for _ in plan.tasks]
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
            of_task = [one for one in fits if one.draw.pool == number]
            scored = _scores(plan, of_task, features, is_nested=rule.is_nested)
            for one, by_count in zip(of_task, scored, strict=True):
                one.scores.append([_small(scores) for scores in by_count])
    yield from _predictions(plan, rows, fits)


def _scores(
    plan: SweepPlan, fits: Sequence[_Fit], features: Array, *, is_nested: bool
) -> Iterator[list[ClassScores]]:
    """Yield the scores of `(all heads, n, d)` features by each fit, by number of heads."""
    held = plan.store.heads
    if is_nested:
        index = {head: place for place, head in enumerate(held)}
        nested = [cast(HeadsFit, one.fitted[0]) for one in fits]
        places = [[index[head] for head in one.chosen[0].heads] for one in fits]
        yield from score_fits(nested, places, features, plan.counts)
        return
    for one in fits:
        pairs = zip(one.chosen, one.fitted, strict=True)
        yield [fit.scores(pick(features, held, chosen.heads)) for chosen, fit in pairs]


def _task_numbers(plan: SweepPlan) -> Array:
    numbers = {task.subtask: number for number, task in enumerate(plan.tasks)}
    subtasks = plan.swept[0]["subtask"].to_list()
    absent = next((s for s in subtasks if s not in numbers), None)
    if absent is not None:
        raise SelectionError(
            f"subtask {absent!r} of the test split has no training examples; add some or drop it"
        )
    return np.array([numbers[subtask] for subtask in subtasks])


def _small(scores: ClassScores) -> ClassScores:
    """Return scores without those of single classes if there are many classes."""
    if scores.scores.shape[1] <= VOTES_KEPT:
        return scores
    nothing = np.zeros((len(scores.choice), 0), np.float32)
    return ClassScores(nothing, scores.choice, nothing)


def _predictions(
    plan: SweepPlan, rows: Sequence[Sequence[Array]], fits: Sequence[_Fit]
) -> Iterator[tuple[int, DrawKey, pl.DataFrame]]:
    task_rows = [np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in rows]
    examples = [plan.swept[0][one] for one in task_rows]
    fits_of: dict[DrawKey, list[_Fit]] = {}  # one of each task
    for one in fits:
        fits_of.setdefault(one.draw.key, []).append(one)
    for key, of_key in fits_of.items():
        for column, count in enumerate(plan.counts):
            parts = [
                _frame(
                    examples[one.draw.pool],
                    one.draw.task.classes,
                    [by_count[column] for by_count in one.scores],
                )
                for one in of_key
                if one.scores
            ]
            yield count, key, with_skipped(plan.store, parts, plan.swept[1])


def _frame(
    examples: pl.DataFrame, classes: Sequence[str], parts: Sequence[ClassScores]
) -> pl.DataFrame:
    whole = ClassScores.joined(parts)
    if whole.scores.shape[1]:
        return predicted(examples, classes, whole)
    return named(examples, classes, whole.choice)
