"""Edits of a JSON value: each field replaced, removed, doubled, joined by another."""

import copy
from typing import Any

REPLACEMENTS = (
    *(None, True, 0, 1, -1, 7, 2**70, 0.5, "", "x", "vote", "../x.py", [], {}, [[]]),
    *([0, 0], ["x"], {"x": 1}, "a" * 64, [[0, 0], [0, 0]]),
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Return the path of every value in a JSON value."""
    items: Any = ()
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
    return [path, *(found for key, item in items for found in places(item, (*path, key)))]


def edited(value: Any, path: tuple, new: Any) -> Any:
    """Return a copy with another value at a path."""
    if not path:
        return new
    whole = copy.deepcopy(value)
    parent = whole
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = new
    return whole


def variants(whole: Any) -> list[tuple[tuple, Any]]:
    """Return paths and new values for them, several for every value of a JSON value."""
    found = []
    for path in places(whole):
        old = whole
        for key in path:
            old = old[key]
        found += [(path, new) for new in _others(old) if repr(new) != repr(old)]
    return found


def _others(old: Any) -> list[Any]:
    found = list(REPLACEMENTS)
    if isinstance(old, dict):
        found += [{**old, "more": 1}, *({k: v for k, v in old.items() if k != n} for n in old)]
    elif isinstance(old, list):
        found += [old + old[:1], old[1:], old[::-1], old * 2]
    elif isinstance(old, int | float):
        found += [old + 1, -old, float("inf"), float("nan")]
    return found
