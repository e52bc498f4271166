"""A store as SQL tables: its examples with their heads, predictions, and single heads' votes."""

from pathlib import Path

import polars as pl

from savs.pipeline.errors import QueryError
from savs.pipeline.head_votes import heads_frame
from savs.pipeline.selection_file import load_selection
from savs.stores import FeatureStore
from savs.stores.results import PREDICTIONS, SELECTION, results_folder


def query_store(store: FeatureStore, sql: str, result: str = "vote") -> pl.DataFrame:
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
        The query is no SQL, or names a table or column that is not there.
    """
    tables = _tables(store, result)
    try:
        return pl.SQLContext(tables, eager=False).execute(sql).collect()
    except pl.exceptions.PolarsError as error:
        raise QueryError(
            f"{str(error).strip()}\n(query: {sql}; tables: {', '.join(tables)};"
            ' a head is a column in double quotes, "L12.H7")'
        ) from error


def _tables(store: FeatureStore, result: str) -> dict[str, pl.LazyFrame]:
    tables = {"examples": store.scan()}
    folder = Path(results_folder(store.path, result))
    if (folder / PREDICTIONS).exists():
        tables["predictions"] = pl.scan_parquet(folder / PREDICTIONS, glob=False)
    if (folder / SELECTION).exists():
        tasks = load_selection(folder / SELECTION).tasks
        heads = list(dict.fromkeys(head for task in tasks for head in task.heads))
        tables["votes"] = heads_frame(store, heads)
    return tables
