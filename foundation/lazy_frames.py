"""Tables that are made piece by piece when a query reads them."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import polars as pl
from polars.io.plugins import register_io_source


def lazy_frames(
    frames: Callable[[], Iterable[pl.DataFrame]], schema: Mapping[str, pl.DataType], name: str
) -> pl.LazyFrame:
    """Return a lazy table of frames that are made one after the other, as far as a query needs.

    Parameters
    ----------
    frames
        Called at each query; its frames have the columns of `schema`.
    schema
        Column -> type.
    name
        What `explain` shows.
    """

    def read(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        del batch_size  # a frame is a batch
        left = sys.maxsize if n_rows is None else n_rows
        for frame in frames():
            cut = frame.head(left)  # a limit comes before the predicate
            left -= cut.height
            kept = cut if predicate is None else cut.filter(predicate)
            yield kept if with_columns is None else keep_columns(kept, with_columns)
            if left == 0:
                return

    return register_io_source(read, schema=schema, explain_name=name)


def keep_columns(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Return some columns of a frame, or none: its height stays.

    Polars asks a source for no column where a query only counts its rows, as in a cross join, and
    `select` then loses the height.
    """
    return frame.select(names) if names else frame.drop(frame.columns)
