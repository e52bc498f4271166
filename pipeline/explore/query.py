"""A store as SQL tables: its examples with their heads, predictions, and single heads' votes."""

import re
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from savs.pipeline.errors import QueryError
from savs.pipeline.heads.head_votes import heads_frame
from savs.pipeline.selection.selection_file import load_config
from savs.stores import FeatureStore
from savs.stores.files.paths import is_remote
from savs.stores.results import CONFIG, PREDICTIONS, results_folder

FILES = {"predictions": PREDICTIONS, "votes": CONFIG}
"""Table -> the result file that it is made of."""
_CHANGING = re.compile(r"\s*(ALTER|CREATE|DELETE|DROP|INSERT|TRUNCATE|UPDATE)\b", re.IGNORECASE)


def query(store: FeatureStore, sql: str, result: str = "vote") -> pl.DataFrame:
    """Return what a SQL query finds in a store; only the heads that it names are read.

    Parameters
    ----------
    store
        A complete store, or a partial one.
    sql
        A query in polars' dialect of SQL over `examples` (a row an example, with a column a head),
        `predictions` (what evaluate left) and `votes` (see `heads_frame`, of the chosen heads).
    result
        Folder below the store's results whose predictions and selection are meant.

    Raises
    ------
    QueryError
        The query is no SQL, would change something, or names a table or column that is not there.
    """
    if _CHANGING.match(sql):
        raise QueryError(f"a query can only read data; start it with SELECT (query: {sql})")
    there = _there(store, result)
    tables = _tables(store, there, sql)
    try:
        return pl.SQLContext(tables, eager=False).execute(sql).collect()
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().split("\n\nResolved plan", 1)[0]
        absent = [name for name in FILES if name not in there and _mentions(sql, name)]
        hint = (
            f"; for {absent[0]}, run `savs evaluate {store.path}` first (results {result!r};"
            " --result names others)"
            if absent
            else ""
        )
        raise QueryError(
            f"{reason}\n(query: {sql}; tables: {', '.join(['examples', *there])};"
            f' a head is a column in double quotes, "L12.H7"{hint})'
        ) from error


def _mentions(sql: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", sql, re.IGNORECASE) is not None


def _there(store: FeatureStore, result: str) -> dict[str, Path]:
    """Return the tables that results hold, with their files; a remote store has none."""
    if is_remote(store.path):
        return {}
    folder = results_folder(store.path, result)
    return {name: folder / file for name, file in FILES.items() if (folder / file).exists()}


def _tables(store: FeatureStore, there: Mapping[str, Path], sql: str) -> dict[str, pl.LazyFrame]:
    """Return the tables that a query mentions; `examples` always is."""
    tables = {"examples": store.scan()}
    if "predictions" in there and _mentions(sql, "predictions"):
        tables["predictions"] = pl.scan_parquet(there["predictions"], glob=False)
    if "votes" in there and _mentions(sql, "votes"):
        tables["votes"] = heads_frame(store, load_config(there["votes"]).heads)
    return tables
