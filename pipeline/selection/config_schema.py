"""The fields of config.json with their types, and the check of a file against them."""

import re
import reprlib
from typing import Any

from savs.pipeline.heads.head_scores import SCORINGS
from savs.pipeline.readouts.readout import NAME
from savs.stores.format.layout import STORED_DTYPES

LARGEST = 2**40
"""Every number is below this: layers, widths, examples, scores, margins."""
DEPTH = 4
"""How deep the objects of model and processor may be nested."""
SHA256 = re.compile("[0-9a-f]{64}")

TASK = {
    "subtask": (str, None),
    "classes": [str],
    "heads": [[int]],
    "scores": [float],
    "margins": [float],
    "examples": int,
}
GRID = {"layer": int, "heads": [int], "head_dim": int}
SOURCE = {
    "model": object,
    "processor": object,
    "dtype": frozenset(STORED_DTYPES),
    "prompt": str,
    "heads": [GRID],
}
CONTENT = {
    "source": SOURCE,
    "train": str,
    "readout": NAME,
    "readout_file": ({"name": str, "sha256": SHA256}, None),
    "scoring": frozenset(SCORINGS),
    "heads_from": (str, None),
    "tasks": [TASK],
}
"""What `run` is the digest of."""
CONFIG = {"format": int, "savs": str, "run": SHA256, "sha256": SHA256, **CONTENT}


def check(value: Any, schema: Any, where: str = "the file") -> None:
    """Check a decoded JSON value against a schema.

    Parameters
    ----------
    value
        The value.
    schema
        A dict of fields, all of which must be there; `[schema]`, a list with an item or more;
        `(schema, None)`, or null; a set of texts; a pattern of text; or a type: `str` that is not
        empty, `int` from 0 on, `float` for any number, `object` for any fields, not nested deeply.
    where
        Name of the field, for the message.

    Raises
    ------
    ValueError
        The value is another; the message begins with the field.
    """
    match schema:
        case (inner, None):
            if value is not None:
                check(value, inner, where)
        case [inner]:
            expect(isinstance(value, list) and len(value) > 0, where, "a list with items", value)
            for number, item in enumerate(value):
                check(item, inner, f"{where}[{number}]")
        case dict():
            fits = isinstance(value, dict) and value.keys() == schema.keys()
            got = list(value) if isinstance(value, dict) else value
            expect(fits, where, f"an object with {', '.join(schema)}", got)
            for name, inner in schema.items():
                check(value[name], inner, name if where == "the file" else f"{where}.{name}")
        case frozenset():
            fits = isinstance(value, str) and value in schema
            expect(fits, where, " or ".join(sorted(schema)), value)
        case re.Pattern():
            fits = isinstance(value, str) and schema.fullmatch(value) is not None
            expect(fits, where, f"text of the form {schema.pattern}", value)
        case _:
            _check_type(value, schema, where)


def _check_type(value: Any, kind: type, where: str) -> None:
    if kind is str:
        expect(isinstance(value, str) and value != "", where, "text that is not empty", value)
    elif kind is int:
        expect(type(value) is int and 0 <= value < LARGEST, where, "a whole number", value)
    elif kind is float:
        fits = type(value) in (int, float) and -LARGEST < value < LARGEST
        expect(fits, where, "a number", value)
    else:
        fits = isinstance(value, dict) and _depth(value) <= DEPTH
        expect(fits, where, f"an object of {DEPTH} levels or less", value)


def _depth(value: Any) -> int:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, parts)) if parts else 0


def expect(fits: bool, where: str, expected: str, got: Any) -> None:
    """Raise ValueError, which names the field, unless a value fits."""
    if not fits:
        raise ValueError(f"{where}: expected {expected}, got {reprlib.repr(got)}")
