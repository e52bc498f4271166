"""Some rows of input files, written to a new file of the same format."""

import csv
import io
import json
from collections.abc import Container, Sequence
from pathlib import Path

import polars as pl

from savs.datasets.errors import SourceError
from savs.datasets.rows.file_formats import JSON_LINES, PARQUET, Values, read_values
from savs.datasets.rows.files import Files
from savs.datasets.rows.parquet_rows import DAMAGE
from savs.foundation.files import FULL, native_disk_errors
from savs.foundation.frames import scan_parquet

FORMS = {
    **dict.fromkeys(JSON_LINES, "JSON Lines"),
    ".json": "JSON",
    ".csv": "CSV",
    PARQUET: "Parquet",
}
"""Suffix -> form."""


def form_of(path: Path) -> str:
    """Return the form of a file by its name.

    Raises
    ------
    SourceError
        The suffix is none of the known ones.

    Examples
    --------
    >>> form_of(Path("all.ndjson")), form_of(Path("val.parquet"))
    ('JSON Lines', 'Parquet')
    """
    suffix = path.suffix.lower()
    if suffix not in FORMS:
        raise SourceError(
            f"{path}: expected a name that ends in {', '.join(FORMS)}, got {suffix!r}"
        )
    return FORMS[suffix]


def common_form(files: Files) -> str:
    """Return the form that all files have; SourceError if they have several."""
    forms = sorted({form_of(path) for path in files})
    if len(forms) > 1:
        raise SourceError(
            f"{files.paths[0]} and the other files are {' and '.join(forms)}; pass files of one"
            " format"
        )
    return forms[0]


def copy_rows(files: Files, numbers: Sequence[int], target: Path) -> None:
    """Write some of the rows of files to a file of their form, in their order.

    The values that are read back are equal, media included, and Parquet columns keep their types.
    Spacing, quotes and the spelling of JSON numbers (`1e3`, `1000.0`) may differ.

    `numbers` are counted over all files from 0; those beyond the last row are ignored. An existing
    target is replaced.

    Raises
    ------
    SourceError
        The files have several forms or different columns, or a row cannot be written.
    """
    form, wanted = common_form(files), set(numbers)
    if form == "Parquet":
        _copy_parquet(files, sorted(wanted), target)
        return
    rows = [values for path in files for values in read_values(path)]
    chosen = [values for number, values in enumerate(rows) if number in wanted]
    try:
        text = _csv(chosen, _columns(rows, files)) if form == "CSV" else _json(chosen, form)
        target.write_bytes(text.encode("utf-8"))
    except ValueError as error:  # a lone surrogate, or a number that is too large for a float
        raise SourceError(
            f"{files.paths[0]}: a value cannot be written ({error}); correct it"
        ) from error


def _json(rows: Sequence[Values], form: str) -> str:
    lines = [json.dumps(values, ensure_ascii=False, allow_nan=False) for values in rows]
    if form == "JSON":
        return "[\n" + ",\n".join(lines) + "\n]\n"
    return "".join(line + "\n" for line in lines)


def _columns(rows: Sequence[Values], files: Files) -> tuple[str, ...]:
    headers = {tuple(values) for values in rows}
    if len(headers) > 1:
        raise SourceError(
            f"{files.paths[0]} and the other files have different columns; split one file at a time"
        )
    return headers.pop()


def _csv(rows: Sequence[Values], columns: Sequence[str]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _copy_parquet(files: Files, numbers: Sequence[int], target: Path) -> None:
    wanted = pl.Series(numbers, dtype=pl.UInt32).implode()
    try:
        frame = pl.concat([scan_parquet(path) for path in files])
        number = _free_name(frame.collect_schema())
        rows = frame.with_row_index(number).filter(pl.col(number).is_in(wanted)).drop(number)
        with native_disk_errors():
            rows.sink_parquet(target)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        raise SourceError(
            f"the rows of {files.paths[0]} cannot be copied to {target}: {error}; if the columns"
            " differ, split one file at a time"
        ) from error


def _free_name(taken: Container[str]) -> str:
    name = "row"
    while name in taken:
        name += "_"
    return name
