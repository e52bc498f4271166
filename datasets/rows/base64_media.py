"""Media written into the rows of a file as base64: named by file, row and column, read when needed.

A `data:` URI (RFC 2397), or an object `{"bytes": "<base64>"}` with a `path` beside or without.
"""

import base64
import binascii
import json
import re
from array import array
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from savs.datasets.errors import MediaError

_URI = re.compile(r"data:(?:(?:image|video)/|[^,;]{0,127}(?:;[^,;]{1,127})*;base64,)", re.I)
_HEAD = 512
"""Characters at a text's beginning that are looked at."""


def is_embedded(value: Any) -> bool:
    """Return whether a field's value is a medium in base64.

    Examples
    --------
    >>> is_embedded("data:image/png;base64,iVBO"), is_embedded("data: 3, 4 and 5")
    (True, False)
    """
    if isinstance(value, str):
        return value[:5].lower() == "data:" and _URI.match(value[:_HEAD]) is not None
    if isinstance(value, dict):
        return isinstance(value.get("bytes"), str) and value.keys() <= {"bytes", "path"}
    return False


def name_embedded(
    values: Mapping[str, Any], name: str, make: Callable[[str], Any]
) -> dict[str, Any]:
    """Return a row's fields with `make(FILE#ROW/COLUMN)` in place of media in base64.

    In a list, the place follows the column.

    Parameters
    ----------
    values
        Field -> value.
    name
        What the names begin with: `FILE#ROW`.
    make
        Makes what stands for a medium of its name.
    """
    return {column: _named(value, f"{name}/{column}", make) for column, value in values.items()}


def _named(value: Any, name: str, make: Callable[[str], Any]) -> Any:
    if is_embedded(value):
        return make(name)
    if isinstance(value, list) and any(map(is_embedded, value)):
        return [
            make(f"{name}/{place}") if is_embedded(item) else item
            for place, item in enumerate(value)
        ]
    return value


def decode_embedded(value: Any, name: str) -> bytes:
    """Return the bytes of a medium in base64.

    Raises
    ------
    MediaError
        It is not base64, or no `data:` URI.
    """
    text = value["bytes"] if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise MediaError(f"{name} holds a {type(text).__name__}, expected base64")
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise MediaError(f"{name}: {head[:60]!r} is not base64; expected data:TYPE;base64,...")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MediaError(f"{name} is not base64: {error}; write the file's bytes again") from error


def read_embedded(path: Path, name: str, row: int, column: str) -> bytes:
    """Return the bytes of a medium in base64 in a JSON Lines, JSON or CSV file.

    Parameters
    ----------
    path
        The file.
    name
        What an error calls the medium.
    row
        Row, from 0; blank lines do not count.
    column
        Its field, with `/PLACE` behind it where the field holds a list.

    Raises
    ------
    MediaError
        There is no such row or field, or it is not base64.
    """
    try:
        changed = path.stat().st_mtime_ns
        lines = path.suffix.lower() in (".jsonl", ".ndjson")
        values = _line(path, changed, row) if lines else _rows(path, changed)[row]
        place = None
        if column not in values:
            column, _, place = column.rpartition("/")
        value = values[column] if place is None else values[column][int(place)]
    except (OSError, LookupError, ValueError, TypeError) as error:
        raise MediaError(f"{name} cannot be read: {error}") from error
    data = decode_embedded(value, name)
    if not data:
        raise MediaError(f"{name} is empty (0 bytes)")
    return data


def _line(path: Path, changed: int, row: int) -> dict[str, Any]:
    with path.open("rb") as file:
        file.seek(_starts(path, changed)[row])
        return json.loads(file.readline().decode("utf-8-sig"))


@lru_cache(maxsize=4)
def _starts(path: Path, changed: int) -> "array[int]":
    """Return where each line begins that is not blank, as the reader of rows sees it."""
    del changed  # a file that was written again is read again
    starts, place = array("q"), 0
    with path.open("rb") as file:
        for line in file:
            text = line.strip()
            if len(text) > _HEAD or text.decode("utf-8-sig", "replace").strip():
                starts.append(place)
            place += len(line)
    return starts


@lru_cache(maxsize=1)
def _rows(path: Path, changed: int) -> list[Mapping[str, Any]]:
    del changed  # as above
    from savs.datasets.rows.readers import read_plain  # which imports this module

    return read_plain(path)
