"""Examples as a store plans and holds them."""

import json
from collections.abc import Sequence
from typing import Any

from savs.datasets import Example
from savs.datasets.parts import whole_name
from savs.stores import PlannedRow
from savs.stores.format.plan import ROW_COLUMNS, row_digest


def planned_rows(examples: Sequence[Example]) -> list[PlannedRow]:
    """Return what the plan keeps of each example: its id, a digest of its row, its first medium.

    Rows that begin with the same medium, or boxes of it, fill the shards side by side: it is read
    once.
    """
    return [
        PlannedRow(
            example.id,
            row_digest(
                {name: getattr(example, name) for name in ROW_COLUMNS}
                | {"media": list(example.media), "extra": dict(example.extra)}
            ),
            group=whole_name(example.media[0]) if example.media else "",
        )
        for example in examples
    ]


def example_columns(
    examples: Sequence[Example], digests: Sequence[tuple[str, ...]]
) -> dict[str, list[Any]]:
    """Return the columns that a shard holds of its examples; `digests` are those of their media."""
    names = ("index", "id", "split", "label", "group", "subtask", "category", "prompt")
    columns: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in examples] for name in names
    }
    return columns | {
        "media": [list(row.media) for row in examples],
        "media_sha256": [list(row) for row in digests],
        "extra": [
            json.dumps(dict(row.extra), ensure_ascii=False, separators=(",", ":"))
            for row in examples
        ],
    }
