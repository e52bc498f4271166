"""`savs query`: SQL over a store."""

import json as json_format
from typing import TYPE_CHECKING, Annotated, Any

import typer

import savs
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import StoreArgument, option, require_choice
from savs.pipeline.cli.output import print_bytes, print_json, print_line, say
from savs.pipeline.running.formatting import counted

if TYPE_CHECKING:
    import polars as pl

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

    require_choice("form", form, ("table", "csv"))
    if form == "csv" and json:
        raise typer.BadParameter("--format csv and --json are two ways to print; pass one")
    table = savs.query(savs.open_store(store), sql, result)
    if json:
        print_json(table.to_dicts())
    elif form == "csv":
        print_bytes(_flat(table).write_csv().encode("utf-8"))
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


def _flat(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Return a frame that CSV can hold: lists, arrays and structs as JSON text."""
    import polars as pl

    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    return frame.with_columns(pl.Series(name, [_text(v) for v in frame[name]]) for name in nested)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    plain = value.to_list() if hasattr(value, "to_list") else value  # a polars series
    return json_format.dumps(plain, ensure_ascii=False)
