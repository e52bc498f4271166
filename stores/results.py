"""Result files of stage 2: selections, metrics, tables. Written whole or not at all."""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.foundation.whole_files import whole_file
from savs.stores.errors import ResultError, StoreWriteError
from savs.stores.format.layout import RESULTS

SELECTION = "selection.npz"
METRICS = "metrics.json"
SUBMISSION = "submission.json"
"""Predictions in the form that a benchmark's official evaluation takes."""
PREDICTIONS = "predictions.parquet"
UNITS = "units.parquet"
"""The scores that each metric is the mean of; what `savs compare` reads."""
_HEADER = "header"

Arrays = Mapping[str, np.ndarray[Any, Any]]


def results_folder(store: Path, name: str) -> Path:
    """Return the folder of the results of this name in a store."""
    return store / RESULTS / name


def write_selection(path: Path, header: Mapping[str, Any], arrays: Arrays) -> Path:
    """Write a selection: a JSON header and named arrays in one npz file, without pickle."""
    if {_HEADER, "file"} & set(arrays):
        raise ValueError(f"no array may be called {_HEADER!r} or 'file'")
    text = json.dumps(dict(header), ensure_ascii=False).encode("utf-8")
    buffer = io.BytesIO()
    everything: dict[str, Any] = {_HEADER: np.frombuffer(text, dtype=np.uint8), **arrays}
    np.savez(buffer, allow_pickle=False, **everything)
    _write(path, buffer.getvalue())
    return path


def read_selection(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Read what `write_selection` wrote.

    Raises
    ------
    ResultError
        Not there, or not a selection file.
    """
    try:
        if not zipfile.is_zipfile(path) and path.exists():
            raise ValueError("it is no npz archive")
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return json.loads(arrays.pop(_HEADER).tobytes().decode("utf-8")), arrays
    except FileNotFoundError as error:
        raise ResultError(f"{path} is not there; `savs select` writes it") from error
    except Exception as error:  # zip, npy and JSON each have their own
        raise ResultError(
            f"{path} is no selection file ({error}); make it again with `savs select`"
        ) from error


def write_json(path: Path, value: Mapping[str, Any]) -> Path:
    """Write metrics.json or submission.json."""
    text = json.dumps(dict(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    _write(path, text.encode("utf-8"))
    return path


def write_table(path: Path, table: pl.DataFrame) -> Path:
    """Write predictions.parquet, units.parquet or another table."""
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    _write(path, buffer.getvalue())
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote.

    Raises
    ------
    ResultError
        Not there, or no JSON object.
    """
    with _reading(path):
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}, expected an object")
        return found


def read_table(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Read columns of what `write_table` wrote.

    Raises
    ------
    ResultError
        Not there, no Parquet, or without one of the columns.
    """
    with _reading(path), path.open("rb") as file:
        return pl.read_parquet(file, columns=list(columns))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ResultError(
            f"{path} is not there; `savs evaluate` writes it: run it again"
        ) from error
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        reason = str(error).strip().partition("\n")[0]  # polars adds its query plan
        raise ResultError(
            f"{path} cannot be read ({reason}); make it again with `savs evaluate`"
        ) from error


def _write(path: Path, content: bytes) -> None:
    with _disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_bytes(content)


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreWriteError(
            f"{path} cannot be written: {error.strerror or error}; give --out a folder that can"
        ) from error
