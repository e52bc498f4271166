"""How deep the values of JSON from any source may be nested."""

from typing import Any

MAX_LEVELS = 64
"""Most levels of nested objects and lists."""


def is_too_deep(value: Any, levels: int = MAX_LEVELS) -> bool:
    """Return whether objects and lists are nested more than `levels` deep.

    Examples
    --------
    >>> is_too_deep({"a": [1, []]}, levels=3), is_too_deep({"a": [1, []]}, levels=2)
    (False, True)
    """
    if not isinstance(value, dict | list):
        return False
    parts = value.values() if isinstance(value, dict) else value
    nested = [part for part in parts if isinstance(part, dict | list)]  # not a million ids
    return levels == 0 or any(is_too_deep(part, levels - 1) for part in nested)
