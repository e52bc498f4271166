"""Predictions as Parquet in memory: of a large table, a query decodes what it names."""

import io

import polars as pl

from savs.foundation.frames import scan_parquet
from savs.stores import FeatureStore

LEVEL = 1
"""Of zstd, the fastest: tables are read again soon."""
SLICE = 2**14
"""Predictions that are packed at a time when they are put into order."""


def packed(predictions: pl.DataFrame) -> pl.LazyFrame:
    """Return predictions as Parquet in memory, of which a query reads the columns that it names."""
    file = io.BytesIO()
    predictions.write_parquet(file, compression_level=LEVEL, statistics=False)
    return scan_parquet(file.getvalue())


def in_file_order(store: FeatureStore, table: pl.LazyFrame) -> pl.LazyFrame:
    """Return packed predictions of test examples in the order of the input file.

    Where they are in another one, memory holds the whole table while it is packed anew, so that no
    query has to sort it.
    """
    places = store.places("test", table.select("id").collect())
    if places.is_sorted():
        return table
    rows, order = table.collect(), places.arg_sort()
    starts = range(0, rows.height, SLICE)
    return pl.concat(packed(rows[order[start : start + SLICE]]) for start in starts)
