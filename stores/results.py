"""Result files of stage 2: selections, metrics, tables. Written whole or not at all."""

import hashlib
import io
import json
import math
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from savs.foundation.arrays import Array
from savs.foundation.whole_files import whole_file
from savs.stores.errors import ResultError, StoreWriteError
from savs.stores.format.layout import RESULTS

CLASSIFIER = "classifier.safetensors"
"""The arrays of a selection."""
CONFIG = "config.json"
"""Everything else of a selection. It is written after the arrays and holds their SHA-256."""
METRICS = "metrics.json"
SUBMISSION = "submission.json"
"""Predictions in the form that a benchmark's official evaluation takes."""
PREDICTIONS = "predictions.parquet"
UNITS = "units.parquet"
"""The scores that each metric is the mean of; what `savs compare` reads."""
EVALUATE = "savs evaluate"
SELECT = "savs select"
LARGEST_JSON = 2**28
"""Bytes of a JSON file that is read."""
_HEADER_BYTES = 2**12
"""What a safetensors header may have beside its tensors, and for each of them beside its name."""
_TYPES = {"float32": "F32", "int64": "I64"}


class TensorForm(NamedTuple):
    """Shape and type that a tensor must have."""

    shape: tuple[int, ...]
    dtype: str
    """`float32` or `int64`."""


def results_folder(store: Path, name: str) -> Path:
    """Return the folder of the results of this name in a store."""
    return store / RESULTS / name


def write_tensors(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """Write named arrays to a safetensors file and return its SHA-256."""
    content = save({name: np.asarray(a, order="C") for name, a in tensors.items()}, dict(metadata))
    _write(path, content)
    return hashlib.sha256(content).hexdigest()


def read_tensors(
    path: Path, forms: Mapping[str, TensorForm], metadata: Mapping[str, str], sha256: str
) -> dict[str, Array]:
    """Read what `write_tensors` wrote, after its size, header and digest were checked.

    Parameters
    ----------
    path
        The file.
    forms
        The tensors that it must hold, and no other.
    metadata
        The metadata that it must have.
    sha256
        The SHA-256 that it must have.

    Raises
    ------
    ResultError
        Not there, not a safetensors file, or not the one that is expected.
    """
    with _reading(path, SELECT):
        _require_size(path, forms)
        with safe_open(path, framework="numpy") as file:
            if file.metadata() != dict(metadata):
                raise ValueError(
                    f"its metadata is {file.metadata()}, expected {dict(metadata)}: it is not of"
                    f" the selection in {CONFIG}"
                )
            _require_forms(file, forms)
            with path.open("rb") as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
            if found != sha256:
                raise ValueError(f"its SHA-256 is {found}, expected {sha256} as in {CONFIG}")
            return {name: file.get_tensor(name) for name in forms}


def _require_size(path: Path, forms: Mapping[str, TensorForm]) -> None:
    """Raise ValueError unless a file is as long as its header and the expected tensors."""
    size = _regular_size(path)
    data = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in forms.values())
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    most = _HEADER_BYTES + sum(_HEADER_BYTES + 8 * len(name) for name in forms)
    if header > most or size != 8 + header + data:
        raise ValueError(
            f"it has {size:,} bytes and a header of {header:,}, expected a header of at most"
            f" {most:,} and tensors of {data:,} as in {CONFIG}"
        )


def _require_forms(file: Any, forms: Mapping[str, TensorForm]) -> None:
    """Raise ValueError unless the header of an open file declares the expected tensors."""
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    found = {n: (tuple(part.get_shape()), part.get_dtype()) for n, part in slices.items()}
    expected = {name: (shape, _TYPES[dtype]) for name, (shape, dtype) in forms.items()}
    for name in {**expected, **found}:
        if found.get(name) != expected.get(name):
            raise ValueError(
                f"tensor {name!r}: expected {expected.get(name, 'none')} as in {CONFIG},"
                f" got {found.get(name, 'none')}"
            )


def write_json(path: Path, value: Mapping[str, Any]) -> Path:
    """Write config.json, metrics.json or submission.json."""
    text = json.dumps(dict(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    _write(path, text.encode("utf-8"))
    return path


def write_table(path: Path, table: pl.DataFrame) -> Path:
    """Write predictions.parquet, units.parquet or another table."""
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    _write(path, buffer.getvalue())
    return path


def copy_result(source: Path, target: Path, command: str = EVALUATE) -> Path:
    """Copy a result file that `command` writes.

    Raises
    ------
    ResultError
        Not there, or cannot be read.
    """
    with _reading(source, command):
        content = source.read_bytes()
    _write(target, content)
    return target


def read_json(path: Path, command: str = EVALUATE) -> dict[str, Any]:
    """Read what `write_json` wrote; `command` writes it, for the message.

    Raises
    ------
    ResultError
        Not there, or no JSON object.
    """
    with _reading(path, command):
        if _regular_size(path) > LARGEST_JSON:
            raise ValueError(f"it has more than {LARGEST_JSON:,} bytes")
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}, expected an object")
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode("utf-8")  # or no JSON either
        return found


def read_table(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Read columns of what `write_table` wrote.

    Raises
    ------
    ResultError
        Not there, no Parquet, or without one of the columns.
    """
    with _reading(path, EVALUATE), path.open("rb") as file:
        return pl.read_parquet(file, columns=list(columns))


def _regular_size(path: Path) -> int:
    """Return a file's bytes; ValueError where it is a folder, a pipe or a device."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
    return found.st_size


@contextmanager
def _reading(path: Path, command: str) -> Iterator[None]:
    known = (OSError, ValueError, RecursionError, MemoryError, SafetensorError)
    try:
        yield
    except FileNotFoundError as error:
        raise ResultError(f"{path} is not there; `{command}` writes it: run it again") from error
    except (*known, pl.exceptions.PolarsError) as error:
        reason = str(error).strip().partition("\n")[0]  # polars adds its query plan
        raise ResultError(
            f"{path} cannot be read ({reason}); make it again with `{command}`"
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
