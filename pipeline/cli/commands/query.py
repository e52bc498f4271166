"""`savs query`: SQL over a store."""

import json as json_format
from typing import Annotated, Any

import polars as pl
import typer

from savs.pipeline.cli.options.shared import ConfigOption, JsonOption, StoreArgument, option
from savs.pipeline.cli.output import print_json, say
from savs.pipeline.explore.query import query
from savs.stores import open_store

ROWS_SHOWN = 50


def query_command(
    store: StoreArgument,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="A query, e.g. in double quotes.")],
    result: Annotated[
        str, option(metavar="NAME", help="Which results: a folder below STORE/results.")
    ] = "vote",
    csv: Annotated[bool, option("--csv", help="Print CSV on stdout.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Query a store with SQL: tables examples, predictions (after evaluate) and votes.

    Heads are columns of examples, "L12.H7"; those that the query names are read, no other.
    """
    if csv and json:
        raise typer.BadParameter("--csv and --json are two forms of the same; give one")
    found = query(open_store(store), sql, result)
    if json:
        print_json(found.to_dicts())
    elif csv:
        print(_flat(found).write_csv(), end="")
    else:
        with pl.Config(
            tbl_rows=ROWS_SHOWN,
            tbl_cols=-1,
            tbl_width_chars=-1,
            fmt_str_lengths=60,
            tbl_hide_dataframe_shape=True,
        ):
            print(found)
        more = f", the first and last {ROWS_SHOWN // 2} shown" if found.height > ROWS_SHOWN else ""
        say(f"{found.height:,} rows{more}")


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame that CSV can hold: lists, arrays and structs as JSON text."""
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    return frame.with_columns(pl.Series(name, [_text(v) for v in frame[name]]) for name in nested)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    plain = value.to_list() if isinstance(value, pl.Series) else value
    return json_format.dumps(plain, ensure_ascii=False)
