"""`savs compare`: evaluations on the same test examples, unit by unit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import savs
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import option, require_choice
from savs.pipeline.cli.output import print_json, print_line, print_table, say
from savs.pipeline.running.formatting import counted, percent, points, probability

if TYPE_CHECKING:
    import polars as pl

TABLE = "table"
HEADER = ("difference", "95 % interval", "units", "clusters", "test", "p", "p (Holm)")

EXAMPLES = (
    "savs compare pets/results/vote pets/results/lda",
    "savs compare pets/results/vote pets/results/lda --format markdown",
)


def compare_command(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT",
            help="Result folders, such as STORE/results/vote; the first is the baseline.",
            show_default=False,
        ),
    ],
    metric: Annotated[
        str | None, option(metavar="NAME", help="Compare only this metric (default: all).")
    ] = None,
    out: Annotated[
        Path | None, option(metavar="FILE.parquet", help="Also write the table to this file.")
    ] = None,
    form: Annotated[
        str,
        option(
            "--format",
            metavar="table|markdown|latex|csv",
            help="table of differences; the others print one row per result: method, model, cost.",
        ),
    ] = "table",
    json: JsonOption = False,
) -> None:
    """Takes results on several test sets together; each set has its own baseline."""
    from savs.pipeline.cli.method_formats import FORMATS, as_text, method_cells
    from savs.pipeline.evaluation.compare.compare import across_data_sets, method_table
    from savs.pipeline.running.result_files import require_no_own_file, write_table

    if len(results) < 2:
        raise typer.BadParameter("got one result folder, expected two or more")
    if out is not None and out.suffix != ".parquet":
        raise typer.BadParameter(f"`out` is {out}, expected a name that ends in .parquet")
    require_choice("form", form, (TABLE, *FORMATS))
    if form != TABLE and json:
        raise typer.BadParameter("--format and --json are two ways to print; pass one")
    if out is not None:
        require_no_own_file(out)
    make = savs.compare if form == TABLE else method_table
    table = make(results, metric=metric)
    if form != TABLE:
        print_line(as_text(table, form, method_cells).removesuffix("\n"), keep="\n")
    elif json:
        print_json(table.to_dicts())
    else:
        _print(table)
        _print_data_sets(across_data_sets(table))
    if out is not None:
        write_table(out, table)
        say(f"wrote {out}")


def _print(table: "pl.DataFrame") -> None:
    """Print one table for each two results, then what the columns mean."""
    for place, ((a, b), part) in enumerate(table.group_by("a", "b", maintain_order=True)):
        if place:
            print_line()
        print_table(
            ["metric (%)", str(a), str(b), *HEADER],
            [_cells(row) for row in part.iter_rows(named=True)],
        )
    count = table["p_holm"].count()
    say("difference: the second minus the first, in percentage points")
    say(
        f"p (Holm): corrected for {counted(count, 'test')} of the headline metric; the other p are"
        " not corrected"
    )


def _print_data_sets(means: "pl.DataFrame") -> None:
    """Print the mean over data sets of each two results, if there are several data sets."""
    if not means.height:
        return
    print_line()
    header = ["mean over data sets", "data sets", "difference", "95 % interval", "p",
              "wins", "ties", "losses"]  # fmt: skip
    rows = [
        [
            f"{row['b']} minus {row['a']}",
            str(row["data_sets"]),
            points(row["difference"]),
            f"{points(row['low'])} .. {points(row['high'])}",
            probability(row["p"]),
            *(str(row[name]) for name in ("wins", "ties", "losses")),
        ]
        for row in means.iter_rows(named=True)
    ]
    print_table(header, rows)
    say("win, loss: a data set where the interval of the difference lies above, or below 0")


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["metric"],
        percent(row["value_a"]),
        percent(row["value_b"]),
        points(row["difference"]),
        f"{points(row['low'])} .. {points(row['high'])}",
        f"{row['units']:,}",
        f"{row['clusters']:,}",
        row["test"],
        probability(row["p"]),
        probability(row["p_holm"]),
    ]
