"""Rows as their files have them, written again unchanged: JSON Lines, JSON, CSV, Parquet."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from savs.datasets.errors import SourceError
from savs.datasets.rows.files import Files

FORMS = {".jsonl": "JSON Lines", ".ndjson": "JSON Lines", ".json": "JSON", ".csv": "CSV"}
"""Suffix -> form, of files of text."""
PARQUET = ".parquet"


@dataclass(frozen=True, slots=True)
class _Texts:
    """The rows of a file of text, character for character."""

    head: str
    """What stands before the rows: the column names of a CSV file."""
    rows: tuple[str, ...]


def form_of(path: Path) -> str:
    """Return the form that a file's name says.

    Raises
    ------
    SourceError
        It is none of those that can be written.

    Examples
    --------
    >>> form_of(Path("all.ndjson")), form_of(Path("val.parquet"))
    ('JSON Lines', 'Parquet')
    """
    suffix = path.suffix.lower()
    if suffix == PARQUET:
        return "Parquet"
    if suffix not in FORMS:
        known = ", ".join([*FORMS, PARQUET])
        raise SourceError(f"{path}: expected a name that ends in {known}, got {path.suffix!r}")
    return FORMS[suffix]


def copy_rows(files: Files, places: Sequence[int], target: Path) -> None:
    """Write some of the rows of files to a file of the same form, in their order.

    A row of JSON Lines, JSON or CSV is the same text; one of Parquet has the same values, media
    included, in columns of the same types.

    Parameters
    ----------
    files
        The input files, all of one form; several CSV files have the same columns.
    places
        Which rows: their numbers, counted over all files from 0, ascending.
    target
        The file to write; what is there is replaced.

    Raises
    ------
    SourceError
        The files are of several forms, or of other columns, or their rows cannot be told apart.
    """
    if form_of(files.paths[0]) == "Parquet":
        _copy_parquet(files, places, target)
        return
    form = form_of(files.paths[0])
    texts = [_READERS[form](path, _text(path)) for path in files]
    heads = {text.head for text in texts}
    if len(heads) > 1:
        raise SourceError(
            f"{files.paths[0]} and the other files have different columns; split one at a time"
        )
    rows = [row for text in texts for row in text.rows]
    wanted = [rows[place] for place in places]
    if form == "JSON":
        whole = "[\n" + ",\n".join(wanted) + "\n]\n"
    else:
        whole = heads.pop() + "".join(wanted)
    target.write_bytes(whole.encode("utf-8"))


def count_rows(files: Files) -> int:
    """Return how many rows files of one form have.

    Raises
    ------
    SourceError
        They are of several forms, or of one that cannot be written.
    """
    forms = {form_of(path) for path in files}
    if len(forms) > 1:
        raise SourceError(
            f"{files.paths[0]} and the other files are {' and '.join(sorted(forms))}; give files of"
            " one form"
        )
    if forms == {"Parquet"}:
        return int(_parquet(files).select(pl.len()).collect().item())
    return sum(len(_READERS[form_of(path)](path, _text(path)).rows) for path in files)


def _copy_parquet(files: Files, places: Sequence[int], target: Path) -> None:
    frame = _parquet(files)
    number = "row"
    while number in frame.collect_schema():
        number += "_"
    wanted = pl.Series(places, dtype=pl.UInt32).implode()
    rows = frame.with_row_index(number).filter(pl.col(number).is_in(wanted)).drop(number)
    try:
        rows.sink_parquet(target)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(f"{target} cannot be written: {error}") from error


def _parquet(files: Files) -> pl.LazyFrame:
    try:
        frame = pl.concat([pl.scan_parquet(path, glob=False) for path in files])
        frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(
            f"{files.paths[0]} and the files beside it cannot be read together: {error}; split one"
            " at a time"
        ) from error
    return frame


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8") from error


def _json_lines(_path: Path, text: str) -> _Texts:
    return _Texts("", tuple(line + "\n" for line in text.split("\n") if line.strip()))


def _json_list(path: Path, text: str) -> _Texts:
    decoder, rows = json.JSONDecoder(), []
    place = _skip(text, 0)
    if text[place : place + 1] != "[":
        raise SourceError(f"{path} is no list, so it cannot be split; make it JSON Lines")
    place = _skip(text, place + 1)
    while text[place : place + 1] not in ("]", ""):
        _, end = decoder.raw_decode(text, place)
        rows.append(text[place:end])
        place = _skip(text, end, ", \t\r\n")
    return _Texts("", tuple(rows))


def _skip(text: str, place: int, blank: str = " \t\r\n") -> int:
    while place < len(text) and text[place] in blank:
        place += 1
    return place


def _csv(_path: Path, text: str) -> _Texts:
    lines = list(io.StringIO(text, newline=""))
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += "\r\n" if lines[0].endswith("\r\n") else "\n"
    reader, rows, start = csv.reader(lines, strict=True), [], 0
    for values in reader:
        if values:
            rows.append("".join(lines[start : reader.line_num]))
        start = reader.line_num
    return _Texts(rows[0], tuple(rows[1:])) if rows else _Texts("", ())


_READERS: dict[str, Callable[[Path, str], _Texts]] = {
    "JSON Lines": _json_lines,
    "JSON": _json_list,
    "CSV": _csv,
}
"""Form -> its rows; the files have been read, and refused, by `read_rows` before."""
