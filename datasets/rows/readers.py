"""Rows of JSON Lines, JSON, CSV and Parquet files."""

import codecs
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from savs.datasets.errors import RowError, SourceError
from savs.datasets.rows.base64_media import name_embedded
from savs.datasets.rows.files import Files, find_files
from savs.datasets.rows.parquet_media import PackedMedium, parquet_values
from savs.datasets.rows.rows import Row

Place = tuple[str, int, Any]
"""Where a row stands, its number in the file, and its fields."""


def read_rows(source: str | Path | Files) -> list[Row]:
    """Read all rows of the `.jsonl`, `.json`, `.csv` or `.parquet` files that a source names.

    Blank lines are passed over. Every CSV value is text, an empty one is null.

    Raises
    ------
    SourceError
        A file is missing, of another kind, or not what its name says.
    RowError
        A line is not a JSON object.
    """
    files = source if isinstance(source, Files) else find_files(source)
    rows = []
    for path in files:
        found = [
            Row(where, index, values, files.stem(path))
            for where, index, values in _read(path, files.root)
        ]
        if not found:
            raise SourceError(f"{path} holds no rows; give a file with at least one example")
        rows += found
    return rows


def _read(path: Path, root: Path) -> Iterator[Place]:
    name = path.relative_to(root).as_posix()
    if path.suffix.lower() == ".parquet":
        if not path.exists():
            raise SourceError(f"{path} cannot be read: there is no such file; check the path")
        for index, values in enumerate(parquet_values(path, name)):
            yield f"{path} row {index}", index, values
        return
    for where, index, values in _read_plain(path):
        yield where, index, name_embedded(values, f"{name}#{index}", PackedMedium)


def _read_plain(path: Path) -> Iterator[Place]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join([*_READERS, ".parquet"])
        raise SourceError(f"{path}: expected a name that ends in {known}, got {path.suffix!r}")
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{path} cannot be read: {reason}; check the path") from error
    yield from reader(path, data)


def read_plain(path: Path) -> list[Any]:
    """Return the fields of each row of a JSON Lines, JSON or CSV file, as they are written."""
    return [values for _, _, values in _read_plain(path)]


def _text(path: Path, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SourceError(f"{path} line 1 is not UTF-8 but UTF-16; save the file as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SourceError(
            f"{path} line {line} is not UTF-8 ({error.reason}); save the file as UTF-8"
        ) from error


def _json_lines(path: Path, data: bytes) -> Iterator[Place]:
    index = 0
    for number, line in enumerate(_text(path, data).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            value = _json(line)
        except (ValueError, RecursionError) as error:
            raise RowError(f"{where} is not JSON ({error}); put one object on each line") from error
        yield _place(where, index, value)
        index += 1


def _json_list(path: Path, data: bytes) -> Iterator[Place]:
    try:
        values = _json(_text(path, data))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not JSON: {error}; mend it, or name it .jsonl") from error
    if not isinstance(values, list):
        raise SourceError(f"{path} holds a {type(values).__name__}, expected a list of objects")
    for index, value in enumerate(values):
        yield _place(f"{path} row {index}", index, value)


def _json(text: str) -> Any:
    """Decode JSON, but neither NaN nor an object that names a field twice."""
    return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"field {twice!r} is there twice")
    return values


def _place(where: str, index: int, value: Any) -> Place:
    if not isinstance(value, dict):
        raise RowError(f"{where} holds a {type(value).__name__}, expected an object with fields")
    return where, index, value


def _csv(path: Path, data: bytes) -> Iterator[Place]:
    import csv

    csv.field_size_limit(2**31 - 1)  # a cell may hold an image
    lines = csv.reader(io.StringIO(_text(path, data), newline=""), strict=True)
    try:
        names = next(lines, [])
        if len(set(names)) < len(names):
            raise SourceError(f"{path} line 1 names a column twice: {', '.join(names)}")
        if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
            raise SourceError(
                f"{path} line 1 has one column, {names[0]!r}; expected columns with commas between"
                " them: save the file as comma-separated"
            )
        for index, values in enumerate(filter(None, lines)):
            where = f"{path} line {lines.line_num}"
            if len(values) != len(names):
                raise RowError(
                    f"{where} has {len(values)} values for {len(names)} columns; quote the commas"
                )
            cells = {name: value or None for name, value in zip(names, values, strict=True)}
            yield where, index, cells
    except csv.Error as error:
        raise SourceError(f"{path} line {lines.line_num} is not CSV: {error}") from error


_READERS: dict[str, Callable[[Path, bytes], Iterator[Place]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_list,
    ".csv": _csv,
}
"""Suffix -> reader, for files that are read whole."""
