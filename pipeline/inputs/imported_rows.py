"""Rows that features are labelled by: what equal ones share is kept once, so millions fit."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from savs.datasets import Example
from savs.datasets.row import Row
from savs.datasets.splits.shared_media import content_table
from savs.foundation.arrays import Array
from savs.pipeline.inputs.stored_rows import example_columns
from savs.stores import PlannedRow
from savs.stores.format.plan import ROW_COLUMNS, row_digests


class RowPool:
    """Rows as they come: the first of those that differ in nothing but their id, and all ids."""

    def __init__(self, id_column: str) -> None:
        self.rows: list[Row] = []
        """The first of each."""
        self.numbers = array("q")
        """Of each row its number in `rows`."""
        self.ids: list[str] = []
        self.have_ids = False
        """Whether a row has an id of its own."""
        self._id_column = id_column
        self._known: dict[Any, int] = {}
        self._same: dict[int, int] = {}

    def add(self, row: Row) -> None:
        """Add the next row; RowError if its id cannot be one."""
        own_id = row.optional(self._id_column) if self._id_column in row.values else None
        self.have_ids |= own_id is not None
        self.ids.append(own_id or row.id)
        number = self._same.get(id(row.values))  # equal rows of CSV share their values
        self.numbers.append(self._number(row) if number is None else number)

    def _number(self, row: Row) -> int:
        values = [
            (name, type(value), repr(value) if isinstance(value, float) else value)
            for name, value in row.values.items()
            if name != self._id_column
        ]
        try:
            number = self._known.setdefault((*values,), len(self.rows))
        except TypeError:  # a list cannot be looked up
            number = len(self.rows)
        if number == len(self.rows):
            self.rows.append(row)
            self._same[id(row.values)] = number  # stays: the row is kept
        return number


@dataclass(frozen=True, slots=True)
class ImportedRows:
    """The examples of one split, in the order of the features."""

    contents: Sequence[Example]
    """Examples of all splits, each of which stands for those that differ in id and index alone."""
    places: Array
    """`(n,)` row of the features."""
    numbers: Array
    """`(n,)` number in `contents`."""
    ids: Sequence[str]

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.ids)

    def first(self) -> tuple[list[Example], list[int]]:
        """Return the first example of each content, and how many have it."""
        _, rows, counts = np.unique(self.numbers, return_index=True, return_counts=True)
        order = np.argsort(rows)
        examples = [
            replace(self.contents[int(self.numbers[row])], id=self.ids[row], index=row)
            for row in rows[order].tolist()
        ]
        return examples, counts[order].tolist()

    def table(self, digests: Mapping[str, str]) -> pl.DataFrame:
        """Return what `content_table` does of all examples."""
        used, numbers = np.unique(self.numbers, return_inverse=True)
        table = content_table([self.contents[number] for number in used], digests)
        return table[numbers.tolist()].with_columns(pl.Series("id", self.ids, dtype=pl.String))

    def planned(self) -> list[PlannedRow]:
        """Return what the plan keeps of each example, as `planned_rows` without groups."""
        contents = [
            {name: getattr(example, name) for name in ROW_COLUMNS}
            | {"media": list(example.media), "extra": dict(example.extra)}
            for example in self.contents
        ]
        digests = row_digests(contents, self.numbers.tolist())
        return [PlannedRow(name, digest) for name, digest in zip(self.ids, digests, strict=True)]

    def columns(
        self, rows: Sequence[int], digests: Sequence[tuple[str, ...]]
    ) -> dict[str, list[Any]]:
        """Return what `example_columns` does of some; `digests` are those of each content."""
        used, numbers = np.unique(self.numbers[np.asarray(rows)], return_inverse=True)
        contents = example_columns(
            [self.contents[number] for number in used], [digests[number] for number in used]
        )
        places = numbers.tolist()
        columns = {name: [values[n] for n in places] for name, values in contents.items()}
        return columns | {"index": list(rows), "id": [self.ids[row] for row in rows]}
