"""`savs sweep`: readouts, numbers of heads and of shots, over the same few-shot draws."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from savs import pipeline
from savs.pipeline.cli.depth import parse_depths, print_depth
from savs.pipeline.cli.differences import HEADER, compared_cells
from savs.pipeline.cli.options.shared import (
    BenchmarkOption,
    JsonOption,
    ScoringOption,
    option,
    parse_heads,
    result_place,
)
from savs.pipeline.cli.output import print_json, print_line, print_table, say, visible
from savs.pipeline.cli.prompt_table import sweep_store_prompts
from savs.pipeline.names import DEFAULT_DRAWS
from savs.pipeline.running.formatting import percent, points, probability

if TYPE_CHECKING:
    import polars as pl

OF_TEST = ("shots", "draws", "seed", "metric", "benchmark", "max_layers")
"""Options that a sweep of prompts has no use for."""
STORES_FILE = "stores.parquet"


def sweep_command(
    context: typer.Context,
    stores: Annotated[
        list[str],
        typer.Argument(
            metavar="STORE",
            help="Feature stores: folders or URLs. Of several, the means over all are printed.",
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
            help="Readouts, see `savs select --readout`; the others are compared with the first.",
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
    if len(stores) > 1 and (out is None or metric is not None):
        wrong = "has no --out, expected --out DIR" if out is None else "takes no --metric"
        raise typer.BadParameter(f"a sweep of several stores {wrong}")
    grid = {
        "heads": counts,
        "shots": [_shots(text) for text in shots.split(",")] if shots else None,
        "draws": draws,
        "readouts": readouts.split(","),
        "scoring": scoring,
        "seed": seed,
        "benchmark": benchmark,
    }
    if max_layers is not None:
        _depth(stores, grid, parse_depths(max_layers), out, as_json=json)
    elif len(stores) == 1 or out is None:
        _one(stores[0], grid, out, metric, as_json=json)
    else:
        _several(stores, grid, out, as_json=json)


def _require_none_of(context: typer.Context, *names: str) -> None:
    """Raise a usage error where an option was given that --prompts has no use for."""
    for name in names:
        if str(getattr(context.get_parameter_source(name), "name", "DEFAULT")) != "DEFAULT":
            raise typer.BadParameter(
                f"--{name.replace('_', '-')} is about draws and test examples, which --prompts does"
                " not use: omit it"
            )


def _one(
    store: str, grid: dict[str, Any], out: Path | None, metric: str | None, *, as_json: bool
) -> None:
    import polars as pl

    from savs.pipeline.sweeping.sweep_file import save_sweep

    opened = pipeline.open_store(store)
    folder = result_place(opened, out, "sweep")
    found = pipeline.sweep(opened, **grid)
    names = found.summary["metric"].unique(maintain_order=True).to_list()
    if metric is not None and metric not in names:
        known = visible("; ".join(names))
        raise typer.BadParameter(f"--metric is {metric!r}, expected one of: {known}")
    files = save_sweep(found, folder)
    shown = metric or names[0]
    summary, differences = (
        table.filter(pl.col("metric") == shown) for table in (found.summary, found.differences)
    )
    if as_json:
        tables = {"summary": summary.to_dicts(), "differences": differences.to_dicts()}
        print_json({"files": [str(path) for path in files], **tables})
    else:
        _print_summary(summary, shown)
        if differences.height:
            print_line()
            _print_differences(differences)
    say(f"wrote {', '.join(map(str, files))}")


def _depth(
    stores: list[str],
    grid: dict[str, Any],
    depths: list[int] | None,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    from savs.pipeline.sweeping.depth_file import save_depth

    counts = grid.pop("heads") or [None]
    if len(stores) > 1 or len(counts) > 1 or counts == ["all"]:
        raise typer.BadParameter("--max-layers takes one store and one number of --heads")
    opened = pipeline.open_store(stores[0])
    folder = result_place(opened, out, "depth")
    shots: list[int | Literal["all"]] = grid.pop("shots") or ["all"]
    found = pipeline.sweep_depth(opened, max_layers=depths, heads=counts[0], shots=shots, **grid)
    path = save_depth(found, folder)
    if as_json:
        print_json({"files": [str(path)], "depth": found.to_dicts()})
    else:
        print_depth(found)
    say(f"wrote {path}")


def _several(stores: list[str], grid: dict[str, Any], out: Path, *, as_json: bool) -> None:
    from savs.pipeline.comparing.result_folders import short_names
    from savs.pipeline.sweeping.across_stores import across_stores
    from savs.pipeline.sweeping.sweep_file import save_sweep
    from savs.stores.results import write_table

    names = [name.replace("/", "-") for name in short_names([Path(store) for store in stores])]
    if len(set(names)) < len(names):
        raise typer.BadParameter("a store is given twice, expected each once")
    found = {}
    for name, store in zip(names, stores, strict=True):
        found[name] = pipeline.sweep(pipeline.open_store(store), **grid)
        save_sweep(found[name], out / name)
        say(f"swept {store}")
    table = across_stores(found)
    path = out / STORES_FILE
    write_table(path, table)
    if as_json:
        print_json({"files": [str(path)], "stores": table.to_dicts()})
    else:
        _print_stores(table)
    say(f"wrote {path}, and the tables of each store beside it")


def _print_summary(table: "pl.DataFrame", metric: str) -> None:
    header = ["readout", "shots", "heads", f"{metric} (%)", "SD", "95 % interval", "draws"]
    rows = [
        [
            *_point(row),
            percent(row["mean"]),
            percent(row["sd"]),
            f"{percent(row['low'])} .. {percent(row['high'])}",
            str(row["draws"]),
        ]
        for row in table.iter_rows(named=True)
    ]
    print_table(header, rows)
    say(f"chance {percent(table['chance'][0])}; SD over draws, intervals over draws and examples")
    if (table["draws"] == 1).any():
        say(
            "one draw has no interval: it does not show how much draws differ; `savs evaluate` has"
            " the interval over test examples alone"
        )


def _print_differences(table: "pl.DataFrame") -> None:
    header = ["readout", "shots", "heads", "difference", "95 % interval", "p", "p (Holm)"]
    rows = [
        [
            *_point(row | {"readout": row["b"]}),
            points(row["difference"]),
            f"{points(row['low'])} .. {points(row['high'])}",
            probability(row["p"]),
            probability(row["p_holm"]),
        ]
        for row in table.iter_rows(named=True)
    ]
    print_table(header, rows)
    say(f"difference: minus {table['a'][0]} on the same draws and examples, percentage points")
    count = table["p_holm"].count()
    say(f"p (Holm): corrected for the {count:,} rows of the headline metric")


def _print_stores(table: "pl.DataFrame") -> None:
    header = ["readout", "shots", "heads", "mean (%)", *HEADER, "wins", "ties", "losses"]
    rows = [
        [
            *_point(row),
            *compared_cells(row, "mean"),
            *("-" if row[name] is None else str(row[name]) for name in ("wins", "ties", "losses")),
        ]
        for row in table.iter_rows(named=True)
    ]
    print_table(header, rows)
    say(
        f"means over {table['stores'][0]} stores of the headline metric; difference: minus"
        f" {table['readout'][0]}, percentage points; intervals and p over stores"
    )
    say("win, loss: a store where the interval of the difference lies above, or below 0")


def _point(row: dict[str, Any]) -> list[str]:
    shots = "all" if row["shots"] is None else str(row["shots"])
    return [row["readout"], shots, str(row["heads"])]


def _shots(text: str) -> int | Literal["all"]:
    if text == "all":
        return "all"
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(
            f"--shots has {text!r}, expected positive integers or all, such as 1,2,4,all"
        )
    return int(text)
