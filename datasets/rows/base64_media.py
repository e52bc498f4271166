"""Media written as base64 into the rows of a file.

A medium is a `data:` URI (RFC 2397), or an object `{"bytes": "<base64>"}` with or without a `path`.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from savs.datasets.errors import MediaError
from savs.datasets.row import PackedMedium

_URI = re.compile(r"data:(?:(?:image|video|audio)/|[^,;]{0,127}(?:;[^,;]{1,127})*;base64,)", re.I)
_HEAD = 512
"""Characters at the start of a text that are matched."""


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


def name_embedded(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Replace media in base64 by `PackedMedium("FILE#ROW/COLUMN")`.

    `name` is `FILE#ROW`. An object without bytes becomes its path, or null, as in Parquet files.
    """
    return {column: _replace(value, f"{name}/{column}") for column, value in values.items()}


def _replace(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_replace_one(item, f"{name}/{index}") for index, item in enumerate(value)]
    return _replace_one(value, name)


def _replace_one(value: Any, name: str) -> Any:
    is_object = isinstance(value, dict) and value.keys() <= {"bytes", "path"}
    if is_object and "bytes" in value and value["bytes"] in (None, ""):
        return value.get("path") or None
    return PackedMedium(name) if is_embedded(value) else value


def decode_embedded(value: Any, name: str) -> bytes:
    """Return the bytes of a medium in base64.

    Raises
    ------
    MediaError
        The value is not base64, or not a `data:` URI.
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
        raise MediaError(f"{name} is not base64: {error}; encode the file again") from error
