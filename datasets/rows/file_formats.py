"""Rows of JSON Lines, JSON, CSV and Parquet files, and of tar shards."""

import codecs
import csv
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, islice
from pathlib import Path
from typing import IO, Any

from savs.datasets.errors import RowError, SourceError
from savs.datasets.row import MAX_ROW_BYTES, Row, json_object, require_object, strict_json
from savs.datasets.rows.coco import coco_rows
from savs.datasets.rows.files import Files, find_files
from savs.datasets.rows.media_names import name_embedded
from savs.datasets.rows.parquet_rows import parquet_values
from savs.datasets.rows.tar_shards import TAR, shard_values
from savs.foundation.errors import SavsError, reason_of
from savs.foundation.files import regular_size
from savs.foundation.frames import OF_COLUMN

JSON_LINES = (".jsonl", ".ndjson")
PARQUET, JSON, CSV = ".parquet", ".json", ".csv"
TABLES = (CSV, ".txt")
"""Suffixes of files that a benchmark may read in its own way, see `Benchmark.read_table`."""
MAX_WHOLE_BYTES = 2**32
"""Largest JSON or CSV file, which is read at once."""

DELIMITERS = ",;\t"
"""What may stand between the columns of a CSV file; a comma first, where several may."""
HEAD_CHARACTERS = 2**20
"""Start of a CSV file by which its delimiter is known."""
MAX_CSV_CHARACTERS = 2**25
"""Most characters of a row of CSV, each of which takes four to eight bytes while it is read."""
MAX_ROWS = 2**22
"""Most rows of a source that are in memory together: they take 1 to 4 GB."""
EQUAL_ROWS = 2**12
"""Most different rows that are remembered, so that equal ones are in memory once."""

Values = dict[str, Any]
Located = tuple[str, Values]
"""File and line (or row) for error messages, and the row's fields."""
Reader = Callable[[Path, str], Iterator[Located]]
"""Reads the text of a file."""


def read_rows(source: str | Path | Files, read_table: Reader | None = None) -> list[Row]:
    """Read all rows of the `.jsonl`, `.json`, `.csv`, `.parquet` or `.tar` files of a source.

    Blank lines are skipped. CSV values are text, and an empty one is null. `read_table` reads
    `.csv` and `.txt` files instead.

    Raises
    ------
    SourceError
        A file is missing, empty, of another kind, or not what its name says.
    RowError
        A line is not a JSON object, or there are more than `MAX_ROWS`.
    """
    rows = []
    for row in iter_rows(source, read_table, value=None):
        if len(rows) == MAX_ROWS:
            raise RowError(
                f"{row.where}: there are more than {MAX_ROWS:,} rows; give fewer at a time, or"
                " compute their features elsewhere, and import these"
            )
        rows.append(row)
    return rows


def iter_rows(
    source: str | Path | Files, read_table: Reader | None = None, value: int | None = OF_COLUMN
) -> Iterator[Row]:
    """Yield the rows that `read_rows` returns, one by one; the same errors but for their number.

    A table that stands for many more bytes than it has is refused; `value` is as in
    `expanded_bytes`, None where all rows stay in memory.
    """
    files = source if isinstance(source, Files) else find_files(source)
    for path in files:
        index, stem = -1, files.stem(path)
        for index, (where, values) in enumerate(_read(path, files.root, read_table, value)):
            yield Row(where, index, values, stem)
        if index < 0:
            raise SourceError(f"{path} holds no rows; give a file with at least one example")


def read_values(path: Path) -> list[Values]:
    """Return the fields of each row of a JSON Lines, JSON or CSV file, media included."""
    return [values for _, values in _read_text(path)]


def _read(
    path: Path, root: Path, read_table: Reader | None, value: int | None
) -> Iterator[Located]:
    name = path.relative_to(root).as_posix()
    if path.suffix.lower() == PARQUET:
        if not path.is_file():
            what = "it is not a regular file" if path.exists() else "there is no such file"
            raise SourceError(f"{path} cannot be read: {what}; check the path")
        for index, values in enumerate(parquet_values(path, name, value)):
            yield f"{path} row {index}", values
        return
    if path.suffix.lower() == TAR:
        yield from shard_values(path, name)
        return
    for index, (where, values) in enumerate(_read_text(path, read_table)):
        yield where, name_embedded(values, f"{name}#{index}")


def _read_text(path: Path, read_table: Reader | None = None) -> Iterator[Located]:
    suffix = path.suffix.lower()
    readers = {JSON: _json_list} | dict.fromkeys(() if read_table is None else TABLES, read_table)
    reader = readers.get(suffix)
    by_row = {CSV: _csv} | dict.fromkeys(JSON_LINES, _json_lines)
    if reader is None and suffix not in by_row:
        known = ", ".join([*JSON_LINES, JSON, CSV, *({*readers} - {JSON, CSV}), PARQUET, TAR])
        raise SourceError(f"{path}: expected a name that ends in {known}, got {path.suffix!r}")
    try:
        size = regular_size(path)
        if reader is not None and size > MAX_WHOLE_BYTES:
            raise SourceError(
                f"{path} has more than {MAX_WHOLE_BYTES:,} bytes; save it as .jsonl or .parquet,"
                " which are read row by row"
            )
        with path.open("rb") as file:
            if reader is None:
                yield from by_row[suffix](path, file)
                return
            data = file.read()
    except (OSError, ValueError) as error:
        if isinstance(error, SavsError):
            raise
        raise SourceError(f"{path} cannot be read: {reason_of(error)}; check the path") from error
    yield from reader(path, _decode(path, data))


def _decode(path: Path, data: bytes, line: int = 1) -> str:
    if line == 1:
        _refuse_utf16(path, data)
    try:
        return data.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        line += data[: error.start].count(b"\n")
        raise SourceError(
            f"{path} line {line} is not UTF-8 ({error.reason}); save the file as UTF-8"
        ) from error


def _refuse_utf16(path: Path, start: bytes) -> None:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SourceError(f"{path} line 1 is not UTF-8 but UTF-16; save the file as UTF-8")


def _json_lines(path: Path, file: IO[bytes]) -> Iterator[Located]:
    for number in count(1):
        where, line = f"{path} line {number}", file.readline(MAX_ROW_BYTES + 1)
        if not line:
            return
        if len(line) > MAX_ROW_BYTES:
            raise RowError(
                f"{where} has more than {MAX_ROW_BYTES:,} bytes; save its images as files, and give"
                " their names"
            )
        text = _decode(path, line, number)
        if not text.strip():
            continue
        yield where, json_object(text, where, "put one object on each line")


def _json_list(path: Path, text: str) -> Iterator[Located]:
    try:
        values = strict_json(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{path} is not JSON: {error}; correct it, or rename JSON Lines to .jsonl"
        ) from error
    if not isinstance(values, list):
        yield from coco_rows(path, values)
        return
    for index, value in enumerate(values):
        where = f"{path} row {index}"
        yield where, require_object(value, where)


def _csv(path: Path, file: IO[bytes]) -> Iterator[Located]:
    start = file.read(HEAD_CHARACTERS)
    _refuse_utf16(path, start)
    delimiter = _delimiter(path, start.decode("utf-8-sig", "ignore"))
    file.seek(0)
    with io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        try:
            yield from _divided(path, _CsvRows(path, text, delimiter=delimiter), delimiter)
        except UnicodeDecodeError:
            _name_bad_line(path)
            raise


def _name_bad_line(path: Path) -> None:
    """Raise SourceError for the first line that is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            _decode(path, line, number)


class _CsvRows:
    """The rows of a table as lists of texts, read line by line; `line_num` is that of the last."""

    def __init__(self, path: Path, text: IO[str], **form: Any) -> None:
        self._path, self._text, self._size = path, text, 0
        self._reader = csv.reader(self._lines(), strict=True, **form)

    @property
    def line_num(self) -> int:
        return self._reader.line_num

    def __iter__(self) -> Iterator[list[str]]:
        for values in self._reader:
            self._size = 0
            yield values

    def _lines(self) -> Iterator[str]:
        while line := self._text.readline(MAX_CSV_CHARACTERS + 1):
            self._size += len(line)  # a quoted value may have many lines
            if self._size > MAX_CSV_CHARACTERS:
                raise RowError(
                    f"{self._path} line {self.line_num + 1} has more than {MAX_CSV_CHARACTERS:,}"
                    " characters; save its images as files, and give their names"
                )
            yield line


def read_headless(
    path: Path, text: str, names: tuple[str, ...], delimiter: str = ","
) -> Iterator[Located]:
    r"""Yield place and fields of each row of a table without a line of column names.

    Lines that begin with `#` are skipped, and so are spaces after a delimiter. A first line with
    these names, in any order, is such a line.

    Raises
    ------
    SourceError
        The text is no CSV.
    RowError
        A line has another number of values.

    Examples
    --------
    >>> text = "# id, start\nabc, 3\n"
    >>> list(read_headless(Path("x.csv"), text, ("id", "start")))
    [('x.csv line 2', {'id': 'abc', 'start': '3'})]
    """
    lines = _CsvRows(
        path, io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True
    )
    yield from _divided(path, lines, delimiter, names)


def _divided(
    path: Path, lines: _CsvRows, delimiter: str, columns: tuple[str, ...] | None = None
) -> Iterator[Located]:
    """Yield the rows of a table; its first line names the columns unless they are given."""
    limit = csv.field_size_limit(MAX_CSV_CHARACTERS)  # of the whole process: a cell may hold images
    known: dict[tuple[str, ...], Values] = {}
    try:
        rows = iter(lines)
        names = next(rows, []) if columns is None else columns
        if len(set(names)) < len(names):
            raise SourceError(
                f"{path} line 1 names a column twice: {', '.join(names)}; rename one of the two"
            )
        for values in filter(None, rows):
            where = f"{path} line {lines.line_num}"
            if columns is not None and values[0].startswith("#"):
                continue
            if columns is not None and lines.line_num == 1 and set(values) == set(columns):
                names = values
                continue
            if len(values) != len(names):
                raise RowError(
                    f"{where} has {len(values)} values for {len(names)} columns, divided by"
                    f" {delimiter!r}; quote values that hold one"
                )
            row = known.get(tuple(values))
            if row is None:
                row = {name: value or None for name, value in zip(names, values, strict=True)}
                if len(known) < EQUAL_ROWS:
                    known[tuple(values)] = row
            yield where, row
    except csv.Error as error:
        raise SourceError(
            f"{path} line {lines.line_num} is not CSV: {error}; correct it"
        ) from error
    finally:
        csv.field_size_limit(limit)


def _delimiter(path: Path, head: str) -> str:
    """Return what divides the columns; SourceError if that is not clear."""
    widths = {delimiter: _widths(head, delimiter) for delimiter in DELIMITERS}
    several = [delimiter for delimiter, line_widths in widths.items() if line_widths[:1] > [1]]
    even = [delimiter for delimiter in several if len(set(widths[delimiter])) == 1]
    if len(several) > 1 and not even:
        names = " or ".join(map(repr, several))
        raise SourceError(
            f"{path} line 1 is divided by {names}, which is not clear; save the file as"
            " comma-separated"
        )
    return (even or several or [","])[0]


def _widths(head: str, delimiter: str) -> list[int]:
    """Return how many values the first two lines have, as far as they are whole."""
    widths: list[int] = []
    with suppress(csv.Error):
        lines = filter(None, csv.reader(io.StringIO(head, newline=""), delimiter=delimiter))
        widths.extend(map(len, islice(lines, 2)))
    return widths
