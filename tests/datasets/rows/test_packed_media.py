"""Media stored in the rows of files, read one at a time."""

import base64
import io
import json
import os
import tarfile
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.datasets import MediaError, MediaFolder
from savs.datasets.rows.file_formats import read_rows
from savs.datasets.rows.media_names import is_packed, packed_parts
from savs.datasets.rows.packed_media import CHUNK_ROWS, read_packed
from savs.datasets.rows.parquet_rows import parquet_values

NUMBERS = count()


def written(folder: Path, name: str, columns: dict[str, list[Any]], **types: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns, schema_overrides=types).write_parquet(path, row_group_size=50)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packed")


@settings(deadline=None, max_examples=20)
@given(st.lists(st.one_of(st.none(), st.binary(min_size=1, max_size=4)), min_size=1, max_size=150))
def test_what_was_written_is_read_whatever_the_chunk(
    folder: Path, values: list[bytes | None]
) -> None:
    name = f"{next(NUMBERS)}.parquet"
    path = written(folder, name, {"x": values}, x=pl.Binary)
    found = [row["x"] for row in parquet_values(path, name)]
    assert [medium and read_packed(path, medium.name) for medium in found] == values


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(0, 2 * CHUNK_ROWS + 2), max_size=30))
def test_rows_may_be_read_in_any_order(folder: Path, rows: list[int]) -> None:
    path = folder / "many.parquet"
    if not path.exists():
        both = {c: [f"{c}{n}".encode() for n in range(2 * CHUNK_ROWS + 3)] for c in "xy"}
        written(folder, path.name, both)
    for row in rows:
        for column in "xy":
            name = f"many.parquet#{row}/{column}"
            assert read_packed(path, name) == f"{column}{row}".encode()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("v.parquet#2/x", "cannot be read: "),
        (f"v.parquet#{CHUNK_ROWS}/x", "cannot be read: "),
        ("v.parquet#0/y", "cannot be read: "),
        ("v.parquet#0/n", "cannot be read: "),
        ("v.parquet#0/many/1", "cannot be read: "),
        ("v.parquet#1/many/0", "cannot be read: "),
        ("v.parquet#1/x", r"is empty \(0 bytes\)$"),
        ("v.parquet#0/none", r"is empty \(0 bytes\)$"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, name: str, problem: str) -> None:
    columns = {"x": [b"1", b""], "n": [1, 2], "many": [[b"1"], None], "none": [None, b"1"]}
    path = written(tmp_path, "v.parquet", columns)
    with pytest.raises(MediaError, match=f"^{name} {problem}"):
        read_packed(path, name)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("v.parquet#0/x", "v.parquet"),
        ("in/it/v.parquet#12/image 1", "in/it/v.parquet"),
        ("v.parquet#0/images/3", "v.parquet"),
        ("a#1.parquet#0/x", "a#1.parquet"),
        ("v.parquet", None),
        ("v.parquet#/x", None),
        ("v.parquet#0", None),
        ("v.parquet#0/", None),
        ("v.parquet#0/x/y", "v.parquet"),
        ("V.PARQUET#0/x", "V.PARQUET"),
        ("v.png#0/x", None),
        ("v.parquet#-1/x", None),
        ("photos/1.jpg", None),
    ],
)
def test_packed_names_are_told_from_file_names(name: str, file: str | None) -> None:
    assert is_packed(name) is (file is not None)
    if file is not None:
        assert packed_parts(name)[0] == file
    else:
        with pytest.raises(ValueError, match=r"is not the name of a medium in a file's row$"):
            packed_parts(name)


def test_a_column_may_have_a_slash_and_a_file_capitals(tmp_path: Path) -> None:
    written(tmp_path, "A.PARQUET", {"a/0": [b"one"], "a": [[b"two"]]})
    (row,) = read_rows(tmp_path / "A.PARQUET")
    assert row.medium("a/0") == "A.PARQUET#0/a/0"
    assert MediaFolder(tmp_path).read("A.PARQUET#0/a/0") == b"one"


def test_a_place_that_does_not_fit_the_column_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "b.parquet", {"one": [b"x"], "many": [[b"y"]]})
    with pytest.raises(MediaError, match=r"^b\.parquet#0/one/0 cannot be read: the value is not a"):
        read_packed(path, "b.parquet#0/one/0")
    with pytest.raises(MediaError, match=r"^b\.parquet#0/many holds a Series, expected a single"):
        read_packed(path, "b.parquet#0/many")
    assert read_packed(path, "b.parquet#0/many/0") == b"y"


def write_media(path: Path, content: bytes) -> str:
    """Write a file of one medium, and return its column."""
    if path.suffix == ".parquet":
        pl.DataFrame({"image": [content]}).write_parquet(path, compression="uncompressed")
    elif path.suffix == ".tar":
        with tarfile.open(path, "w") as tar:
            info = tarfile.TarInfo("a.png")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        return "a.png"
    else:
        row = json.dumps({"image": {"bytes": base64.b64encode(content).decode()}})
        path.write_text(f"[{row}]" if path.suffix == ".json" else f"\n{row}\n")
    return "image"


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "json", "tar"])
def test_a_file_that_was_rewritten_within_a_tick_of_the_clock_is_read_again(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"rows.{suffix}"
    for content in (b"one" * 100, b"three" * 999):  # tar files are padded to 10,240 bytes
        content *= 10
        column = write_media(path, content)
        os.utime(path, ns=(1, 1))
        assert read_packed(path, f"rows.{suffix}#0/{column}") == content
