"""What a medium's name says: image, video or sound, a file, a URL, or a place in a file's row.

A row may also have a medium in place of a name: in base64, as a `data:` URI (RFC 2397), or as an
object `{"bytes": "<base64>"}` with or without a `path`.
"""

import base64
import binascii
import re
from pathlib import PurePosixPath
from typing import Any

from savs.datasets.errors import MediaError
from savs.datasets.media_kinds.catalogue import KIND_OF_SUFFIX
from savs.datasets.media_kinds.medium import MediumKind
from savs.datasets.parts import whole_name
from savs.datasets.row import PackedMedium

_PACKED = re.compile(
    r"(?P<file>.+\.(?i:parquet|jsonl|ndjson|json|csv|tar))#(?P<row>[0-9]+)/(?P<column>.+)"
)
_URI = re.compile(r"data:(?:(?:image|video|audio)/|[^,;]{0,127}(?:;[^,;]{1,127})*;base64,)", re.I)
_HEAD = 512
"""Characters at the start of a text that are matched."""


def is_address(name: str) -> bool:
    """Return whether a medium's name is an http or https URL.

    Examples
    --------
    >>> is_address("https://host/1.png"), is_address("photos/1.png")
    (True, False)
    """
    return name.lower().startswith(("http://", "https://"))


def kind_of_name(name: str) -> MediumKind | None:
    """Return the kind of a medium by its name; None if that does not say.

    Examples
    --------
    >>> [kind_of_name(name).noun for name in ("photos/1.JPG", "clips/1.mp4", "calls/1.WAV")]
    ['image', 'video', 'sound']
    >>> [kind_of_name(name).noun for name in ("https://host/1.mp4?size=small", "1.mp4@0.0..4.0")]
    ['video', 'video']
    """
    return KIND_OF_SUFFIX.get(suffix_of(name))


def is_named_for(column: str, name: str) -> bool:
    """Return whether a medium can be read from a column, by its name.

    Examples
    --------
    >>> is_named_for("image", "clips/1.mp4"), is_named_for("audio", "clips/1.mp4")
    (True, True)
    >>> is_named_for("audio", "photos/1.jpg"), is_named_for("audio", "notes.txt")
    (False, False)
    """
    kind = kind_of_name(name)
    return kind is not None and column in kind.columns


def suffix_of(name: str) -> str:
    """Return the suffix of a medium's name in lower case, without a part or the query of a URL."""
    name = whole_name(name)
    path = re.split("[?#]", name, maxsplit=1)[0] if is_address(name) else name
    return PurePosixPath(path).suffix.lower()


def is_packed(name: str) -> bool:
    """Return whether a name belongs to a medium stored in the row of a file.

    Examples
    --------
    >>> is_packed("val.parquet#12/image_1"), is_packed("photos/1.jpg")
    (True, False)
    """
    return _PACKED.fullmatch(name) is not None


def packed_parts(name: str) -> tuple[str, str, str]:
    """Return the file, the row from 0, and the column of a packed medium; ValueError of others.

    Examples
    --------
    >>> packed_parts("val.parquet#12/image_1")
    ('val.parquet', '12', 'image_1')
    """
    match = _PACKED.fullmatch(whole_name(name))
    if match is None:
        raise ValueError(f"{name!r} is not the name of a medium in a file's row")
    return match["file"], match["row"], match["column"]


def packed_column(name: str) -> str:
    """Return the file and the column in a packed medium's name, without the row.

    Examples
    --------
    >>> packed_column("val.parquet#12/image_1")
    'val.parquet#image_1'
    """
    file, _, column = packed_parts(name)
    return f"{file}#{column}"


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


def name_embedded(values: dict[str, Any], name: str) -> dict[str, Any]:
    """Replace media in base64 by `PackedMedium("FILE#ROW/COLUMN")`.

    `name` is `FILE#ROW`. An object without bytes becomes its path, or null, as in Parquet files.
    Values of plain text are returned as they are, so that equal rows share them.
    """
    if all(v is None or (isinstance(v, str) and v[:5].lower() != "data:") for v in values.values()):
        return values
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
