"""Rows of a JSON Lines, JSON, CSV or Parquet file; every row knows where it stands."""

import io
import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savs.datasets.errors import RowError, SourceError


@dataclass(frozen=True, slots=True)
class Row:
    """One row with the place that an error message names."""

    where: str
    """File and line, or file and row."""
    index: int
    """Position among the file's rows, from 0."""
    values: Mapping[str, Any]

    def error(self, problem: str, remedy: str) -> RowError:
        """Return the error that says what is wrong with this row."""
        return RowError(f"{self.where}: {problem}; {remedy}")

    def text(self, name: str) -> str:
        """Return a required text field; numbers and booleans as JSON spells them.

        Raises
        ------
        RowError
            The field is missing, null, a list or an object.
        """
        value = self.values.get(name)
        if value is None:
            what = "is null" if name in self.values else "is missing"
            have = ", ".join(map(str, self.values)) or "none"
            raise self.error(f"field {name!r} {what}", f"the row has the fields {have}")
        if value == "":
            raise self.error(f"field {name!r} is empty", "give it a value")
        return self._scalar(name, value)

    def optional(self, name: str) -> str | None:
        """Return a text field, or None where it is missing or null."""
        value = self.values.get(name)
        return None if value is None else self._scalar(name, value)

    def _scalar(self, name: str, value: Any) -> str:
        if isinstance(value, str):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as error:
                raise self.error(
                    f"field {name!r} holds half a character ({error.reason})", "mend the text"
                ) from error
            return value
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(f"field {name!r} is {value}, which is no value", "mend the number")
        if isinstance(value, bool | int | float):
            return json.dumps(value)
        raise self.error(
            f"field {name!r} holds a {type(value).__name__}, expected text or a number",
            "give one value a field",
        )

    def names(self, one: str, many: str) -> tuple[str, ...]:
        """Return the names in field `one` (a text) or `many` (a list); empty without either."""
        value = self.values.get(many)
        if value is None:
            single = self.optional(one)
            return () if single is None else (single,)
        if self.values.get(one) is not None:
            raise self.error(f"has both {one!r} and {many!r}", "keep one of them")
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.error(f"field {many!r} holds {value!r}", "expected a list of file names")
        return tuple(self._scalar(many, name) for name in value)

    def rest(self, known: Collection[str]) -> dict[str, Any]:
        """Return the fields that are not known, as JSON can hold them; raw bytes are left out."""
        rest = {
            name: value
            for name, value in self.values.items()
            if name not in known and not isinstance(value, bytes)
        }
        text = json.dumps(rest, default=str, ensure_ascii=False)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise self.error(f"it holds half a character ({error.reason})", "mend it") from error
        return json.loads(text)


def read_rows(path: Path) -> list[Row]:
    """Read all rows of a `.jsonl`, `.json`, `.csv` or `.parquet` file.

    Blank lines are passed over. Every CSV value is text, an empty one is null.

    Raises
    ------
    SourceError
        The file is missing, of another kind, or not what its name says.
    RowError
        A line is not a JSON object.
    """
    readers = {
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".json": _json_list,
        ".csv": _csv,
        ".parquet": _parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SourceError(
            f"{path}: expected a name that ends in {', '.join(readers)}, got {path.suffix!r}"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}; check the path") from error
    rows = list(reader(path, data))
    if not rows:
        raise SourceError(f"{path} holds no rows; give a file with at least one example")
    return rows


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SourceError(
            f"{path} line {line} is not UTF-8 ({error.reason}); save the file as UTF-8"
        ) from error


def _json_lines(path: Path, data: bytes) -> Iterator[Row]:
    index = 0
    for number, line in enumerate(_text(path, data).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            value = _json(line)
        except (ValueError, RecursionError) as error:
            raise RowError(f"{where} is not JSON ({error}); put one object on each line") from error
        yield _row(where, index, value)
        index += 1


def _json_list(path: Path, data: bytes) -> Iterator[Row]:
    try:
        values = _json(_text(path, data))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not JSON: {error}; mend it, or name it .jsonl") from error
    if not isinstance(values, list):
        raise SourceError(f"{path} holds a {type(values).__name__}, expected a list of objects")
    for index, value in enumerate(values):
        yield _row(f"{path} row {index}", index, value)


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


def _row(where: str, index: int, value: Any) -> Row:
    if not isinstance(value, dict):
        raise RowError(f"{where} holds a {type(value).__name__}, expected an object with fields")
    return Row(where, index, value)


def _csv(path: Path, data: bytes) -> Iterator[Row]:
    import csv

    lines = csv.reader(io.StringIO(_text(path, data), newline=""), strict=True)
    try:
        names = next(lines, [])
        if len(set(names)) < len(names):
            raise SourceError(f"{path} line 1 names a column twice: {', '.join(names)}")
        for index, values in enumerate(filter(None, lines)):
            where = f"{path} line {lines.line_num}"
            if len(values) != len(names):
                raise RowError(
                    f"{where} has {len(values)} values for {len(names)} columns; quote the commas"
                )
            cells = {name: value or None for name, value in zip(names, values, strict=True)}
            yield Row(where, index, cells)
    except csv.Error as error:
        raise SourceError(f"{path} line {lines.line_num} is not CSV: {error}") from error


def _parquet(path: Path, data: bytes) -> Iterator[Row]:
    import polars as pl

    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(f"{path} is not a Parquet file: {error}") from error
    for index, values in enumerate(frame.iter_rows(named=True)):
        yield Row(f"{path} row {index}", index, values)
