"""A sweep over depths on disk: one table in a folder."""

from pathlib import Path

import polars as pl

from savs.pipeline.evaluation.sweep.depth_table import DEPTH_SCHEMA
from savs.stores.results import read_table, whole_result, write_table

DEPTH_FILE = "depth.parquet"


def save_depth(found: pl.DataFrame, folder: Path) -> Path:
    """Write the table of `sweep_depth` and return its path; StoreWriteError if that fails."""
    with whole_result(folder):
        write_table(folder / DEPTH_FILE, found)
    return folder / DEPTH_FILE


def is_depth(folder: Path) -> bool:
    """Return whether a folder holds a sweep over depths."""
    return (folder / DEPTH_FILE).is_file()


def load_depth(folder: Path) -> pl.DataFrame:
    """Return the table, columns `DEPTH_SCHEMA`.

    Raises
    ------
    ResultError
        The file is not there, or not as `save_depth` wrote it.
    """
    filled = ["readout", "heads", "max_layer", "share", "metric", "mean", "chance", "draws"]
    return read_table(folder / DEPTH_FILE, pl.Schema(DEPTH_SCHEMA), filled)
