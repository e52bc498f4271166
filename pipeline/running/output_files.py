"""Output files of a command, written whole or not at all, and what CSV files have in a cell."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from savs.foundation.errors import SavsError, reason_of
from savs.foundation.files import (
    make_durable,
    make_folder,
    native_disk_errors,
    remove_empty,
    remove_left_overs,
    whole_file,
)
from savs.pipeline.errors import OutputError


def check_free(path: Path, option: str, *, force: bool) -> None:
    """Raise OutputError if a file exists, unless it may be replaced."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder; pass the name of a file as `{option}`")
    if path.exists() and not force:
        raise OutputError(f"{path} exists; remove it, or pass another `{option}`")


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
    path: Path, advice: str = "another `out`", kind: type[OSError] = OutputError
) -> Iterator[Path]:
    """Yield a path to write to; its file replaces `path` when the block ends.

    The folder is made. Where the block raises, an old file stays as it was; see `disk_errors`.
    """
    with disk_errors(path, advice, kind):
        make_folder(path.parent)
        remove_left_overs(path.parent, path.name)
        with whole_file(path) as partial:
            yield partial


@contextmanager
def output_files(targets: Mapping[str, Path], *, force: bool = False) -> Iterator[dict[str, Path]]:
    """Yield a path to write to for each option's file; all get their names when the block ends.

    Their content is made durable first. One file replaces an old one at once, with `force`. Of
    several the old ones are removed before the first gets its name: a crash or a full disk never
    leaves an old file next to a new one. Where the block raises, folders that were made for them go
    again. OutputError if a name is taken, or a file cannot be written.
    """
    at_once = force and len(targets) == 1
    names = " and ".join(f"`{name}`" for name in targets)
    with disk_errors(", ".join(map(str, targets.values())), f"another {names}"):
        for option, path in targets.items():
            check_free(path, option, force=force)
        parents = {folder for path in targets.values() for folder in path.parents}
        paths = {}
        with ExitStack() as stack:
            for folder in sorted(parents):  # of those that are made the inner ones go first
                if not folder.exists():
                    stack.callback(remove_empty, folder)
            for option, path in targets.items():
                make_folder(path.parent)
                remove_left_overs(path.parent, path.name)
                new = whole_file(path, replace=at_once, keep_suffix=True)
                paths[option] = stack.enter_context(new)
            yield paths
            for path in paths.values():
                make_durable(path)
            for path in targets.values() if force and not at_once else ():
                path.unlink(missing_ok=True)


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
