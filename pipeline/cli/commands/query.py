"""`savs query`: SQL over a store."""

from typing import Annotated

import typer

import savs
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import StoreArgument, option, require_choice
from savs.pipeline.cli.output import print_bytes, print_json, print_line, say
from savs.pipeline.running.formatting import counted

ROWS_SHOWN = 50
EXAMPLES = (
    'savs query pets "SELECT label, count(*) AS n FROM examples GROUP BY label"',
    'savs query pets "SELECT id, prediction FROM predictions WHERE NOT correct" --format csv',
)


def query_command(
    store: StoreArgument,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="The query.")],
    result: Annotated[
        str | None,
        option(
            metavar="NAME",
            help="Results to query: a folder in STORE/results (default: trained, vote, or the"
            " only one).",
        ),
    ] = None,
    form: Annotated[
        str, option("--format", metavar="table|csv", help="How rows are printed.")
    ] = "table",
    json: JsonOption = False,
) -> None:
    """Heads are columns of examples, such as "L12.H7". Reads only the heads in the query."""
    import polars as pl

    from savs.pipeline.running.output_files import cells_of_lists

    require_choice("form", form, ("table", "csv"))
    if form == "csv" and json:
        raise typer.BadParameter("--format csv and --json are two ways to print; pass one")
    table = savs.query(savs.open_store(store), sql, result)
    if json:
        print_json(table.to_dicts())
    elif form == "csv":
        print_bytes(cells_of_lists(table).write_csv().encode("utf-8"))
    else:
        with pl.Config(
            tbl_rows=ROWS_SHOWN,
            tbl_cols=-1,
            tbl_width_chars=-1,
            fmt_str_lengths=60,
            tbl_hide_dataframe_shape=True,
        ):
            print_line(str(table), keep="\n")
        more = f", the first and last {ROWS_SHOWN // 2} shown" if table.height > ROWS_SHOWN else ""
        say(f"{counted(table.height, 'row')}{more}")
