"""JSON that people read: one value a line."""

import json
from typing import Any

import msgspec


def indented(value: Any) -> str:
    """Return a value as JSON with an indent of one space a level.

    Faster than `json.dumps(indent=1)`, which does without its C code then.

    Raises
    ------
    ValueError
        It holds NaN or infinity, which JSON has not, or text that is not Unicode.

    Examples
    --------
    >>> print(indented({"heads": [3, 1], "label": "Käse"}))
    {
     "heads": [
      3,
      1
     ],
     "label": "Käse"
    }
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return msgspec.json.format(text, indent=1)
