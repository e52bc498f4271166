"""Examples that a program has: frames, data sets and lists of dictionaries, as files of a run.

Rows are written to JSON Lines in a temporary folder, one at a time, with the bytes of their media
inside. From there on they are read as any input file, by worker processes too.
"""

import base64
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
from PIL import Image

from savs.datasets.errors import MediaError, RowError, SourceError
from savs.datasets.media.in_memory import file_bytes, file_of
from savs.foundation.errors import ParameterError, SavsError
from savs.pipeline.inputs.input_options import FileOfRows

Rows = Any
"""A polars or pandas frame, a `datasets.Dataset`, or a sequence of dictionaries. A value may be an
image: bytes, a PIL image or a uint8 array; or a sound: bytes, or a dictionary with its `array` and
`sampling_rate`. Text may be the path of a medium, as in a file."""
SPLITS = ("train", "test", "unlabelled")
MISSING = ("NAType", "NaTType")
"""Types of what pandas has in an empty cell, which may not be installed."""
AS_TEXT = (date, time, timedelta, Decimal, UUID, PurePath)
"""Types that JSON lacks."""
BROKEN = b"damaged"
"""Stands for the file of a PIL image that cannot be decoded: the run skips what is no image."""
BATCH_ROWS = 64
"""Rows of a data set that are in memory at a time."""


@contextmanager
def files_of(keywords: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield keyword arguments with files in place of the splits that are in memory.

    Names of images are then relative to the working folder, unless `media_root` is given, and may
    be absolute paths: a program that names a file may read it. An image that cannot be read is
    skipped by the run, as in a file. Ids are `train:0`, `test:0` and so on, unless rows have an
    `id`. ParameterError if examples have an unknown kind; DatasetError if there are none, or a
    value cannot be written.
    """
    of_splits = {split: keywords.get(split) for split in SPLITS}
    rows = {s: rows for s, rows in of_splits.items() if not isinstance(rows, str | Path | None)}
    if not rows:
        yield dict(keywords)
        return
    with TemporaryDirectory(prefix="savs-rows-") as folder:
        paths = {split: Path(folder) / f"{split}.jsonl" for split in rows}
        for split, path in paths.items():
            _write(path, rows[split], split)
        root = keywords.get("media_root")
        files = {split: FileOfRows(path) for split, path in paths.items()}
        try:
            yield {**keywords, **files, "media_root": Path.cwd() if root is None else root}
        except SavsError as error:  # nobody knows the files that the rows became
            error.args = (_by_rows(str(error), paths), *error.args[1:])
            raise


def _by_rows(message: str, paths: Mapping[str, Path]) -> str:
    """Return a message about a line of a file of rows as one about a row, counted from 0."""
    for split, path in paths.items():
        lines = re.compile(re.escape(str(path)) + r"(?: line (\d+))?")
        message = lines.sub(
            lambda line, split=split: split + (f" row {int(line[1]) - 1}" if line[1] else ""),
            message,
        )
    return message


def _write(path: Path, rows: Rows, split: str) -> None:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for count, row in enumerate(_rows(rows, split), start=1):
            where = f"{split} row {count - 1}"
            values = {str(name): _plain(value, f"{where}: {name}") for name, value in row.items()}
            file.write(json.dumps(values, ensure_ascii=True) + "\n")
    if not count:
        raise SourceError(f"{split} holds no rows; give at least one example")


def _rows(rows: Rows, split: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows as dictionaries."""
    if isinstance(rows, pl.LazyFrame):
        rows = rows.collect()
    if isinstance(rows, pl.DataFrame):
        yield from rows.iter_rows(named=True)
    elif hasattr(rows, "with_format") and hasattr(rows, "features"):
        yield from _of_data_set(rows)
    elif hasattr(rows, "itertuples") and hasattr(rows, "columns"):
        names = list(rows.columns)
        for values in rows.itertuples(index=False, name=None):
            yield dict(zip(names, values, strict=True))
    elif isinstance(rows, Mapping):
        raise ParameterError(
            f"{split} is a {type(rows).__name__} with the keys {', '.join(map(str, rows))}; pass"
            " one of its parts, or a list of dictionaries"
        )
    elif isinstance(rows, Iterable):
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise RowError(
                    f"{split} row {number} is a {type(row).__name__}, expected a dictionary"
                )
            yield row
    else:
        raise ParameterError(
            f"{split} is a {type(rows).__name__}, expected a path, a frame, a Dataset or a list of"
            " dictionaries"
        )


def _of_data_set(rows: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a `datasets.Dataset`: images as they lie there, classes by their names."""
    names = {
        column: feature.names
        for column, feature in (rows.features or {}).items()
        if isinstance(getattr(feature, "names", None), list)
    }
    for table in rows.with_format("arrow").iter(batch_size=BATCH_ROWS):
        part = pl.DataFrame(table)
        for row in part.iter_rows(named=True):
            named = {  # -1 stands for a class that is not known
                column: None if row[column] in (None, -1) else names[column][row[column]]
                for column in names
            }
            yield {name: _whole(value) for name, value in {**row, **named}.items()}


def _whole(value: Any) -> Any:
    """Return the bytes of an image in a data set, or of its file."""
    if isinstance(value, list):
        return [_whole(item) for item in value]
    is_file = isinstance(value, dict) and value.keys() == {"bytes", "path"} and value["path"]
    if is_file and value["bytes"] is None and Path(value["path"]).is_file():
        try:
            return file_bytes(value["path"], value["path"])
        except MediaError:  # the run skips it, with the reason
            return str(Path(value["path"]).absolute())
    return value


def _plain(value: Any, where: str) -> Any:
    """Return a value as JSON has it; an image as its bytes in base64."""
    if isinstance(value, bytes):
        return _embedded(value)
    is_array = isinstance(value, np.ndarray) and value.ndim > 1 and value.dtype == np.uint8
    if is_array or isinstance(value, Image.Image):
        return _embedded(BROKEN if _is_broken(value) else file_bytes(value, where))
    if isinstance(value, Mapping):
        if isinstance(value.get("bytes"), bytes):  # as data sets hold an image
            return _embedded(value["bytes"])
        if (data := file_of(value, where)) is not None:
            return _embedded(data)
        return {str(name): _plain(item, where) for name, item in value.items()}
    if isinstance(value, np.generic):
        return _plain(value.item(), where)
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # as pandas writes an empty cell
    if value is None or type(value).__name__ in MISSING:
        return None
    if isinstance(value, str | int):
        return value
    if isinstance(value, Sequence | np.ndarray | pl.Series):
        return [_plain(item, where) for item in value]
    if isinstance(value, AS_TEXT):
        return str(value)
    raise RowError(
        f"{where} is a {type(value).__name__}, expected text, a number, a date, an image, or a list"
        " or dictionary of these"
    )


def _is_broken(value: Any) -> bool:
    """Return whether a PIL image has no pixels, since its file is damaged."""
    try:
        if isinstance(value, Image.Image):
            value.load()
    except Exception:  # a decoder may raise anything on damaged bytes
        return True
    return False


def _embedded(data: bytes) -> str:
    return f"data:;base64,{base64.b64encode(data).decode('ascii')}"
