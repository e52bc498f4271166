"""Output files of a command, written whole or not at all, and what CSV files have in a cell."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from savs.foundation.errors import SavsError, reason_of
from savs.foundation.files import (
    make_folder,
    native_disk_errors,
    remove_empty,
    remove_left_overs,
    whole_file,
)
from savs.pipeline.errors import OutputError


@contextmanager
def disk_errors(
    where: str | Path, advice: str = "another `out`", kind: type[OSError] = OutputError
) -> Iterator[None]:
    """Raise what goes wrong on the disk as one kind of error, which says what to pass instead."""
    try:
        with native_disk_errors():
            yield
    except (OSError, pl.exceptions.PolarsError) as error:
        if isinstance(error, SavsError):
            raise
        raise kind(f"{where} cannot be written: {reason_of(error)}; pass {advice}") from error


@contextmanager
def new_file(
    path: Path,
    advice: str = "another `out`",
    kind: type[OSError] = OutputError,
    *,
    replace: bool = True,
) -> Iterator[Path]:
    """Yield a path to write to; its file gets the name `path` when the block ends.

    An old file is replaced, unless `replace` forbids it. Folders are made. Where the block raises,
    an old file stays as it was, and new folders go again; see `disk_errors`.
    """
    with disk_errors(path, advice, kind):
        made = [folder for folder in path.parents if not folder.exists()]
        try:
            make_folder(path.parent)
            remove_left_overs(path.parent, path.name)
            with whole_file(path, replace=replace) as partial:
                yield partial
        except BaseException:
            for outermost in made[-1:]:
                remove_empty(outermost)
            raise


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
    """Return a table that CSV can hold: lists, arrays and structs as JSON text."""

    def text(cell: Any) -> str | None:
        return None if cell is None else msgspec.json.encode(cell).decode()

    nested = [name for name, kind in table.schema.items() if kind.is_nested()]
    texts = {n: pl.Series(map(text, table[n].to_list()), dtype=pl.String) for n in nested}
    return table.with_columns(**texts)


def media_of_cell(cell: str) -> list[str]:
    """Return the names in a cell that `media_cell` made.

    ValueError if it begins like a JSON list, and is none of text.
    """
    return msgspec.json.decode(cell, type=list[str]) if cell.startswith("[") else [cell]
