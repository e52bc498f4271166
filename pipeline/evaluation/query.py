"""A store as SQL tables: its examples with their heads, predictions, and single heads' votes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import polars as pl

from savs.foundation.errors import command
from savs.foundation.frames import expanded_bytes, scan_parquet
from savs.pipeline.errors import QueryError
from savs.pipeline.evaluation.results import Result, Results
from savs.pipeline.names import shows_defaults
from savs.pipeline.running.bounded_process import BoundError, frame_within_limits
from savs.pipeline.running.option_texts import parse_queried
from savs.pipeline.running.options import Option
from savs.pipeline.running.result_files import CONFIG, EVALUATE, PREDICTIONS, reading
from savs.pipeline.selection.compatibility import require_fit
from savs.pipeline.selection.heads_table import heads_frame
from savs.pipeline.selection.selection_config import load_config
from savs.stores import FeatureStore
from savs.stores.files.addresses import is_remote
from savs.stores.read.store import AnyStore, as_store

TABLES = ("predictions", "votes")
"""Tables that results hold."""
READING = ("SELECT", "WITH", "FROM", "VALUES", "EXPLAIN", "SHOW")
"""What a statement that changes nothing may begin with."""
MOST_OPERATORS = 300
"""Of a query: polars walks through a chain of them by recursion, and ends the process if the stack
is full. A list after IN has none."""
_OPERATOR = re.compile(
    r"\b(?:AND|OR|NOT|UNION|EXCEPT|INTERSECT|JOIN|WHEN|CAST)\b|::|\|\||<=|>=|<>|!=|[-+*/%<>=(\[]",
    re.IGNORECASE,
)
_TOO_MANY_ROWS = re.compile(r"maximum length reached|fits into 2\^32|from `u128` to `u32`")
"""How polars says that a step has more rows than it can count."""
_TEXT = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
"""Literals, names in quotes and comments."""
_RECURSIVE = re.compile(r"\bRECURSIVE\b", re.IGNORECASE)
_FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(\w+)", re.DOTALL)


@shows_defaults
def query(
    store: Annotated[
        AnyStore,
        Option(metavar="STORE|RESULT", parse=parse_queried, fills={"result": "STORE/results/NAME"}),
    ],
    sql: str,
    result: Annotated[str | None, Option(level="python")] = None,
) -> pl.DataFrame:
    """Return what a SQL query finds in a store; only the heads that it names are read.

    It runs in a process of its own, with limits of memory and time: a join may have the product of
    its tables as rows.

    Parameters
    ----------
    store
        Feature store: a folder or a URL (https://), or a result in it, such as STORE/results/vote.

        Complete, or a partial one.
    sql
        The query.

        It is in polars' dialect of SQL over `examples` (a row an example, with a column a head),
        `predictions` (what evaluate left) and `votes` (see `heads_frame`, of the chosen heads).
    result
        Results to query: a folder in STORE/results (default: trained,
        `DEFAULT_READOUT`, or the only one).

        Left-out training examples have its predictions where
        no test examples were evaluated.

    Raises
    ------
    QueryError
        The query is no SQL, would change something, reads a file, names a table or column that is
        not there, or needs more than the limits allow, or more than 2^32 rows in one step.
    ResultError
        The predictions were changed, or are not of the evaluation in metrics.json.
    """
    store = as_store(store)
    results = Results(store.path)
    named = results.default if result is None else results.place(result)
    there: dict[str, Path] = {}
    if named is not None and not is_remote(store.path):
        files = (named.measured.folder / PREDICTIONS, named.folder / CONFIG)
        there = {name: file for name, file in zip(TABLES, files, strict=True) if file.exists()}
    try:
        return frame_within_limits(collect_query, store, there, sql)
    except BoundError as error:
        raise _too_much(str(error), sql) from error
    except pl.exceptions.PolarsError as error:
        if _TOO_MANY_ROWS.search(str(error)):
            raise _too_much("it has more than 2^32 rows", sql) from error
        reason = str(error).strip().split("\n\nResolved plan", 1)[0]
        absent = [name for name in TABLES if name not in there and _mentions(sql, name)]
        hint = (
            f"; for {absent[0]}, run `{command('savs', 'evaluate', store.path)}` first"
            f" ({f'results {named.name!r}' if named else 'no result is named'}; `result` names"
            f" {'others' if named else 'one'})"
            if absent
            else ""
        )
        raise QueryError(
            f"{reason}\n(query: {sql}; tables: {', '.join(['examples', *there])};"
            f' a head is a column in double quotes, "L12.H7"{hint})'
        ) from error


def collect_query(store: FeatureStore, there: Mapping[str, Path], sql: str) -> pl.DataFrame:
    """Run a query in this process, which may not live through a great one."""
    _require_reading(sql)
    return pl.SQLContext(_tables(store, there, sql), eager=False).execute(sql).collect()


def _too_much(reason: str, sql: str) -> QueryError:
    return QueryError(
        f"the query asks for too much: {reason}; name fewer columns, filter the tables, or join on"
        f" columns that tell rows apart, such as USING (id, split); `store.scan()` in Python has no"
        f" limit (query: {sql:.200})"
    )


def _require_reading(sql: str) -> None:
    """Raise QueryError if a query would change something or read anything but its tables.

    Polars' own parser names what a query reads, so quotes, comments and nesting hide nothing.
    """
    plain = _TEXT.sub(" ", sql)
    if _RECURSIVE.search(plain):
        raise QueryError(f"WITH RECURSIVE is refused: polars would not end (query: {sql:.200})")
    if (count := len(_OPERATOR.findall(plain))) > MOST_OPERATORS:
        raise QueryError(
            f"the query has {count:,} operators, more than {MOST_OPERATORS:,}; compare with a list:"
            f" column IN (1, 2, ...) (query: {sql:.200} ...)"
        )
    names = pl.SQLContext()._ctxt.table_identifiers(sql, include_schema=True, unique=True)
    called = [name for name in names if _is_function(name)]
    if called:
        raise QueryError(
            f"{called[0]}(...) is refused: a query reads the tables examples, predictions and votes"
            f" of the store, no files and no addresses (query: {sql})"
        )
    first = _FIRST_WORD.match(sql)
    if first and first[1].upper() not in READING:
        raise QueryError(f"a query can only read data; start it with SELECT (query: {sql})")


def _is_function(name: str) -> bool:
    """Return whether polars would read a file by `FROM name('file')`."""
    quoted = name.replace('"', '""')
    try:
        pl.SQLContext().execute(f'SELECT * FROM "{quoted}"(0)').collect_schema()  # 0 is no file
    except pl.exceptions.PolarsError as error:
        return "not a supported table function" not in str(error)
    return True


def _mentions(sql: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", sql, re.IGNORECASE) is not None


def _tables(store: FeatureStore, there: Mapping[str, Path], sql: str) -> dict[str, pl.LazyFrame]:
    """Return the tables that a query mentions; `examples` always is."""
    tables = {"examples": store.scan()}
    if "predictions" in there and _mentions(sql, "predictions"):
        file = there["predictions"]
        _ = Result(file.parent).metrics  # its digest is right
        with reading(file, EVALUATE):
            tables["predictions"] = scan_parquet(file)
            expanded_bytes(tables["predictions"], file.stat().st_size)
    if "votes" in there and _mentions(sql, "votes"):
        selection = load_config(there["votes"])
        require_fit(selection, store.manifest, store.path, of=there["votes"].parent)
        tables["votes"] = heads_frame(selection.seen(store), selection.heads)
    return tables
