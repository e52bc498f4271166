"""`savs sweep`: readouts, numbers of heads and of shots, over the same few-shot draws."""

from pathlib import Path
from typing import Annotated, Any

import typer

from savs import pipeline
from savs.pipeline.cli.options.shared import (
    BenchmarkOption,
    JsonOption,
    ScoringOption,
    StoreArgument,
    option,
    parse_heads,
    result_place,
)
from savs.pipeline.cli.output import percent, print_json, print_table, say, visible
from savs.pipeline.names import DEFAULT_DRAWS

DRAWS_FILE = "draws.parquet"
SUMMARY_FILE = "summary.parquet"


def sweep_command(
    store: StoreArgument,
    heads: Annotated[
        str | None,
        option(
            metavar="N,N|all",
            help="Numbers of heads (default: those of 1,5,10,20,50,all that fit).",
        ),
    ] = None,
    shots: Annotated[
        str | None,
        option(metavar="N,N", help="Examples per class (default: those of 1,2,5,10,20 that fit)."),
    ] = None,
    draws: Annotated[
        int, option(min=1, help="Random draws for each number of shots.")
    ] = DEFAULT_DRAWS,
    readouts: Annotated[
        str, option(metavar="NAME,NAME", help="Readouts, see `savs select --readout`.")
    ] = "vote",
    scoring: ScoringOption = "resubstitution",
    seed: Annotated[int, option(help="Seed of the draws and the intervals.")] = 0,
    metric: Annotated[
        str | None, option(help="Metric to print; the files have all (default: the first).")
    ] = None,
    out: Annotated[
        Path | None, option(metavar="DIR", help="Output folder (default: STORE/results/sweep).")
    ] = None,
    benchmark: BenchmarkOption = None,
    json: JsonOption = False,
) -> None:
    """Draw few-shot sets from the training examples; all readouts get the same draws."""
    import polars as pl

    from savs.stores.results import whole_result, write_table

    opened = pipeline.open_store(store)
    folder = result_place(opened, out, "sweep")
    found = pipeline.sweep(
        opened,
        heads=[parse_heads(text) for text in heads.split(",")] if heads else None,
        shots=[_number("--shots", text) for text in shots.split(",")] if shots else None,
        draws=draws,
        readouts=readouts.split(","),
        scoring=scoring,
        seed=seed,
        benchmark=benchmark,
    )
    names = found.summary["metric"].unique(maintain_order=True).to_list()
    if metric is not None and metric not in names:
        known = visible("; ".join(names))
        raise typer.BadParameter(f"--metric is {metric!r}, expected one of: {known}")
    with whole_result(folder):
        files = [
            write_table(folder / DRAWS_FILE, found.draws),
            write_table(folder / SUMMARY_FILE, found.summary),
        ]
    shown = found.summary.filter(pl.col("metric") == (metric or names[0]))
    if json:
        print_json({"files": [str(path) for path in files], "summary": shown.to_dicts()})
    else:
        header = ["readout", "shots", "heads", f"{metric or names[0]} (%)", "SD", "95 % interval"]
        print_table(header, [_row(row) for row in shown.iter_rows(named=True)])
        say(f"chance {percent(shown['chance'][0])}; means and SD over {draws} draws")
    say(f"wrote {files[0]} and {files[1]}")


def _row(row: dict[str, Any]) -> list[str]:
    return [
        row["readout"],
        str(row["shots"]),
        str(row["heads"]),
        percent(row["mean"]),
        percent(row["sd"]),
        f"{percent(row['low'])} .. {percent(row['high'])}",
    ]


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"{name} has {text!r}, expected positive integers such as 1,2,5")
    return int(text)
