"""Predictions in a file that grows while they are made, and that a later run goes on with.

CSV and JSON Lines grow row by row. A Parquet file cannot: its rows are in NAME.parquet.jsonl until
the run ends. NAME.run.json says how the rows were made and how many bytes of them are whole, so
that what a killed run left half written is cut off.
"""

import fcntl
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec
import polars as pl

from savs.foundation.errors import SavsError
from savs.foundation.files import make_folder, native_disk_errors, remove_left_overs, whole_file
from savs.foundation.frames import scan_parquet
from savs.pipeline.classifying.csv_rows import csv_bytes, read_csv
from savs.pipeline.errors import OutputError
from savs.stores.format.layout import Facts, decode_json

LINES = (".jsonl", ".ndjson")
CSV = ".csv"
PARQUET = ".parquet"
SUFFIXES = (CSV, *LINES, PARQUET)
RUN = ".run.json"
JOURNAL = ".jsonl"


@dataclass(frozen=True, slots=True)
class RunState:
    """What NAME.run.json holds."""

    made: Facts
    """Of what the predictions are: a run of something else is refused."""
    bytes: int | None
    """Length of the rows that are whole; None for the whole file."""
    is_finished: bool = False
    """Whether a Parquet file has all rows, and not the file beside it."""


@dataclass(slots=True)
class PredictionFile:
    """An output file that is open for writing; made by `open_predictions`."""

    path: Path
    schema: Mapping[str, Any]
    made: Facts
    done: pl.DataFrame
    """The rows of earlier runs."""
    _file: IO[bytes]
    _bytes: int
    """Length of the rows that are whole."""
    _next: int = 0
    """Number of the shard whose rows come next."""
    _early: dict[int, pl.DataFrame] = field(default_factory=dict)
    """Shards that were done before one that comes first."""

    def take(self, number: int, rows: pl.DataFrame) -> None:
        """Write the rows of a shard once those of all earlier ones are written.

        Raises
        ------
        OutputError
            The disk refuses.
        """
        self._early[number] = rows
        while (found := self._early.pop(self._next, None)) is not None:
            self._next += 1
            with output_errors(self.path):
                self._append(found)

    def _append(self, rows: pl.DataFrame) -> None:
        self._file.truncate(self._bytes)  # what a full disk left half written
        text = _text(self.path, rows, with_header=self._bytes == 0)
        self._file.write(text)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._bytes += len(text)
        _write_state(self.path, RunState(self.made, self._bytes))

    def finish(self) -> None:
        """Make the Parquet file, where that is the format."""
        if self.path.suffix.lower() != PARQUET:
            return
        rows_path = _rows_path(self.path)
        with output_errors(self.path):
            with whole_file(self.path) as partial, partial.open("wb") as file, native_disk_errors():
                _scan_lines(rows_path, self.schema).sink_parquet(file)
            _write_state(self.path, RunState(self.made, None, is_finished=True))
            rows_path.unlink()


@contextmanager
def open_predictions(
    path: Path, schema: Mapping[str, Any], made: Facts, *, retry_skipped: bool, force: bool
) -> Iterator[PredictionFile]:
    """Make an output file, or go on with the one that is there.

    Parameters
    ----------
    path
        `*.csv`, `*.jsonl` or `*.parquet`.
    schema
        Its columns.
    made
        Of what the predictions are.
    retry_skipped
        Drop rows with a reason, so that they are made again.
    force
        Replace a file that is there.

    Raises
    ------
    OutputError
        The file is of another classifier or of another program, was changed, is being written by
        another process, or cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES or (path.exists() and not path.is_file()):
        raise OutputError(
            f"{path}: expected a name that ends in {', '.join(SUFFIXES)} as --out, and no folder,"
            " pipe or device"
        )
    rows_path = _rows_path(path)
    with output_errors(path):
        make_folder(path.parent)
        for place in (_state_path(path), rows_path, path):
            remove_left_overs(place)
        is_new = _is_new(path, rows_path)
        if not (force or is_new):
            _require_same(path, made)  # before a file is made
        file = rows_path.open("a+b")
    try:
        with output_errors(path):
            _lock(path, file)
            begins = force or (is_new and not _size(file))
            size = 0 if begins else _resume(path, made, file)
            file.truncate(size)
            done = _read(rows_path, schema) if size else pl.DataFrame(schema=schema)
            if retry_skipped and done["reason"].null_count() < done.height:
                done = done.filter(pl.col("reason").is_null())
                file = _rewritten(path, done, made, file)
                size = _size(file)
            _write_state(path, RunState(made, size))
        yield PredictionFile(path, schema, made, done, file, size)
    finally:
        with suppress(OSError):  # a full disk refuses once more what it refused before
            file.close()


def _is_new(*places: Path) -> bool:
    """Return whether no run has begun a file, or one was killed before it could say of what."""
    there = [place for place in places if place.exists()]
    return not there or not (
        _state_path(places[0]).exists() or any(place.stat().st_size for place in there)
    )


def _require_same(path: Path, made: Facts) -> RunState:
    """Return the state of the rows that are there, which were made in the same way."""
    state = _read_state(path)
    if state.made != made:
        keys = [key for key in made if state.made.get(key) != made[key]]
        raise OutputError(
            f"{path} has predictions that were made otherwise ({', '.join(keys)} differ); pass"
            " another --out, or --force to replace it"
        )
    return state


def _resume(path: Path, made: Facts, file: IO[bytes]) -> int:
    """Return how many bytes of the rows in a locked file are whole."""
    state = _require_same(path, made)
    if state.is_finished:  # until the state says otherwise, the Parquet file has the rows
        file.truncate(0)
        scan_parquet(path).sink_ndjson(file)
        file.flush()
        os.fsync(file.fileno())
        return _size(file)
    size = _size(file)
    if state.bytes is not None and size < state.bytes:
        raise OutputError(
            f"{_rows_path(path)} has {size:,} bytes, expected at least {state.bytes:,}: it was"
            " changed; restore it, or pass --force to begin again"
        )
    return size if state.bytes is None else state.bytes


def _rewritten(path: Path, rows: pl.DataFrame, made: Facts, old: IO[bytes]) -> IO[bytes]:
    """Replace the rows that are there; whenever it is killed, the file is one of the two."""
    rows_path = _rows_path(path)
    _write_state(path, RunState(made, None))
    with old:  # and its lock, until the new one is locked
        with whole_file(rows_path) as partial:
            partial.write_bytes(_text(path, rows, with_header=True) if rows.height else b"")
        file = rows_path.open("a+b")
        _lock(path, file)
    return file


def _lock(path: Path, file: IO[bytes]) -> None:
    """Lock the file that grows; OutputError where another process has, or has replaced it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_there = os.path.samestat(os.fstat(file.fileno()), _rows_path(path).stat())
    except (BlockingIOError, FileNotFoundError):
        is_there = False
    if not is_there:
        raise OutputError(f"another process writes {path}; wait for it, or pass another --out")


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _rows_path(path: Path) -> Path:
    """Return the file that grows."""
    is_parquet = path.suffix.lower() == PARQUET
    return path.with_name(path.name + JOURNAL) if is_parquet else path


def _state_path(path: Path) -> Path:
    return path.with_name(path.name + RUN)


def _write_state(path: Path, state: RunState) -> None:
    with whole_file(_state_path(path)) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))


def _read_state(path: Path) -> RunState:
    place = _state_path(path)
    try:
        return msgspec.convert(decode_json(place.read_bytes()), RunState)
    except FileNotFoundError as error:
        raise OutputError(
            f"{path} exists and has no {place.name}, so it is not known what it holds; pass another"
            " --out, or --force to replace it"
        ) from error
    except ValueError as error:
        raise OutputError(f"{place} is damaged ({error}); pass --force to begin again") from error


def _text(path: Path, rows: pl.DataFrame, *, with_header: bool) -> bytes:
    if path.suffix.lower() == CSV:
        return csv_bytes(rows, with_header=with_header)
    buffer = io.BytesIO()
    rows.write_ndjson(buffer)
    return buffer.getvalue()


def _read(rows_path: Path, schema: Mapping[str, Any]) -> pl.DataFrame:
    if rows_path.suffix.lower() == CSV:
        return read_csv(rows_path, schema)
    return _scan_lines(rows_path, schema).collect()


def _scan_lines(path: Path, schema: Mapping[str, Any]) -> pl.LazyFrame:
    return pl.scan_ndjson(path, schema=dict(schema))


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn what goes wrong on the disk into an OutputError."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        if isinstance(error, SavsError):
            raise
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise OutputError(f"{path} cannot be written: {reason}; pass another --out") from error
