"""JSON as the standard has it, and objects of it as the fields of a row."""

import json
from collections import Counter
from typing import Any

from savs.datasets.errors import RowError


def strict_json(text: str) -> Any:
    """Decode JSON, but refuse NaN, infinity and an object that names a field twice.

    Raises
    ------
    ValueError
        It is not JSON.
    RecursionError
        It is nested too deep.
    """
    return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)


def json_object(text: str, where: str, remedy: str) -> dict[str, Any]:
    """Decode the object at a place of a file; RowError that names it otherwise."""
    try:
        value = strict_json(text)
    except (ValueError, RecursionError) as error:
        raise RowError(f"{where} is not JSON ({error}); {remedy}") from error
    return require_object(value, where)


def require_object(value: Any, where: str) -> dict[str, Any]:
    """Return a decoded value that is an object; RowError that names its place otherwise."""
    if not isinstance(value, dict):
        raise RowError(f"{where} holds a {type(value).__name__}, expected an object with fields")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"field {twice!r} occurs twice")
    return values
