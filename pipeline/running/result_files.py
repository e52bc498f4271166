"""Result files of stage 2: selections, metrics, tables. Written whole or not at all."""

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl
from safetensors import SafetensorError

from savs.foundation.errors import reason_of
from savs.foundation.files import (
    file_sha256,
    indented,
    make_folder,
    noted_files,
    regular_size,
    remove_empty,
    remove_left_overs,
    remove_noted,
    unfinished,
    whole_files,
)
from savs.foundation.frames import collect_rows, scan_parquet
from savs.pipeline.running.output_files import disk_errors, new_file
from savs.stores.errors import ResultError, StoreWriteError
from savs.stores.format.layout import MANIFEST, decode_json

CLASSIFIER = "classifier.safetensors"
"""The arrays of a selection."""
CONFIG = "config.json"
"""Everything else of a selection. It is written after the arrays and holds their SHA-256."""
METRICS = "metrics.json"
"""The metrics. It is written after the other files of an evaluation and holds their SHA-256."""
SUBMISSION = "submission.json"
"""Predictions in the form that a benchmark's official evaluation takes."""
PREDICTIONS = "predictions.parquet"
UNITS = "units.parquet"
"""The scores that each metric is the mean of; what `savs compare` reads."""
EVALUATE = "savs evaluate"
SELECT = "savs select"
WRITABLE = "a writable folder as `out`"
"""What to pass where a result cannot be written."""
LARGEST_JSON = 2**28
"""Bytes of a JSON file that is read."""


def require_no_own_file(path: Path) -> None:
    """Raise StoreWriteError if an output replaces a file of a store or of a result."""
    is_shard = path.name == MANIFEST or path.suffix == ".h5"
    marks = (MANIFEST,) if is_shard else (CONFIG, METRICS)
    named = is_shard or path.name in (CLASSIFIER, CONFIG, METRICS, PREDICTIONS, UNITS)
    if named and path.exists() and any((path.parent / mark).exists() for mark in marks):
        raise StoreWriteError(
            f"{path} is a part of a store or of a result, which would be lost; pass another `out`"
        )


def require_writable(folder: Path) -> None:
    """Raise StoreWriteError if results cannot be written to a folder, which need not exist yet.

    For what takes long: the work would be lost.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return
    reason = errno.EACCES if there.is_dir() else errno.ENOTDIR
    with disk_errors(folder, WRITABLE, StoreWriteError):
        raise OSError(reason, os.strerror(reason), str(there))


def write_json(path: Path, value: Mapping[str, Any]) -> str:
    """Write config.json, metrics.json or submission.json; return its SHA-256."""
    return write_file(path, (indented(dict(value)) + "\n").encode("utf-8"))


def write_table(
    path: Path, table: pl.DataFrame | pl.LazyFrame, metadata: Mapping[str, str] = {}
) -> str:
    """Write predictions.parquet, units.parquet or another table; return its SHA-256.

    It is written batch by batch: memory need not hold a lazy one.
    """
    with new_file(path, WRITABLE, StoreWriteError) as partial:
        # polars would read a path in its own way: `~`, bytes
        with partial.open("wb") as file:
            table.lazy().sink_parquet(file, metadata=dict(metadata))
        return file_sha256(partial)


def write_csv(path: Path, table: pl.DataFrame) -> str:
    """Write a table without lists as CSV; return its SHA-256."""
    return write_file(path, table.write_csv().encode("utf-8"))


def copy_result(source: Path, target: Path) -> Path:
    """Copy a file of a selection; ResultError if it cannot be read."""
    with reading(source, SELECT):
        regular_size(source)
        content = source.read_bytes()
    write_file(target, content)
    return target


def read_json(path: Path, command: str = EVALUATE) -> dict[str, Any]:
    """Read what `write_json` wrote; `command` writes it, for the message.

    ResultError if it is not there, or no JSON object.
    """
    with reading(path, command):
        regular_size(path, LARGEST_JSON)
        value = decode_json(path.read_bytes())
        if not isinstance(value, dict):
            raise ValueError(f"it holds a {type(value).__name__}, expected an object")
        return value


def read_table(
    path: Path, schema: pl.Schema, filled: Sequence[str] = (), command: str = EVALUATE
) -> pl.DataFrame:
    """Read the columns of a schema from what `write_table` wrote; `filled` ones have every value.

    `command` writes the table, for the message.

    ResultError if it is not there, no Parquet, without one of the columns, or with one of another
    type.
    """
    with reading(path, command):
        size = regular_size(path)
        with path.open("rb") as file:
            table = collect_rows(scan_parquet(file).select(list(schema)), size)
        if table.schema != schema:
            raise ValueError(f"its columns are {dict(table.schema)}, expected {dict(schema)}")
        if empty := next((name for name in filled if table[name].null_count()), None):
            raise ValueError(f"column {empty!r} has an empty cell")
        return table


@contextmanager
def reading(path: Path, command: str) -> Iterator[None]:
    """Turn errors of reading a file into a ResultError; `command` writes the file."""
    known = (OSError, ValueError, RecursionError, MemoryError, SafetensorError)
    try:
        yield
    except FileNotFoundError as error:
        raise ResultError(f"{path} does not exist; run `{command}`, which writes it") from error
    except (*known, pl.exceptions.PolarsError) as error:
        raise ResultError(
            f"{path} cannot be read ({reason_of(error)}); run `{command}` again"
        ) from error


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder for files of a result; they replace the old ones together.

    See `whole_files`; `withdraw` removes one. StoreWriteError if the folder cannot be written.
    """
    new = None
    try:
        with disk_errors(folder, WRITABLE, StoreWriteError), whole_files(folder) as new:
            yield new
    except StoreWriteError as error:
        if new is None or str(new) not in str(error):
            raise
        raise StoreWriteError(str(error).replace(str(new), str(folder))) from error


def withdraw(path: Path) -> None:
    """Have `writing` remove the old file of this name; one that was written before goes, too."""
    with disk_errors(path, WRITABLE, StoreWriteError):
        path.write_bytes(b"")


@contextmanager
def unfinished_result(mark: Path, names: Sequence[str]) -> Iterator[None]:
    """Mark a folder, which is made, until the block has written all its files: `unfinished`.

    Those of these names that a killed writer left are removed before, and those that the block
    wrote if it fails.
    """
    folder = mark.parent
    was_there = folder.exists()
    with ExitStack() as stack:
        with disk_errors(mark, WRITABLE, StoreWriteError):
            make_folder(folder)
            if not was_there:
                stack.callback(remove_empty, folder)  # when the mark is gone
            stack.enter_context(unfinished(mark))
            for name in names:
                (folder / name).unlink(missing_ok=True)
            remove_left_overs(folder, mark.name)
        written = stack.enter_context(noted_files())
        try:
            yield
        except BaseException:
            with suppress(OSError):
                remove_noted([file for file in written if file[0].is_relative_to(folder)])
            raise


def write_file(path: Path, content: bytes) -> str:
    """Write a file whole, and make its folder; return its SHA-256.

    StoreWriteError if the folder or the file cannot be written.
    """
    with new_file(path, WRITABLE, StoreWriteError) as partial:
        partial.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
