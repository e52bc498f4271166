"""`sweep`: readouts over heads, shots, depths, prompts and stores, as one table of results."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl

from savs.datasets import Benchmark, Units
from savs.datasets.benchmarks.options import stored_prompts, without_prompt
from savs.datasets.rows.plugin_guard import compute_metrics
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.compare.trial_sets import short_names
from savs.pipeline.evaluation.cross_validation import INFLATION
from savs.pipeline.evaluation.evaluation import evaluate_method
from savs.pipeline.evaluation.results import place_of_result
from savs.pipeline.evaluation.same_examples import as_examples
from savs.pipeline.evaluation.sweep.draws import (
    Draw,
    ShotCount,
    at_depths,
    default_shots,
    drawn_rows,
    make_draws,
)
from savs.pipeline.evaluation.sweep.methods import (
    Method,
    Rule,
    StoreDraws,
    find_methods,
    require_names,
)
from savs.pipeline.evaluation.sweep.shared_examples import (
    SharedTest,
    Stores,
    hold_same_test,
    shared_tasks,
)
from savs.pipeline.evaluation.sweep.table import (
    SUMMARY_FILE,
    Sweep,
    SweepTrials,
    join_sweeps,
    save_sweep,
)
from savs.pipeline.evaluation.trials import Point
from savs.pipeline.heads.scoring import Scoring, choose_scoring
from savs.pipeline.inputs.chosen_benchmark import stored_benchmark
from savs.pipeline.names import (
    DEFAULT_DRAWS,
    DEFAULT_HEAD_COUNTS,
    DEFAULT_HEADS,
    DEFAULT_SEED,
    shows_defaults,
)
from savs.pipeline.readouts import Readout, choose_readout
from savs.pipeline.running.formatting import counted_as
from savs.pipeline.running.option_texts import parse_counts, parse_layers, parse_names
from savs.pipeline.running.options import Option
from savs.pipeline.running.progress import SILENT, Reporting
from savs.pipeline.selection.selection import (
    choosable,
    choose_heads,
    default_heads,
    head_count,
    heads_up_to,
    require_layer,
)
from savs.pipeline.selection.training_data import StoredTraining, TrainingTask
from savs.pipeline.targets import target_of
from savs.stores import FeatureStore, Head
from savs.stores.read.store import AnyStore, as_store

HeadCount = int | Literal["all"]


@shows_defaults
def sweep(
    stores: Annotated[
        AnyStore | Sequence[AnyStore] | Mapping[str, AnyStore],
        Option(metavar="STORE", is_repeated=True),
    ],
    *,
    heads: Annotated[
        Sequence[HeadCount] | None, Option(metavar="N,N|all", parse=parse_counts)
    ] = None,
    shots: Annotated[
        Sequence[ShotCount] | None, Option(metavar="N,N|all", parse=parse_counts)
    ] = None,
    readouts: Annotated[
        Sequence[str | Path | Readout] | None,
        Option(name="readout", metavar="NAME,NAME", parse=parse_names),
    ] = None,
    draws: Annotated[int | None, Option(min=1)] = None,
    prompts: bool = False,
    max_layers: Annotated[
        Sequence[int] | Literal["each"] | None,
        Option(name="max_layer", metavar="N,N|each", parse=parse_layers),
    ] = None,
    out: Annotated[str | Path | bool | None, Option(metavar="DIR")] = None,
    seed: Annotated[int | None, Option(level="python")] = None,
    scoring: Annotated[str | Path | Scoring | None, Option(level="python")] = None,
    benchmark: Annotated[
        str | Path | Benchmark | None, Option(level="more", metavar="FILE.py")
    ] = None,
    reporting: Reporting = SILENT,
) -> Sweep:
    """Measure readouts over numbers of heads and shots, on the same draws of training examples.

    The training examples are the pool that shots are drawn from; heads are scored, chosen and
    fitted on each draw alone, and all test examples are classified. Memory holds the training
    features of one store, one shard of its test split, and what the readouts fitted.

    Of many labels a draw has at least that many training examples where each label is there, and
    where it is absent; of numbers it has that many in all. Each point is then selected, calibrated
    and measured as `select`, `calibrate` and `evaluate` do, and takes as long.

    Readouts of several stores of the same examples are compared as methods, on the same draws:
    training examples are matched by id, and examples missing from any store are never drawn.
    Stores of different examples are swept one by one, and `Sweep.over_stores` has the means.

    Parameters
    ----------
    stores
        Feature stores: folders or URLs. Of the same examples, readouts are compared over all
        stores; of different ones, the means over stores are printed.

        In Python also short name -> store.
    heads
        Numbers of heads (default: `DEFAULT_HEAD_COUNTS`, as far as they fit).

        Methods, depths and the model's own answers are compared at one number, `DEFAULT_HEADS`
        by default; of several stores, one that has fewer takes all.
    shots
        Examples per class (default: `DEFAULT_SHOTS`, as far as they fit, and all).

        Of numbers they are all examples, `DEFAULT_SHOTS_OF_NUMBERS` by default. Of depths it is
        `all` by default.
    readouts
        Readouts, see `savs select --readout`, and zero-shot, icl, generated; STORE:NAME is one of
        one store. The others are compared with the first (default: `DEFAULT_READOUT`; of numbers
        `DEFAULT_READOUT_OF_NUMBERS`).

        In Python also files and objects. `STORE:READOUT` must be possible; a name that needs what a
        store lacks, such as texts of the classes, is left out there.
    draws
        Random draws for each number of shots (default: `DEFAULT_DRAWS`).

        The whole pool is taken once.
    prompts
        Compare the prompts of a store, cross-validated on training.

        With the first one: no shots are drawn and no test example is read.
    max_layers
        Measure depth instead: the best heads of layers up to each N, or each layer.

        Counted from 0; each layer with which there are enough heads. The last layer with heads is
        always one of them, and the others are compared with it. All depths get the same draws.
    out
        Output folder (default: STORE/results/sweep, depth or prompts; needed for several stores).

        In Python nothing is saved by default; True is the default of the command.
    seed
        Seed of the random draw of training examples (default: `DEFAULT_SEED`).
    scoring
        How heads are scored, as in `savs select --scoring`.
    benchmark
        Python file of the benchmark, if the store was made with one.

        That of the first store, whose metrics are taken of all.
    reporting
        Receives notes.

    Raises
    ------
    ParameterError
        Prompts have no draws and no test examples; or `out` is missing.
    SelectionError
        Unknown names, no readout or two of one name, no draw, more heads than the store has, or
        more shots than the pool has; some of the stores hold other examples, but not all; there
        are not enough heads up to a layer; or the store has one prompt.
    StoreIncompleteError
        A planned shard is missing.
    """
    if prompts:
        unused = {"shots": shots, "draws": draws, "seed": seed, "benchmark": benchmark}
        unused["max_layer"] = max_layers
        if name := next((name for name, value in unused.items() if value is not None), None):
            raise ParameterError(
                f"`{name}` is about draws and test examples, which `prompts` does not use: omit it"
            )
    count = len(stores) if isinstance(stores, list | tuple | Mapping) else 1
    if count != 1 and (prompts or max_layers is not None):
        name = "prompts" if prompts else "max_layer"
        raise ParameterError(f"`{name}` compares within one store, {count} given")
    named = _named(stores)
    folder = None
    if out:
        if out is True and len(named) > 1:
            raise ParameterError("a sweep of several stores needs a folder; pass `out`")
        name = "prompts" if prompts else "sweep" if max_layers is None else "depth"
        # before it takes long
        first = next(iter(named.values()))
        folder = place_of_result(first.path, None if out is True else Path(out), name)
    measure = partial(
        _sweep,
        heads=heads,
        shots=shots,
        draws=DEFAULT_DRAWS if draws is None else draws,
        readouts=readouts,
        scoring=scoring,
        seed=DEFAULT_SEED if seed is None else seed,
        benchmark=benchmark,
        max_layers=max_layers,
        prompts=prompts,
    )
    is_same, apart = hold_same_test(list(named.values())) if len(named) > 1 else (True, "")
    if is_same:
        sweep_result = measure(named)
    else:
        for store in named.values():
            if not target_of(store.benchmark).has_mean_over_data_sets:
                raise ParameterError(
                    f"{store.path} has numbers, whose errors have no mean over stores of different"
                    " examples; sweep each by itself"
                )
        reporting.say(f"the stores hold different test examples: {apart}")
        sweeps = {}
        for name, store in named.items():
            sweeps[name] = measure({name: store})
            reporting.say(f"swept {store.path}")
        sweep_result = join_sweeps(sweeps)
    if folder is None:
        return sweep_result
    if (folder / SUMMARY_FILE).exists():
        reporting.say(f"the earlier sweep in {folder} is replaced; pass `out` to keep both")
    return replace(sweep_result, files=tuple(save_sweep(sweep_result, folder)))


def _named(stores: Any) -> dict[str, FeatureStore]:
    """Return short name -> store; ParameterError if one is given twice."""
    if isinstance(stores, Mapping):
        return {name: as_store(store) for name, store in stores.items()}
    listed = stores if isinstance(stores, list | tuple) else [stores]
    opened = [as_store(store) for store in listed]
    names = [n.replace("/", "-") for n in short_names([Path(str(one.path)) for one in opened])]
    if len(set(names)) < len(names):
        raise ParameterError("a store is given twice, expected each once")
    return dict(zip(names, opened, strict=True))


def _sweep(
    named: dict[str, FeatureStore],
    *,
    heads: Sequence[HeadCount] | None,
    shots: Sequence[ShotCount] | None,
    draws: int,
    readouts: Sequence[str | Path | Readout] | None,
    scoring: str | Path | Scoring | None,
    seed: int,
    benchmark: str | Path | Benchmark | None,
    max_layers: Sequence[int] | Literal["each"] | None,
    prompts: bool,
) -> Sweep:
    target = target_of(next(iter(named.values())).benchmark)
    heads, shots = _listed(heads), _listed(shots)
    rules = _listed(target.default_readout if readouts is None else readouts)
    scorer = choose_scoring(target.default_scoring if scoring is None else scoring)
    if prompts:
        return _compare_prompts(named, heads, rules, scorer)
    for store in named.values():
        target_of(store.benchmark).require("a sweep", store.path)
        store.require_complete()
    tasks, notes = _training(named)
    methods, left_out = find_methods(named, tasks, rules)
    first_name, first = next(iter(named.items()))
    if not target.has_classes:
        labels = first.examples("test")["label"]
        if not target.can_measure(labels, tasks[first_name]):
            raise SelectionError(
                f"no test example of {first.path} has a label that training examples have, so that"
                " nothing can be measured; label some"
            )
    if shots is None and max_layers is None:
        shots = default_shots(tasks[first_name], target.tried_shots)
    grid = (
        _grid(named, methods, heads, shots or ())
        if max_layers is None
        else _depth_grid(first, methods, heads, shots, max_layers)
    )
    along = "readout" if max_layers is None else "max_layer"
    test = SharedTest.of(named)
    trials = SweepTrials(first_name, along, pool=tasks[first_name], layers=first.grid[-1].layer + 1)
    measuring = stored_benchmark(first, benchmark)
    # answers and other stores come in another order, or with other clusters; readouts of one do not
    is_plain = (
        len(named) == 1 and all(method.is_fitted for method in methods) and target.has_classes
    )
    for name, store in named.items():
        drawn = make_draws(tasks[name], grid.shots, draws, seed, share_rows=target.tasks_share_rows)
        measured = StoreDraws(
            name=name,
            store=store,
            tasks=tasks[name],
            draws=at_depths(drawn, grid.depths) if grid.depths else drawn,
            counts=grid.counts[name],
            scoring=scorer,
            benchmark=benchmark if store.benchmark["name"] == first.benchmark["name"] else None,
        )
        of_store = [method for method in methods if method.store == name]
        if not target.has_classes:
            if target.tasks_share_rows:
                trials.pool, trials.drawn = _shared_pool(tasks[name], drawn)
            for point, draw, metrics in measured.selected(of_store, test.clusters):
                trials.add(point, draw, metrics)
            continue
        classes = {task.subtask: task.classes for task in tasks[name]}
        for points, predictions in measured.predictions(of_store):
            rows = predictions if is_plain else test.in_order(predictions)
            metrics = compute_metrics(measuring, rows, classes)
            for point, draw in points:
                trials.add(point, draw, metrics)
    pairs = [(method.store, method.readout) for method in methods]
    return trials.sweep(pairs, test.examples, [*left_out, *notes])


def _listed(values: Any) -> Any:
    """Return a list of one value that is given alone; None and lists as they are."""
    is_list = values is None or (isinstance(values, Iterable) and not isinstance(values, str))
    return values if is_list else [values]


def _training(stores: Stores) -> tuple[dict[str, list[TrainingTask]], list[str]]:
    """Return the training examples of each store: those that all stores have; and a note."""
    if len(stores) == 1:
        return {name: StoredTraining(store).tasks() for name, store in stores.items()}, []
    tasks, absent = shared_tasks(stores)
    missing = counted_as(absent, "training example", "is", "are")
    note = f"{missing} not in all stores: no draw has them"
    return tasks, [note] if absent else []


def _shared_pool(
    tasks: Sequence[TrainingTask], draws: Sequence[Draw]
) -> tuple[list[TrainingTask], dict[int | None, float]]:
    """Return the examples of labels as one class, and how many of them draws have, by shots."""
    rows = np.unique(np.concatenate([task.rows for task in tasks]))
    whole = replace(tasks[0], rows=rows, labels=np.zeros(len(rows), np.int64))
    shots = {draw.key.shots for draw in draws} - {None}
    return [whole], {count: drawn_rows(draws, count) for count in shots}


@dataclass(frozen=True, slots=True)
class _Grid:
    shots: Sequence[ShotCount]
    counts: dict[str, list[int]]
    """Store -> numbers of heads, ascending."""
    depths: Sequence[int] = ()
    """Last layers, ascending; empty for all layers alone."""


def _grid(
    stores: Stores,
    methods: Sequence[Method],
    heads: Sequence[HeadCount] | None,
    shots: Sequence[ShotCount],
) -> _Grid:
    if len(stores) == 1 and all(method.is_fitted for method in methods):
        ((name, store),) = stores.items()
        held = _held(store, [method.rule for method in methods])
        numbers = heads or [n for n in DEFAULT_HEAD_COUNTS if n == "all" or n <= len(held)]
        return _Grid(shots, {name: sorted({head_count(held, n) for n in numbers})})
    number = _one_number(heads, "methods")
    counts = {}
    for name, store in stores.items():
        held = _held(store, [method.rule for method in methods if method.store == name])
        is_fewer = isinstance(number, int) and number > len(held)
        counts[name] = [head_count(held, "all" if is_fewer else number)]
    return _Grid(shots, counts)


def _depth_grid(
    store: FeatureStore,
    methods: Sequence[Method],
    heads: Sequence[HeadCount] | None,
    shots: Sequence[ShotCount] | None,
    max_layers: Sequence[int] | Literal["each"],
) -> _Grid:
    level = next((method.readout for method in methods if not method.is_fitted), None)
    if level is not None:
        raise SelectionError(f"depths are compared by heads alone, which {level!r} is not about")
    held = _held(store, [method.rule for method in methods])
    number = default_heads(held) if heads is None else _one_number(heads, "depths")
    count = head_count(held, number)
    depths = _depths(store, held, None if max_layers == "each" else max_layers, count)
    return _Grid(["all"] if shots is None else shots, {methods[0].store: [count]}, depths)


def _one_number(heads: Sequence[HeadCount] | None, what: str) -> HeadCount:
    if heads is None:
        return DEFAULT_HEADS
    if len(heads) != 1:
        several = ",".join(map(str, heads))
        raise SelectionError(
            f"`heads` is {several}, expected one number: {what} are compared at one"
        )
    return heads[0]


def _held(store: FeatureStore, rules: Sequence[Rule]) -> list[Head]:
    """Return what all of some readouts can choose from: heads, or all neurons."""
    among = [choosable(rule, store.grid) for rule in rules if isinstance(rule, Readout)]
    return min(among, key=len, default=store.heads)


def _depths(
    store: FeatureStore, held: Sequence[Head], max_layers: Sequence[int] | None, count: int
) -> list[int]:
    """Return the depths, ascending; the last layer with heads is the last of them."""
    layers = [grid.layer for grid in store.grid]
    enough = [layer for layer in layers if len(heads_up_to(held, layer)) >= count]
    if max_layers is None:
        return enough
    for layer in max_layers:
        require_layer(store.grid, layer)
        if layer < enough[0]:
            raise SelectionError(
                f"layers up to {layer} have {len(heads_up_to(held, layer))} heads, fewer than the"
                f" {count} to choose; use `max_layer` from {enough[0]} on, or fewer `heads`"
            )
    return sorted({*max_layers, layers[-1]})


def _compare_prompts(
    stores: Stores,
    heads: Sequence[HeadCount] | None,
    readouts: Sequence[str | Path | Readout],
    scoring: Scoring,
) -> Sweep:
    """Compare the prompts of a store by cross-validation on its training examples.

    Heads are chosen and fitted for each prompt by itself, as by `select` and `evaluate` on folds.
    The predictions are paired by example; one that was skipped under any prompt is left out for
    all. Test examples are not read.
    """
    ((name, store),) = stores.items()
    rules = [choose_readout(readout) for readout in readouts]
    require_names([rule.name for rule in rules])
    held = _held(store, rules)
    counts = sorted({head_count(held, n) for n in heads or [default_heads(held)]})
    prompts = stored_prompts(store.benchmark)
    if not prompts:
        raise SelectionError(
            f"{store.path} has one prompt for each example, so there is nothing to compare; run"
            " `savs extract` with --question for each prompt"
        )
    trials, notes = SweepTrials(name, "prompt", inflation=INFLATION), dict[str, None]()
    examples = pl.DataFrame()
    for rule in rules:
        for count in counts:
            selection = choose_heads(store, heads=count, readout=rule, scoring=scoring)
            evaluation = evaluate_method(store, selection, on="folds")
            parts, left_out = paired(evaluation.predictions, prompts)
            notes |= dict.fromkeys(evaluation.notes)
            if left_out:
                skipped = [
                    f"{was} skipped under some prompts and {is_left} left out of all;"
                    for was, is_left in (("was", "is"), ("were", "are"))
                ]
                some = counted_as(left_out, "training example", *skipped)
                notes[f"{some} `savs show` prints the reasons"] = None
            chance = evaluation.units[0].chance  # the classes are the same under all prompts
            for prompt, part in parts.items():
                point = Point(name, rule.name, count, prompt=prompt)
                trials.add(point, 0, [Units("accuracy", part, chance)])
            rows = evaluation.predictions.filter(subtask=prompts[0])
            rows = rows.with_columns(id=without_prompt(rows["id"]), subtask=pl.lit(None, pl.String))
            rows = rows.filter(pl.col("id").is_in(parts[prompts[0]]["example"].implode()))
            examples = as_examples(rows, pl.col("prediction").is_null())
    return trials.sweep([(name, rule.name) for rule in rules], examples, list(notes))


def paired(
    predictions: pl.DataFrame, prompts: Sequence[str]
) -> tuple[dict[str, pl.DataFrame], int]:
    """Return the scores under each prompt, of the same examples in one order; and those left out.

    Clusters are those of the first prompt: two examples are together in it if they share a group or
    an image, which no prompt changes.
    """
    scores = predictions.select(
        *("subtask", "cluster"),
        example=without_prompt(predictions["id"]),
        score=pl.col("correct").cast(pl.Float64),
        stratum=pl.lit("all"),
    )
    parts = {prompt: scores.filter(pl.col("subtask") == prompt) for prompt in prompts}
    common = parts[prompts[0]].select("example", "cluster")
    for part in parts.values():
        common = common.join(part, on="example", how="semi", maintain_order="left")
    aligned = {
        prompt: common.join(part.drop("cluster"), on="example", maintain_order="left")
        for prompt, part in parts.items()
    }
    return aligned, scores["example"].n_unique() - common.height
