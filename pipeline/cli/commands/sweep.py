"""`savs sweep`: readouts, numbers of heads and of shots, over the same few-shot draws."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from savs import pipeline
from savs.pipeline.cli.depth import parse_depths, print_depth
from savs.pipeline.cli.options.shared import (
    BenchmarkOption,
    JsonOption,
    ScoringOption,
    option,
    parse_heads,
    result_place,
)
from savs.pipeline.cli.output import print_json, print_line, say, visible
from savs.pipeline.cli.prompt_table import sweep_store_prompts
from savs.pipeline.cli.sweep_tables import print_differences, print_stores, print_summary
from savs.pipeline.names import DEFAULT_DRAWS, OWN_ANSWERS

if TYPE_CHECKING:
    import polars as pl

    from savs.pipeline import Sweep
    from savs.stores import FeatureStore

OF_TEST = ("shots", "draws", "seed", "metric", "benchmark", "max_layers")
"""Options that a sweep of prompts has no use for."""
STORES_FILE = "stores.parquet"


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
            help="Output folder (default: STORE/results/sweep or prompts; needed for several"
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
        if len(stores) > 1:
            raise typer.BadParameter(f"--prompts compares within one store, {len(stores)} given")
        sweep_store_prompts(stores[0], counts, readouts.split(","), scoring, out, as_json=json)
        return
    if len(stores) > 1 and out is None:
        raise typer.BadParameter("a sweep of several stores has no --out, expected --out DIR")
    grid: dict[str, Any] = {
        "heads": counts,
        "shots": [_shots(text) for text in shots.split(",")] if shots else None,
        "draws": draws,
        "readouts": readouts.split(","),
        "scoring": scoring,
        "seed": seed,
        "benchmark": benchmark,
    }
    if max_layers is not None:
        _depth(stores, grid, parse_depths(max_layers), out, metric, as_json=json)
        return
    opened = _open_all(stores)
    first = next(iter(opened.values()))
    if len(opened) == 1 and not any(_is_method(first, name) for name in grid["readouts"]):
        found = pipeline.sweep(first, **grid)
        _keep(found, result_place(first, out, "sweep"), metric, as_json=json)
    else:
        _several(opened, grid, out, metric, as_json=json)


def _is_method(store: "FeatureStore", readout: str) -> bool:
    """Return whether a name is of one store's readout, the model's own answers, or captions."""
    from savs.pipeline.evaluation.captions import compares_captions

    is_of_store = ":" in readout and not readout.endswith(".py")
    return readout in OWN_ANSWERS or is_of_store or compares_captions(store, readout)


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


def _keep(found: "Sweep", folder: Path, metric: str | None, *, as_json: bool) -> None:
    """Write a sweep, and print one metric of it."""
    import polars as pl

    from savs.pipeline.evaluation.sweep.sweep_file import save_sweep

    files = save_sweep(found, folder)
    shown = _shown(metric, found.summary["metric"], files)
    summary, differences = (
        table.filter(pl.col("metric") == shown) for table in (found.summary, found.differences)
    )
    if as_json:
        tables = {"summary": summary.to_dicts(), "differences": differences.to_dicts()}
        print_json({"files": [str(path) for path in files], **tables})
    else:
        print_summary(summary, shown)
        if differences.height:
            print_line()
            print_differences(differences)
    say(f"wrote {', '.join(map(str, files))}")


def _shown(metric: str | None, found: "pl.Series", files: list[Path]) -> str:
    """Return the metric to print, by default the first; a usage error for one that there is not.

    What a benchmark measures is known when it has measured, so its files are written before.
    """
    names = found.unique(maintain_order=True).to_list()
    if metric not in (None, *names):
        raise typer.BadParameter(
            f"--metric is {metric!r}, expected one of: {visible('; '.join(names))}; the files have"
            f" all: {', '.join(map(str, files))}"
        )
    return metric or names[0]


def _depth(
    stores: list[str],
    grid: dict[str, Any],
    depths: list[int] | None,
    out: Path | None,
    metric: str | None,
    *,
    as_json: bool,
) -> None:
    from savs.pipeline.evaluation.sweep.depth_file import save_depth

    counts = grid.pop("heads") or [None]
    if len(stores) > 1 or len(counts) > 1 or counts == ["all"]:
        raise typer.BadParameter("--max-layers takes one store and one number of --heads")
    opened = pipeline.open_store(stores[0])
    folder = result_place(opened, out, "depth")
    shots: list[int | Literal["all"]] = grid.pop("shots") or ["all"]
    found = pipeline.sweep_depth(opened, max_layers=depths, heads=counts[0], shots=shots, **grid)
    path = save_depth(found, folder)
    shown = _shown(metric, found["metric"], [path])
    if as_json:
        rows = found.filter(metric=shown) if metric else found
        print_json({"files": [str(path)], "depth": rows.to_dicts()})
    else:
        print_depth(found.filter(metric=shown), shown)
    say(f"wrote {path}")


def _several(
    stores: dict[str, "FeatureStore"],
    grid: dict[str, Any],
    out: Path | None,
    metric: str | None,
    *,
    as_json: bool,
) -> None:
    """Compare methods on the same examples, or print means over stores of different ones."""
    from savs.pipeline.evaluation.sweep.shared_examples import hold_same_test

    is_same, apart = hold_same_test(list(stores.values()))
    if is_same:
        folder = result_place(next(iter(stores.values())), out, "sweep")
        _methods(stores, grid, folder, metric, as_json=as_json)
    elif metric is not None or out is None:
        raise typer.BadParameter(
            f"--metric is for stores of the same examples; these differ: {visible(apart)}"
        )
    else:
        say(f"the stores hold different test examples: {apart}")
        _across(stores, grid, out, as_json=as_json)


def _methods(
    stores: dict[str, "FeatureStore"],
    grid: dict[str, Any],
    folder: Path,
    metric: str | None,
    *,
    as_json: bool,
) -> None:
    counts = grid.pop("heads") or [None]
    if len(counts) > 1:
        raise typer.BadParameter(
            "--heads has several numbers, expected one: methods are compared at one, and a store"
            " that has fewer heads takes all"
        )
    done = pipeline.sweep_methods(stores, heads=counts[0], **grid)
    _keep(done.sweep, folder, metric, as_json=as_json)
    for line in done.notes:
        say(line)


def _across(
    stores: dict[str, "FeatureStore"], grid: dict[str, Any], out: Path, *, as_json: bool
) -> None:
    from savs.pipeline.evaluation.sweep.across_stores import across_stores
    from savs.pipeline.evaluation.sweep.sweep_file import save_sweep
    from savs.stores.results import write_table

    found = {}
    for name, store in stores.items():
        found[name] = pipeline.sweep(store, **grid)
        save_sweep(found[name], out / name)
        say(f"swept {store.path}")
    table = across_stores(found)
    path = out / STORES_FILE
    write_table(path, table)
    if as_json:
        print_json({"files": [str(path)], "stores": table.to_dicts()})
    else:
        print_stores(table)
    say(f"wrote {path}, and the tables of each store beside it")


def _shots(text: str) -> int | Literal["all"]:
    if text == "all":
        return "all"
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(
            f"--shots has {text!r}, expected positive integers or all, such as 1,2,4,all"
        )
    return int(text)
