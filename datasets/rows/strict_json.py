"""JSON as the standard has it."""

import json
from collections import Counter
from typing import Any


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


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"field {twice!r} occurs twice")
    return values
