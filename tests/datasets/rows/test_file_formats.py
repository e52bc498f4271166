import csv
import io
import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from savs.datasets import RowError, SourceError
from savs.datasets.rows.file_formats import read_rows

TEXTS = [
    {"question": 'Is it, "so"?', "label": "Ja"},
    {"question": "two\nor three\r\nlines", "label": " spaced "},
    {"question": "这是什么?", "label": "猫"},
    {"question": "\u2028 and \x85 end no line", "label": "b"},
]
DEEP = b"[" * 100_000
MIXED = [{"n": 3, "x": 0.5, "ok": True, "none": None, "names": ["a", "b"]}]


def as_jsonl(rows: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def as_json(rows: Sequence[dict[str, Any]]) -> bytes:
    return json.dumps(rows, indent=1).encode()


def as_csv(rows: Sequence[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: Sequence[dict[str, Any]], schema: Any = None) -> bytes:
    data = io.BytesIO()
    pl.DataFrame(rows, schema).write_parquet(data)
    return data.getvalue()


Write = Callable[[str, bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_bytes(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write_bytes


FORMS = {
    "rows.jsonl": as_jsonl,
    "rows.ndjson": as_jsonl,
    "ROWS.JSONL": as_jsonl,
    "rows.json": as_json,
    "rows.csv": as_csv,
    "rows.parquet": as_parquet,
    "ROWS.PARQUET": as_parquet,
}


@pytest.mark.parametrize("name", FORMS)
def test_every_kind_of_file_gives_the_same_rows(write: Write, name: str) -> None:
    data = FORMS[name](TEXTS)
    path = write(name, data)
    rows = read_rows(path)
    assert [dict(row.values) for row in rows] == TEXTS
    assert [row.index for row in rows] == [0, 1, 2, 3]
    if path.suffix in (".json", ".parquet"):  # rows without lines
        assert [row.where for row in rows] == [f"{path} row {n}" for n in range(4)]
    if name.lower() != "rows.parquet":  # a byte order mark is no part of the text
        assert [dict(row.values) for row in read_rows(write(name, BOM_UTF8 + data))] == TEXTS


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.parquet"])
def test_numbers_lists_and_nulls_keep_their_types(write: Write, name: str) -> None:
    assert dict(read_rows(write(name, FORMS[name](MIXED)))[0].values) == MIXED[0]


def test_csv_values_are_text_and_rows_named_by_the_line_they_end_on(write: Write) -> None:
    path = write("a.csv", b'label,n,none\n01,1e3,\n\na,"x\ny",b\n')
    first, second = read_rows(path)
    assert first.values == {"label": "01", "n": "1e3", "none": None}
    assert (first.where, second.where) == (f"{path} line 2", f"{path} line 5")


@pytest.mark.parametrize(
    "data",
    [
        b"image;question\na.png;Cat, or dog?\n",
        b"image\tquestion\na.png\tCat, or dog?\n",
        b'image,question\na.png,"Cat, or dog?"\n',
        b'\xef\xbb\xbf"image";"question"\r\n"a.png";"Cat, or dog?"\r\n',
    ],
    ids=["semicolon", "tab", "comma", "as Excel writes it"],
)
def test_columns_of_csv_may_be_divided_by_semicolons_or_tabs(write: Write, data: bytes) -> None:
    (row,) = read_rows(write("a.csv", data))
    assert row.values == {"image": "a.png", "question": "Cat, or dog?"}


def test_a_comma_divides_where_a_name_holds_a_semicolon(write: Write) -> None:
    (row,) = read_rows(write("a.csv", b"a,b;c\n1,2\n"))
    assert row.values == {"a": "1", "b;c": "2"}


def test_a_row_may_begin_with_a_hash(write: Write) -> None:
    rows = read_rows(write("a.csv", b"text,label\n#1 in sales,a\n# none,b\n"))
    assert [row.values["text"] for row in rows] == ["#1 in sales", "# none"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_blank_lines_are_passed_over_but_counted(write: Write, end: bytes) -> None:
    path = write("a.jsonl", end.join([b"", b'{"a": 1}', b"  \t", b"", b'{"a": 2}']))
    rows = read_rows(path)
    assert [(row.where, row.index, row.values["a"]) for row in rows] == [
        (f"{path} line 2", 0, 1),
        (f"{path} line 5", 1, 2),
    ]


@pytest.mark.parametrize(
    ("name", "data", "error", "problem"),
    [
        ("a.jsonl", b'{"a": 1}\n\n{"a": "\xff"}\n', SourceError, " line 3 is not UTF-8"),
        ("a.json", b'[{"a": "\n\xe4"}]', SourceError, " line 2 is not UTF-8"),
        ("a.csv", b"a\nb\nc\nd\n\xe9\n", SourceError, " line 5 is not UTF-8"),
        (
            "a.jsonl",
            '{"a": 1}'.encode("utf-16"),
            SourceError,
            " line 1 is not UTF-8 but UTF-16; save the file as UTF-8",
        ),
        ("a.csv", b"a,b;c\n1\n", SourceError, " line 1 is divided by ',' or ';', which is not"),
        ("a.jsonl", b'{"a": 1}\n\n{"a": }\n', RowError, " line 3 is not JSON"),
        ("a.jsonl", b'{"a": 1} {"a": 2}\n', RowError, " line 1 is not JSON"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', RowError, " line 2 holds a list, expected an object"),
        ("a.jsonl", b"\nnull\n", RowError, " line 2 holds a NoneType, expected an object"),
        ("a.json", b'[{"a": 1}, "b"]', RowError, " row 1 holds a str, expected an object"),
        ("a.json", b'{"a": 1}', SourceError, " holds a dict, expected a list"),
        ("a.json", b'{"a": 1}\n{"a": 2}\n', SourceError, " is not JSON: Extra data: line 2"),
        ("a.json", b"", SourceError, " is not JSON"),
        ("a.jsonl", b"", SourceError, " holds no rows"),
        ("a.jsonl", b"\n  \n", SourceError, " holds no rows"),
        ("a.json", b"[]", SourceError, " holds no rows"),
        ("a.csv", b"", SourceError, " holds no rows"),
        ("a.csv", b"label,q\n", SourceError, " holds no rows"),
        ("a.parquet", as_parquet([{"a": 1}, {"a": 2}])[:-9], SourceError, " is not a Parquet file"),
        ("a.parquet", as_parquet([]), SourceError, " holds no rows"),
        ("a.parquet", as_parquet([], {"label": pl.String}), SourceError, " holds no rows"),
        ("a.parquet", b"", SourceError, " is not a Parquet file"),
        ("a.csv", b"label,q\na,b\n\nc\n", RowError, " line 4 has 1 values for 2 columns"),
        ("a.csv", b"label,q\na,b,c\n", RowError, " line 2 has 3 values for 2 columns"),
        ("a.csv", b"label,label\na,b\n", SourceError, " line 1 names a column twice"),
        (
            "a.jsonl",
            b'{"a": 1, "a": 2}\n',
            RowError,
            " line 1 is not JSON (field 'a' occurs twice)",
        ),
        ("a.jsonl", b'{"a": NaN}\n', RowError, " line 1 is not JSON (NaN is not a JSON value)"),
        ("a.csv", b'label,q\n"a,b\n', SourceError, "is not CSV: unexpected end of data"),
        ("a.csv", b'label,q\na,b\nc,d\n"e"f,g\n', SourceError, " line 4 is not CSV"),
        ("a.jsonl", DEEP, RowError, " line 1 is not JSON (maximum recursion depth"),
        ("a.json", DEEP, SourceError, " is not JSON: maximum recursion depth"),
        ("a.txt", b"a", SourceError, ": expected a name that ends in .jsonl, .ndjson, .json, .csv"),
        ("a", b"a", SourceError, "got ''"),
        ("a.jsonl.gz", b"a", SourceError, "got '.gz'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(
    write: Write, name: str, data: bytes, error: type[Exception], problem: str
) -> None:
    path = write(name, data)
    joint = "" if problem.startswith((" ", ":")) else ".*"
    with pytest.raises(error, match=f"^{re.escape(str(path))}{joint}{re.escape(problem)}"):
        read_rows(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.csv cannot be read: No such file"):
        read_rows(tmp_path / "gone.csv")
    with pytest.raises(SourceError, match=r"gone\.parquet cannot be read: there is no such file;"):
        read_rows(tmp_path / "gone.parquet")
    (tmp_path / "photos").mkdir()
    with pytest.raises(SourceError, match=r"photos: no file in .*photos matches \*\*/\*\.parquet"):
        read_rows(tmp_path / "photos")
    (tmp_path / "photos/cat").mkdir()
    (tmp_path / "photos/cat/1.JPG").touch()
    with pytest.raises(SourceError, match=r"photos holds images, .* the benchmark image-folder,"):
        read_rows(tmp_path / "photos")


@pytest.mark.parametrize(("levels", "is_read"), [(64, True), (65, False), (600, False)])
@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_rows_that_are_nested_deep_are_refused(tmp_path: Path, levels, is_read, suffix) -> None:
    row = '{"a": ' + "[" * (levels - 1) + "]" * (levels - 1) + "}"
    path = tmp_path / f"rows{suffix}"
    path.write_text(row if suffix == ".jsonl" else f"[{row}]")
    if is_read:
        assert json.loads(json.dumps(read_rows(path)[0].rest(()))) == json.loads(row)
        return
    with pytest.raises(RowError, match="is nested more than 64 levels deep; flatten it"):
        read_rows(path)
