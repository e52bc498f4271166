"""Rows that a small file stands for: their size is known before they are read."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hostile_files import refusal, repeated_prompts
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.datasets import RowError, SourceError
from savs.datasets.errors import MediaError
from savs.datasets.rows import file_formats, parquet_rows
from savs.datasets.rows.file_formats import read_rows
from savs.datasets.rows.packed_media import read_packed
from savs.datasets.rows.parquet_rows import row_bytes


def many_prompts(folder: Path) -> Path:
    """A file that holds one prompt of 300 bytes once, for four million rows."""
    path = repeated_prompts(folder / "rows.parquet", 4_000_000, 300)
    assert path.stat().st_size < 50_000
    return path


def endless_line(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    with path.open("wb") as file:
        file.write(b'{"image": "1.png", "label": "a", "question": "')
        file.truncate(2**30)
    return path


def long_cell(folder: Path) -> Path:
    path = folder / "rows.csv"
    with path.open("wb") as file:
        file.write(b"image,label\n" + b"x" * 2**21)
        file.truncate(300_000_000)
    return path


def cell_of_lines(folder: Path) -> Path:
    path = folder / "rows.csv"
    with path.open("wb") as file:
        file.write(b'image,label\n"' + (b"x" * 999 + b"\n") * 34_000)
        file.truncate(300_000_000)
    return path


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (
            many_prompts,
            r"is too large: it would take 1,200,15[\d,]+ bytes of memory, 1,000 times its size",
        ),
        (long_cell, "line 2 has more than 33,554,432 characters; save its images as files, and"),
        (cell_of_lines, r"line \d+ has more than 33,554,432 characters; save its images as files"),
        (endless_line, "line 1 has more than 134,217,728 bytes; save its images as files, and"),
    ],
)
def test_a_file_that_is_refused_does_not_fill_the_memory(
    tmp_path: Path, write: Callable[[Path], Path], reason: str, record_property
) -> None:
    path = write(tmp_path)
    said = refusal("read_rows(path)", path, record_property)
    assert re.match(f"{re.escape(str(path))} {reason}", said)


def test_a_long_line_and_a_long_cell_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_formats, "MAX_ROW_BYTES", 12)
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 12345}\n{"a": 1}\n\n')
    with pytest.raises(RowError, match=r"rows\.jsonl line 1 has more than 12 bytes; save its"):
        read_rows(path)
    path.write_text('{"a": 1234}\n\n{"a": 1}')
    assert [row.where.rpartition(" ")[2] for row in read_rows(path)] == ["1", "3"]
    monkeypatch.setattr(file_formats, "MAX_CSV_CHARACTERS", 15)
    cells = tmp_path / "rows.csv"
    for row in ("2,1234567890123", '"2\n3","123\n45678"'):
        cells.write_text(f"a,b\n1,123456789012\n{row}\n")
        with pytest.raises(RowError, match=r"rows\.csv line [35] has more than 15 character"):
            read_rows(cells)


def test_equal_rows_are_in_memory_once_and_rows_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = tmp_path / "rows.csv"
    cells.write_text("a,b\n" + "1,2\n" * 50 + "1,3\n")
    assert len({id(row.values) for row in read_rows(cells)}) == 2
    monkeypatch.setattr(file_formats, "MAX_ROWS", 50)
    with pytest.raises(RowError, match=r"rows\.csv line 52: there are more than 50 rows; give few"):
        read_rows(cells)


def test_a_file_that_is_read_whole_has_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    with path.open("wb") as file:
        file.truncate(2**42)  # takes no room on the disk
    with pytest.raises(SourceError, match=r"has more than 4,294,967,296 bytes; save it as \.jsonl"):
        read_rows(path)


def test_a_long_row_of_parquet_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "MAX_ROW_BYTES", 600)
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"a": ["x" * 80, "x" * 89], "n": [1, 2]}).write_parquet(path)
    with pytest.raises(SourceError, match=r"rows\.parquet row 1 has 601 bytes of text, more than"):
        read_rows(path)


def test_many_rows_of_nothing_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pl.select(label=pl.lit("a").repeat_by(2_000_000).explode()).write_parquet(path)
    assert path.stat().st_size < 100_000
    with pytest.raises(SourceError, match="would take 1,024,000,000 bytes of memory, 1,000 times"):
        read_rows(path)


TEXTS = st.lists(st.none() | st.text(max_size=9), max_size=3)
ROWS = st.fixed_dictionaries(
    {
        "text": st.none() | st.text(max_size=9),
        "number": st.integers(0, 9),
        "texts": st.none() | TEXTS,
        "object": st.fixed_dictionaries({"a": st.none() | st.text(max_size=9), "b": TEXTS}),
        "many": st.lists(st.fixed_dictionaries({"c": st.text(max_size=9)}), max_size=3),
    }
)


SCHEMA = {
    "text": pl.String,
    "number": pl.Int64,
    "texts": pl.List(pl.String),
    "object": pl.Struct({"a": pl.String, "b": pl.List(pl.String)}),
    "many": pl.List(pl.Struct({"c": pl.String})),
}


@pytest.mark.thorough
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=5))
def test_sizes_are_those_of_all_text(tmp_path_factory, rows) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pl.DataFrame(rows, SCHEMA).write_parquet(path)
    found = row_bytes(pl.scan_parquet(path), path, {})
    assert found.tolist() == [512 + slow_size(row) for row in rows]


def slow_size(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict):
        return sum(map(slow_size, value.values()))
    if isinstance(value, list):
        return 64 * len(value) + sum(map(slow_size, value))
    return 0


def test_the_bytes_of_media_do_not_count_and_their_paths_do(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    image = {"bytes": b"12345", "path": "1.png"}
    pl.DataFrame({"one": [image], "plain": [b"12345"], "many": [[image] * 3]}).write_parquet(path)
    found = row_bytes(pl.scan_parquet(path), path, ("one", "plain", "many"))
    assert found.tolist() == [512 + 5 + 3 * (64 + 5)]
    assert row_bytes(pl.scan_parquet(path), path, ("one", "many")).tolist() == [
        512 + 5 + 5 + 3 * (64 + 5)
    ]


def test_long_rows_become_values_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.parquet"
    frame = pl.DataFrame({"a": ["x" * n for n in (500, 10, 10, 900, 10)], "n": range(5)})
    frame.write_parquet(path)
    monkeypatch.setattr(parquet_rows, "BATCH_BYTES", 1100)
    batches: list[int] = []
    original = pl.DataFrame.rows

    def counting(self, **options):
        batches.append(self.height)
        return original(self, **options)

    monkeypatch.setattr(pl.DataFrame, "rows", counting)
    assert [row.values["n"] for row in read_rows(path)] == [0, 1, 2, 3, 4]
    assert batches == [1, 2, 1, 1]  # rows of 1012, 522, 522, 1412 and 522 bytes


def test_a_medium_that_is_no_medium_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("savs.datasets.rows.packed_media.MAX_PACKED_BYTES", 4)
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"a": [b"1234", b"12345"], "b": [[b"1"], [b"1", b"12345"]]}).write_parquet(path)
    assert read_packed(path, "rows.parquet#0/a") == b"1234"
    for name in ("rows.parquet#1/a", "rows.parquet#1/b/1"):
        with pytest.raises(MediaError, match=f"^{name} cannot be read: it has more than 4 bytes"):
            read_packed(path, name)
