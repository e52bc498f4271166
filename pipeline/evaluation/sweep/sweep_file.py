"""A sweep on disk: four tables in a folder."""

from pathlib import Path

import polars as pl

from savs.pipeline.evaluation.sweep.summary import SUMMARY_SCHEMA, Sweep
from savs.stores.results import read_table, whole_result, write_table

DRAWS_FILE = "draws.parquet"
SUMMARY_FILE = "summary.parquet"
DIFFERENCES_FILE = "differences.parquet"
UNITS_FILE = "units.parquet"


def save_sweep(found: Sweep, folder: Path) -> list[Path]:
    """Write the tables of a sweep and return their paths.

    Raises
    ------
    StoreWriteError
        The folder cannot be written.
    """
    with whole_result(folder):
        write_table(folder / DRAWS_FILE, found.draws)
        write_table(folder / SUMMARY_FILE, found.summary)
        write_table(folder / DIFFERENCES_FILE, found.differences)
        write_table(folder / UNITS_FILE, found.units)
    return [folder / name for name in (DRAWS_FILE, SUMMARY_FILE, DIFFERENCES_FILE, UNITS_FILE)]


def is_sweep(folder: Path) -> bool:
    """Return whether a folder holds the tables of a sweep."""
    return (folder / SUMMARY_FILE).is_file() and (folder / DRAWS_FILE).is_file()


def load_summary(folder: Path) -> pl.DataFrame:
    """Return the means over draws of a sweep, columns `SUMMARY_SCHEMA`.

    Raises
    ------
    ResultError
        The file is not there, or not as `save_sweep` wrote it.
    """
    filled = ["readout", "heads", "metric", "mean", "chance", "draws"]
    return read_table(folder / SUMMARY_FILE, pl.Schema(SUMMARY_SCHEMA), filled)
