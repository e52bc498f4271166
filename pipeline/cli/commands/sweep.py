"""`savs sweep`: readouts over heads, shots, depths, prompts and stores, as one table."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from savs import pipeline
from savs.pipeline.cli.options.shared import (
    BenchmarkOption,
    JsonOption,
    ScoringOption,
    option,
    parse_heads,
    result_place,
)
from savs.pipeline.cli.output import print_json, say, visible
from savs.pipeline.cli.sweep_table import print_stores, print_sweep
from savs.pipeline.names import DEFAULT_DRAWS

if TYPE_CHECKING:
    from savs.pipeline import Sweep
    from savs.stores import FeatureStore

OF_TEST = ("shots", "draws", "seed", "metric", "benchmark", "max_layers")
"""Options that a sweep of prompts has no use for."""
EACH: Literal["each"] = "each"


def sweep_command(
    context: typer.Context,
    stores: Annotated[
        list[str],
        typer.Argument(
            metavar="STORE",
            help="Feature stores: folders or URLs. Of the same examples, readouts are compared over"
            " all stores; of different ones, the means over stores are printed.",
            show_default=False,
        ),
    ],
    heads: Annotated[
        str | None,
        option(
            metavar="N,N|all",
            help="Numbers of heads (default: those of 1,5,10,20,50,all that fit).",
        ),
    ] = None,
    shots: Annotated[
        str | None,
        option(
            metavar="N,N|all",
            help="Examples per class (default: those of 1,2,4,8,16 that fit, and all).",
        ),
    ] = None,
    draws: Annotated[
        int, option(min=1, help="Random draws for each number of shots.")
    ] = DEFAULT_DRAWS,
    readouts: Annotated[
        str,
        option(
            metavar="NAME,NAME",
            help="Readouts, see `savs select --readout`, and zero-shot, icl, generated; STORE:NAME"
            " is that of one store. The others are compared with the first.",
        ),
    ] = "vote",
    scoring: ScoringOption = "resubstitution",
    seed: Annotated[int, option(help="Seed of the draws.")] = 0,
    prompts: Annotated[
        bool,
        option("--prompts", help="Compare the prompts of a store, cross-validated on training."),
    ] = False,
    metric: Annotated[
        str | None, option(help="Metric to print; the files have all (default: the first).")
    ] = None,
    max_layers: Annotated[
        str | None,
        option(
            metavar="N,N|each",
            help="Measure depth instead: the best heads of layers up to each N, or each layer.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        option(
            metavar="DIR",
            help="Output folder (default: STORE/results/sweep, depth or prompts; needed for several"
            " stores).",
        ),
    ] = None,
    benchmark: BenchmarkOption = None,
    json: JsonOption = False,
) -> None:
    """Draw few-shot sets from the training examples; all readouts get the same draws."""
    counts = [parse_heads(text) for text in heads.split(",")] if heads else None
    if prompts:
        _require_none_of(context, *OF_TEST)
    if len(stores) > 1 and (prompts or max_layers is not None):
        name = "--prompts" if prompts else "--max-layers"
        raise typer.BadParameter(f"{name} compares within one store, {len(stores)} given")
    if len(stores) > 1 and out is None:
        raise typer.BadParameter("a sweep of several stores has no --out, expected --out DIR")
    measure = partial(
        pipeline.sweep,
        heads=counts,
        shots=[_shots(text) for text in shots.split(",")] if shots else None,
        draws=draws,
        readouts=readouts.split(","),
        scoring=scoring,
        seed=seed,
        benchmark=benchmark,
        max_layers=None if max_layers is None else _depths(max_layers),
        prompts=prompts,
    )
    opened = _open_all(stores)
    if out is not None and len(opened) > 1 and not _hold_same_test(opened, metric):
        _sweep_each(opened, measure, out, as_json=json)
        return
    name = "prompts" if prompts else "sweep" if max_layers is None else "depth"
    folder = result_place(next(iter(opened.values())), out, name)
    _write(measure(opened), folder, metric, as_json=json)


def _open_all(stores: list[str]) -> dict[str, "FeatureStore"]:
    """Return short name -> store."""
    from savs.pipeline.evaluation.compare.result_folders import short_names

    names = [name.replace("/", "-") for name in short_names([Path(store) for store in stores])]
    if len(set(names)) < len(names):
        raise typer.BadParameter("a store is given twice, expected each once")
    return {n: pipeline.open_store(store) for n, store in zip(names, stores, strict=True)}


def _require_none_of(context: typer.Context, *names: str) -> None:
    """Raise a usage error where an option was given that --prompts has no use for."""
    for name in names:
        if str(getattr(context.get_parameter_source(name), "name", "DEFAULT")) != "DEFAULT":
            raise typer.BadParameter(
                f"--{name.replace('_', '-')} is about draws and test examples, which --prompts does"
                " not use: omit it"
            )


def _hold_same_test(stores: dict[str, "FeatureStore"], metric: str | None) -> bool:
    """Return whether stores hold the same test examples, so that their readouts are compared."""
    from savs.pipeline.evaluation.sweep.shared_examples import hold_same_test

    is_same, apart = hold_same_test(list(stores.values()))
    if not is_same and metric is not None:
        raise typer.BadParameter(
            f"--metric is for stores of the same examples; these differ: {visible(apart)}"
        )
    if not is_same:
        say(f"the stores hold different test examples: {apart}")
    return is_same


def _write(sweep: "Sweep", folder: Path, metric: str | None, *, as_json: bool) -> None:
    """Write a sweep, and print one metric of it, by default the first.

    What a benchmark measures is known when it has measured, so the files are written before an
    unknown metric is refused.
    """
    from savs.pipeline.evaluation.sweep.table import with_methods

    files = pipeline.save_sweep(sweep, folder)
    names = sweep.summary["metric"].unique(maintain_order=True).to_list()
    if metric not in (None, *names):
        raise typer.BadParameter(
            f"--metric is {metric!r}, expected one of: {visible('; '.join(names))}; the files have"
            f" all: {', '.join(map(str, files))}"
        )
    table = sweep.summary.filter(metric=metric or names[0])
    if as_json:
        paths = [str(path) for path in files]
        print_json({"files": paths, "summary": table.to_dicts(), "notes": sweep.notes})
    else:
        print_sweep(with_methods(table), metric or names[0])
    for note in sweep.notes:
        say(f"note: {note}")
    say(f"wrote {', '.join(map(str, files))}")


def _sweep_each(
    stores: dict[str, "FeatureStore"],
    measure: Callable[[dict[str, "FeatureStore"]], "Sweep"],
    out: Path,
    *,
    as_json: bool,
) -> None:
    """Sweep stores of different examples one after the other, and print means over them."""
    sweeps = {}
    for name, store in stores.items():
        sweeps[name] = measure({name: store})
        say(f"swept {store.path}")
    joined = pipeline.join_sweeps(sweeps)
    files, table = pipeline.save_sweep(joined, out), joined.over_stores()
    if as_json:
        print_json({"files": [str(path) for path in files], "stores": table.to_dicts()})
    else:
        print_stores(table)
    for note in joined.notes:
        say(f"note: {note}")
    say(f"wrote {', '.join(map(str, files))}")


def _depths(text: str) -> list[int] | Literal["each"]:
    """Return numbers of layers, or `each`; a usage error otherwise."""
    if text == EACH:
        return EACH
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(
            f"--max-layers is {text!r}, expected layers counted from 0, such as 7,13,20, or {EACH}"
        )
    return [int(part) for part in parts]


def _shots(text: str) -> int | Literal["all"]:
    if text == "all":
        return "all"
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(
            f"--shots has {text!r}, expected positive integers or all, such as 1,2,4,all"
        )
    return int(text)
