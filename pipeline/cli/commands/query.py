"""`savs query`: SQL over a store."""

import json as json_format
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savs import pipeline
from savs.pipeline.cli.options.shared import JsonOption, StoreArgument, option
from savs.pipeline.cli.output import print_json, print_line, say

if TYPE_CHECKING:
    import polars as pl

ROWS_SHOWN = 50


def query_command(
    store: StoreArgument,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="The query.")],
    result: Annotated[
        str, option(metavar="NAME", help="Results to query: a folder in STORE/results.")
    ] = "vote",
    csv: Annotated[bool, option("--csv", help="Print CSV on stdout.")] = False,
    json: JsonOption = False,
) -> None:
    """Heads are columns of examples, such as "L12.H7"; only the heads in the query are read."""
    import polars as pl

    if csv and json:
        raise typer.BadParameter("--csv and --json exclude each other; pass one of them")
    found = pipeline.query(pipeline.open_store(store), sql, result)
    if json:
        print_json(found.to_dicts())
    elif csv:
        sys.stdout.write(_flat(found).write_csv())
    else:
        with pl.Config(
            tbl_rows=ROWS_SHOWN,
            tbl_cols=-1,
            tbl_width_chars=-1,
            fmt_str_lengths=60,
            tbl_hide_dataframe_shape=True,
        ):
            print_line(str(found), keep="\n")
        more = f", the first and last {ROWS_SHOWN // 2} shown" if found.height > ROWS_SHOWN else ""
        say(f"{found.height:,} rows{more}")


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
