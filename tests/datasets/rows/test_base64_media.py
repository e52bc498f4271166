import base64
import csv
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from savs.datasets import MediaError, MediaFolder, RowError, find_benchmark, read_examples
from savs.datasets.row import PackedMedium
from savs.datasets.rows.file_formats import read_rows
from savs.datasets.rows.media_names import decode_embedded, is_embedded


def uri(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


ROWS: list[dict[str, Any]] = [
    {"question": "?", "label": "a", "image": uri(b"one")},
    {"question": "?", "label": "b", "image": {"bytes": base64.b64encode(b"two").decode()}},
    {"question": "?", "label": "b", "images": [uri(b"three", "video/mp4"), "4.png", uri(b"five")]},
    {"question": "?", "label": "a", "image": "6.png"},
    {"question": "?", "label": "a", "image": {"bytes": "c2V2ZW4=", "path": "7.png"}},
]
NAMES = [
    ("#0/image",),
    ("#1/image",),
    ("#2/images/0", "4.png", "#2/images/2"),
    ("6.png",),
    ("#4/image",),
]
BYTES = {"#0/image": b"one", "#1/image": b"two", "#2/images/0": b"three", "#2/images/2": b"five"}


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    lines = [json.dumps(row) for row in rows]
    text = "[" + ",".join(lines) + "]" if path.suffix == ".json" else "\n\n".join(lines) + "\n"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("name", ["x.jsonl", "in/x.ndjson", "x.json"])
def test_media_in_rows_are_named_and_read_when_needed(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    path = written(tmp_path / name, ROWS)
    own = path.name
    examples = read_examples(find_benchmark("general"), path, "test")
    wanted = [tuple(n if n.endswith("png") else own + n for n in names) for names in NAMES]
    assert [example.media for example in examples] == wanted
    assert all(dict(example.extra) == {} for example in examples)
    media = MediaFolder(path.parent)
    for end, data in (BYTES | {"#4/image": b"seven"}).items():
        assert (media.read(own + end), media.has(own + end)) == (data, True)
        assert media.size(own + end) == len(data)


def test_a_byte_order_mark_and_blank_lines_do_not_shift_rows(tmp_path: Path) -> None:
    lines = ["\ufeff" + json.dumps(ROWS[3]), " \u2003 ", "", json.dumps(ROWS[0])]
    (tmp_path / "x.jsonl").write_text("\r\n".join(lines), "utf-8")
    _, row = read_rows(tmp_path / "x.jsonl")
    assert row.medium("image") == "x.jsonl#1/image"
    assert MediaFolder(tmp_path).read("x.jsonl#1/image") == b"one"
    assert decode_embedded("data:image/png;base64,b2\r\n5l\n", "x") == b"one"


def test_a_csv_file_may_hold_them_too(tmp_path: Path) -> None:
    with (tmp_path / "x.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "n"], ["a.png", "1"], [uri(b"one" * 99_999), "2"]])
    assert [row.medium("image") for row in read_rows(tmp_path / "x.csv")] == [
        "a.png",
        "x.csv#1/image",
    ]
    assert MediaFolder(tmp_path).read("x.csv#1/image") == b"one" * 99_999


def test_a_parquet_file_may_hold_them_as_text(tmp_path: Path) -> None:
    columns = {
        "image": [uri(b"one"), "2.png", None],
        "thing": [{"bytes": base64.b64encode(b"two").decode(), "path": None}] * 3,
        "images": [[uri(b"three"), "4.png"], [], None],
        "raw": [b"five", b"six", b"seven"],
    }
    pl.DataFrame(columns).write_parquet(tmp_path / "x.parquet")
    first, second, third = read_rows(tmp_path / "x.parquet")
    assert first.values == {
        "image": PackedMedium("x.parquet#0/image"),
        "thing": PackedMedium("x.parquet#0/thing"),
        "images": [PackedMedium("x.parquet#0/images/0"), "4.png"],
        "raw": PackedMedium("x.parquet#0/raw"),
    }
    assert (second.values["image"], third.values["image"]) == ("2.png", None)
    media = MediaFolder(tmp_path)
    ends = ("image", "thing", "images/0", "raw")
    found = [media.read(f"x.parquet#0/{end}") for end in ends]
    assert found == [b"one", b"two", b"three", b"five"]


EMBEDDED = [
    "data:image/png;base64,AAAA",
    "DATA:IMAGE/PNG;BASE64,AAAA",
    "data:;base64,AAAA",
    "data:application/octet-stream;name=x;base64,AAAA",
    "data:image/png,%89PNG",  # refused when it is read
    {"bytes": "AAAA"},
    {"bytes": "AAAA", "path": "x"},
]
OTHERS = ["data: 3, 4 and 5; which is odd?", "data/1.png", "", None, {}]
OTHERS += [{"bytes": "AAAA", "more": 1}, {"bytes": None}]


@pytest.mark.parametrize("value", EMBEDDED + OTHERS)
def test_base64_is_told_from_names_and_texts(value: Any) -> None:
    assert is_embedded(value) is (value in EMBEDDED)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("data:image/png;base64,AAA", "is not base64: .*padding"),
        ("data:image/png;base64,A*AA", "is not base64: "),
        ("data:image/png;base64,\u00e4AAA", "is not base64: "),
        ("data:image/png,%89PNG", "'data:image/png' is not base64; expected data:TYPE;base64"),
        ("data:image/png;base64", "is not base64; expected data:TYPE;base64"),
        ({"bytes": 5}, "holds a int, expected base64"),
    ],
)
def test_what_is_not_base64_is_named(value: Any, problem: str) -> None:
    with pytest.raises(MediaError, match=f"^x.jsonl#3/image:? .*{problem}"):
        decode_embedded(value, "x.jsonl#3/image")


@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
@pytest.mark.parametrize(
    ("end", "problem"),
    [
        ("#9/image", "cannot be read: .* index out of range"),
        ("#0/other", "cannot be read: no column 'other' has media"),
        ("#0/image/0", "cannot be read: the value is not a list, so it has no item 0"),
        ("#2/images/9", "cannot be read: list index out of range"),
        ("#2/images", "holds a list, expected a single medium; add /0, /1"),
        ("#0/n", "holds a int, expected a single medium"),
        ("#5/image", r"is empty \(0 bytes\)$"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, name: str, end: str, problem: str) -> None:
    written(tmp_path / name, [{"n": 1, **ROWS[0]}, *ROWS[1:], {"image": uri(b"")}])
    with pytest.raises(MediaError, match=f"^{name}{end} {problem}"):
        MediaFolder(tmp_path).read(name + end)


def test_a_medium_is_no_label(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", [{"question": "?", "label": uri(b"one")}])
    with pytest.raises(RowError, match=r"x\.jsonl line 1: field 'label' "):
        read_examples(find_benchmark("general"), path, "test")
