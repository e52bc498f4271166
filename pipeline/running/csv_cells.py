"""What a table has in a cell of a CSV file, where all is text."""

from collections.abc import Sequence

import msgspec
import polars as pl


def media_cell(names: Sequence[str]) -> str:
    """Return the names of an example's media: one as it is, others as a JSON list.

    Examples
    --------
    >>> media_cell(["a.jpg"]), media_cell(["a.jpg", "b.jpg"])
    ('a.jpg', '["a.jpg","b.jpg"]')
    """
    is_plain = len(names) == 1 and not names[0].startswith("[")
    return names[0] if is_plain else msgspec.json.encode(list(names)).decode()


def with_media_cells(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table whose column `media` has the cells of `media_cell`."""
    return table.with_columns(media=pl.Series(map(media_cell, table["media"]), dtype=pl.String))


def cells_of_lists(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table with lists of names in all columns as JSON text."""
    lists = [name for name, kind in table.schema.items() if kind.is_nested()]
    made = {
        name: pl.Series([msgspec.json.encode(cell).decode() for cell in table[name].to_list()])
        for name in lists
    }
    return table.with_columns(**made)


def media_names(cell: str) -> list[str]:
    """Return the names in a cell that `media_cell` made.

    Raises
    ------
    ValueError
        It begins like a JSON list, and is none of text.
    """
    return msgspec.json.decode(cell, type=list[str]) if cell.startswith("[") else [cell]
