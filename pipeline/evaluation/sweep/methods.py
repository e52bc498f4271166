"""Learning curves of several methods: readouts of several stores of the same examples.

All methods get the same draws of training examples and the same test examples, so that they are
compared pair by pair. The model's own answers, which learn nothing from a draw, are level lines.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import polars as pl

from savs.datasets import Benchmark
from savs.datasets.rows.plugin_guard import compute_metrics
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.captions import Captions, compares_captions
from savs.pipeline.evaluation.own_answer import ANSWERS, own_answers
from savs.pipeline.evaluation.predictions import with_skipped
from savs.pipeline.evaluation.sweep.draws import Draw, Shots, make_draws
from savs.pipeline.evaluation.sweep.passes import SweepPlan, swept_examples
from savs.pipeline.evaluation.sweep.shared_examples import (
    SharedTest,
    Stores,
    hold_same_test,
    shared_tasks,
)
from savs.pipeline.evaluation.sweep.summary import Cell, CellScores, Sweep
from savs.pipeline.evaluation.sweep.sweep import default_shots, require_names, swept_predictions
from savs.pipeline.inputs.plugins import stored_benchmark
from savs.pipeline.names import DEFAULT_DRAWS, DEFAULT_HEADS, GENERATED, ICL, OWN_ANSWERS
from savs.pipeline.selection.heads.class_texts import text_arguments
from savs.pipeline.selection.heads.training_set import TrainingTask, head_widths
from savs.pipeline.selection.readouts import Readout, choose_readout
from savs.pipeline.selection.selection import head_count, require_scoring
from savs.stores import FeatureStore
from savs.stores.read.given_store import require_store

NO_HEADS = 0
"""Number of heads of the model's own answers, and of captions."""
Rule = Readout | str
"""A readout, or the name of one of `OWN_ANSWERS`."""


@dataclass(frozen=True, slots=True)
class Method:
    """A readout of a store."""

    name: str
    """`STORE:READOUT`; of a single store the readout alone."""
    store: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class MethodSweep:
    """Learning curves of methods."""

    sweep: Sweep
    """`readout` in its tables is the name of a method."""
    notes: tuple[str, ...]
    """Readouts that a store lacks, and training examples that only some stores have."""


def sweep_methods(
    stores: Stores,
    *,
    readouts: Sequence[str | Path | Readout] = ("vote",),
    heads: int | Literal["all"] | None = None,
    shots: Sequence[Shots] | None = None,
    draws: int = DEFAULT_DRAWS,
    scoring: str = "resubstitution",
    seed: int = 0,
    benchmark: str | Path | Benchmark | None = None,
) -> MethodSweep:
    """Measure readouts of stores that hold the same examples, on the same draws.

    Training examples are matched by id; those that a store lacks are in no draw. Memory holds the
    training features of one store, one shard of its test split, and what the readouts fitted.

    Parameters
    ----------
    stores
        Short name -> store.
    readouts
        Of each store: names, `zero-shot`, `icl` and `generated` included, Python files or objects.
        A name that needs what a store lacks, such as texts of the classes, is left out there.
        `STORE:READOUT` is that of one store, and must be possible. The others are compared with
        the first.
    heads
        Number of heads, or `all`; 20 by default. A store that has fewer takes all.
    shots, draws, scoring, seed
        As in `sweep`.
    benchmark
        That of the first store, whose metrics are taken of all; needed where it is in a Python file
        of your own (its path) or an object.

    Raises
    ------
    SelectionError
        The stores hold other examples, or a readout is possible in none.
    StoreIncompleteError
        A planned shard is missing.
    """
    if not isinstance(stores, Mapping):
        raise ParameterError(f"stores is {stores!r:.100}, expected name -> store, as a dictionary")
    for store in stores.values():
        require_store(store)
        store.require_complete()
    require_scoring(scoring)
    is_same, apart = hold_same_test(list(stores.values()))
    if not is_same:
        raise SelectionError(f"the stores hold other test examples: {apart}")
    tasks, absent = shared_tasks(stores)
    methods, notes = find_methods(stores, tasks, readouts)
    if absent:
        notes.append(f"{absent:,} training examples are not in all stores: no draw has them")
    wanted = shots or default_shots(next(iter(tasks.values())))
    first = next(iter(stores.values()))
    measuring = stored_benchmark(first, benchmark)
    test, cells = SharedTest.of(stores), CellScores()
    for name, store in stores.items():
        drawn = make_draws(tasks[name], wanted, draws, seed)
        own = [method for method in methods if method.store == name]
        classes = {task.subtask: task.classes for task in tasks[name]}
        given = benchmark if _benchmark(store) == _benchmark(first) else None
        for points, predictions in chain(
            _fitted(store, tasks[name], drawn, heads, own, scoring),
            _captioned(store, drawn, own, given),
            _level(store, drawn, own),
        ):
            found = compute_metrics(measuring, test.in_order(predictions), classes)
            for cell in points:
                cells.add(cell, found)
    return MethodSweep(cells.tables([method.name for method in methods]), tuple(notes))


def find_methods(
    stores: Stores,
    tasks: Mapping[str, Sequence[TrainingTask]],
    readouts: Sequence[str | Path | Readout],
) -> tuple[list[Method], list[str]]:
    """Return the methods in the order of the readouts, then of the stores; and what is left out.

    Raises
    ------
    SelectionError
        None is given, or one is unknown, given twice, or possible in no store that it was asked of.
    """
    methods: list[Method] = []
    notes: list[str] = []
    for given in readouts:
        asked, text = _store_of(given, stores)
        is_own = isinstance(text, str) and text in OWN_ANSWERS
        rule: Rule = str(text) if is_own else choose_readout(text, also=OWN_ANSWERS)
        name = rule if isinstance(rule, str) else rule.name
        lacking = {n: _lack(stores[n], tasks[n][0], rule) for n in asked}
        able = [store for store, lack in lacking.items() if not lack]
        if not able:
            raise SelectionError(f"readout {name!r}: " + "; ".join(lacking.values()))
        notes += [f"{name} is left out: {lack}" for lack in lacking.values() if lack]
        methods += [Method(f"{s}:{name}" if len(stores) > 1 else name, s, rule) for s in able]
    require_names([method.name for method in methods])
    return methods, notes


def _store_of(
    given: str | Path | Readout, stores: Stores
) -> tuple[list[str], str | Path | Readout]:
    """Return the stores that a readout is asked of, and the readout."""
    prefix, mark, rest = str(given).partition(":") if isinstance(given, str) else ("", "", "")
    if mark and prefix in stores:
        return [prefix], rest
    if mark and not str(given).endswith(".py"):
        raise SelectionError(
            f"readout {given!r} is of a store {prefix!r}; the stores are called {', '.join(stores)}"
        )
    return list(stores), given


def _lack(store: FeatureStore, task: TrainingTask, rule: Rule) -> str:
    """Return what a store lacks for a readout; empty where it has all."""
    if isinstance(rule, str):
        output = rule if rule in (ICL, GENERATED) else ANSWERS
        has = output in store.manifest.identity.outputs
        return "" if has else f"{store.path} has no answers of the model for {rule}"
    if not rule.texts or compares_captions(store, rule):
        return ""
    head = store.heads[:1]
    try:
        texts = text_arguments(store, rule.texts, task, head)
        features = store.features("train", head)[:, task.rows]
        rule.fit(features, task.labels, task.classes, head_widths(store, head), **texts)
    except SelectionError as error:
        return str(error)
    return ""


def _fitted(
    store: FeatureStore,
    tasks: list[TrainingTask],
    drawn: list[Draw],
    heads: int | Literal["all"] | None,
    methods: Sequence[Method],
    scoring: str,
) -> Iterator[tuple[list[Cell], pl.DataFrame]]:
    """Yield the cell of each readout of a store on each draw, with its predictions."""
    fitted = [
        (method.rule, method.name)
        for method in methods
        if isinstance(method.rule, Readout) and not compares_captions(store, method.rule)
    ]
    if not fitted:
        return
    names = {rule.name: name for rule, name in fitted}
    wanted = DEFAULT_HEADS if heads is None else heads
    has_fewer = isinstance(wanted, int) and wanted > len(store.heads)
    counts = [head_count(store.heads, "all" if has_fewer else wanted)]
    plan = SweepPlan.of(store, tasks, drawn, counts)
    rules = [rule for rule, _ in fitted]
    for cell, predictions in swept_predictions(plan, rules, scoring):
        yield [cell._replace(readout=names[cell.readout])], predictions


def _captioned(
    store: FeatureStore,
    drawn: Sequence[Draw],
    methods: Sequence[Method],
    benchmark: str | Path | Benchmark | None,
) -> Iterator[tuple[list[Cell], pl.DataFrame]]:
    """Yield the cell of each draw that compares images with captions, with its predictions."""
    own = [method for method in methods if compares_captions(store, method.rule)]
    if not own:
        return
    captions = Captions(store, stored_benchmark(store, benchmark))
    _, skipped = swept_examples(store)
    for point in _points(drawn):
        parts = [captions.match(draw.task).rows for draw in drawn if draw.point == point]
        found = with_skipped(store, parts, skipped)
        yield [Cell(method.name, NO_HEADS, *point) for method in own], found


def _level(
    store: FeatureStore, drawn: Sequence[Draw], methods: Sequence[Method]
) -> Iterator[tuple[list[Cell], pl.DataFrame]]:
    """Yield all cells of each of the model's own answers, with the one set of predictions."""
    for method in methods:
        if isinstance(method.rule, str):
            parts, (_, skipped) = own_answers(store, method.rule).parts, swept_examples(store)
            found = with_skipped(store, parts, skipped)
            yield [Cell(method.name, NO_HEADS, *point) for point in _points(drawn)], found


def _points(drawn: Sequence[Draw]) -> list[tuple[int | None, int]]:
    """Return each number of shots with the numbers of its draws."""
    return list(dict.fromkeys(draw.point for draw in drawn))


def _benchmark(store: FeatureStore) -> str:
    return str(store.manifest.identity.benchmark["name"])
