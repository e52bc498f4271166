"""Media stored in the rows of files: named when rows are read, read one at a time."""

import base64
import io
import json
import os
import tarfile
from array import array
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.datasets import MediaError, MediaFolder, find_benchmark, read_examples
from savs.datasets.row import PackedMedium
from savs.datasets.rows import packed_media
from savs.datasets.rows.file_formats import read_rows
from savs.datasets.rows.media_names import is_packed, packed_parts
from savs.datasets.rows.packed_media import CHUNK_ROWS, IndexCache, read_packed
from savs.datasets.rows.parquet_rows import media_columns, parquet_values

NUMBERS = count()
IMAGE = pl.Struct({"bytes": pl.Binary, "path": pl.String})


def image(data: bytes | None, path: str | None = "somewhere.png") -> dict[str, Any]:
    """An image as the hub's files hold one."""
    return {"bytes": data, "path": path}


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
        ("v.parquet#0/many/one", "cannot be read: no column 'many/one' has media"),
        ("v.parquet#0/x/0", "cannot be read: the value is not a list"),
        ("v.parquet#0/many", "holds a Series, expected a single medium"),
        ("gone.parquet#0/x", "cannot be read: "),
        ("cut.parquet#0/x", "cannot be read: "),
        ("v.parquet#1/many/0", "cannot be read: "),
        ("v.parquet#1/x", r"is empty \(0 bytes\)$"),
        ("v.parquet#0/none", r"is empty \(0 bytes\)$"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, name: str, problem: str) -> None:
    columns = {"x": [b"1", b""], "n": [1, 2], "many": [[b"1"], None], "none": [None, b"1"]}
    written(tmp_path, "v.parquet", columns)
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(MediaError, match=f"^{name} {problem}"):
        read_packed(tmp_path / packed_parts(name)[0], name)


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


def write_media(path: Path, contents: Sequence[bytes]) -> str:
    """Write a file with a medium in each row, and return their column."""
    if path.suffix == ".parquet":
        pl.DataFrame({"image": contents}).write_parquet(path, compression="uncompressed")
    elif path.suffix == ".tar":
        with tarfile.open(path, "w") as tar:
            for number, content in enumerate(contents):
                for name, data in (("other", b"?"), ("image", content)):
                    info = tarfile.TarInfo(f"{number}.{name}.png")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        return "{}.image.png"
    else:
        bodies = [{"bytes": base64.b64encode(content).decode()} for content in contents]
        rows = [json.dumps({"image": body}) for body in bodies]
        path.write_text(f"[{','.join(rows)}]" if path.suffix == ".json" else "\n\n".join(rows))
    return "image"


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "json", "tar"])
def test_a_file_that_was_rewritten_within_a_tick_of_the_clock_is_read_again(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"rows.{suffix}"
    for content in (b"one" * 100, b"three" * 999):  # tar files are padded to 10,240 bytes
        content *= 10
        column = write_media(path, [content]).format(0)
        os.utime(path, ns=(1, 1))
        assert read_packed(path, f"rows.{suffix}#0/{column}") == content


@pytest.mark.parametrize(
    ("dtype", "values", "second"),
    [
        (pl.Binary, [b"one", None], None),
        (IMAGE, [image(b"one"), None], None),
        (IMAGE, [image(b"one"), image(None, None)], None),
        (IMAGE, [image(b"one"), image(None)], "somewhere.png"),
        (IMAGE, [image(b"one"), image(None, "")], None),
    ],
    ids=["bytes", "struct", "empty struct", "struct without bytes", "empty path"],
)
def test_a_medium_is_named_by_file_row_and_column(
    tmp_path: Path, dtype: pl.DataType, values: list[Any], second: str | None
) -> None:
    path = written(tmp_path, "val.parquet", {"n": [7, 8], "image_1": values}, image_1=dtype)
    assert list(parquet_values(path, "in/val.parquet")) == [
        {"n": 7, "image_1": PackedMedium("in/val.parquet#0/image_1")},
        {"n": 8, "image_1": second},
    ]
    assert read_packed(path, "in/val.parquet#0/image_1") == b"one"


@pytest.mark.parametrize("struct", [False, True], ids=["bytes", "struct"])
def test_media_in_a_list_are_named_by_their_place(tmp_path: Path, struct: bool) -> None:
    lists = [[b"a", b"b"], [], None, [b"c"]]
    wrapped = [lst and [image(data) if struct else data for data in lst] for lst in lists]
    others = [[image(b"a"), image(None), image(None, ""), None]] * 4
    types = {"images": pl.List(IMAGE if struct else pl.Binary), "more": pl.List(IMAGE)}
    path = written(tmp_path, "v.parquet", {"images": wrapped, "more": others}, **types)
    rows = list(parquet_values(path, "v.parquet"))
    places = [PackedMedium(f"v.parquet#{row}/images/{n}") for row, n in ((0, 0), (0, 1), (3, 0))]
    assert [row["images"] for row in rows] == [places[:2], [], None, places[2:]]
    assert [read_packed(path, m.name) for m in places] == [b"a", b"b", b"c"]
    # an item without bytes is its path, or null
    assert rows[0]["more"] == [PackedMedium("v.parquet#0/more/0"), "somewhere.png", None, None]


def test_columns_without_bytes_hold_no_media() -> None:
    other = {
        "text": pl.String,
        "numbers": pl.List(pl.Int64),
        "path": pl.Struct({"path": pl.String}),
        "text bytes": pl.Struct({"bytes": pl.String}),
        "paths": pl.List(pl.Struct({"path": pl.String})),
    }
    media = {"b": pl.Binary, "s": IMAGE, "bs": pl.List(pl.Binary), "ss": pl.List(IMAGE)}
    assert list(media_columns(other | media)) == list(media)


def test_your_own_parquet_files_may_hold_their_images(tmp_path: Path) -> None:
    columns = {"question": ["?"], "label": ["a"], "images": [[b"1", b"2"]], "map": [b"3"]}
    for task in ("s", "t"):
        written(tmp_path, f"{task}/v.parquet", columns)
    examples = read_examples(find_benchmark("general"), tmp_path, "test")
    assert [e.id for e in examples] == ["s/v:0", "t/v:0"]
    assert examples[1].media == ("t/v.parquet#0/images/0", "t/v.parquet#0/images/1")
    assert dict(examples[1].extra) == {}  # bytes are no field that is kept
    assert [MediaFolder(tmp_path).read(name) for name in examples[1].media] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("suffix", "make", "cache"), [("tar", "_members", "_MEMBERS"), ("jsonl", "_lines", "_LINES")]
)
def test_each_file_is_passed_once_however_rows_alternate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, make: str, cache: str
) -> None:
    passed: list[str] = []
    index = getattr(packed_media, make)

    def counted(path: Path) -> Any:
        passed.append(path.name)
        return index(path)

    monkeypatch.setattr(packed_media, cache, IndexCache(counted, packed_media.MAX_INDEX_BYTES))
    names = [f"{number}.{suffix}" for number in range(12)]
    for name in names:
        column = write_media(tmp_path / name, [f"{name} {row}".encode() for row in range(3)])
    for row in range(3):
        for name in names:
            data = read_packed(tmp_path / name, f"{name}#{row}/{column.format(row)}")
            assert data == f"{name} {row}".encode()
    assert sorted(passed) == sorted(names)


def test_the_index_used_longest_ago_goes_where_memory_ends(tmp_path: Path) -> None:
    passed: list[str] = []

    def make(path: Path) -> tuple["array[int]"]:
        passed.append(path.name)
        return (array("q", [len(passed)] * (9 if path.name == "large" else 2)),)

    cache = IndexCache(make, limit=4 * 8)  # two small ones
    for name in ("a", "b", "a", "c", "a", "b", "large", "large", "b"):
        cache.of(tmp_path / name, 0)
    assert passed == ["a", "b", "c", "b", "large", "b"]
    assert cache.of(tmp_path / "b", 1)[0][0] == 7  # rewritten meanwhile


def test_a_row_or_member_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write_media(tmp_path / "0.tar", [b"x", b"y"])
    for end in ("#0/1.image.png", "#2/0.image.png", f"#{10**30}/0.image.png"):
        with pytest.raises(MediaError, match="cannot be read"):
            read_packed(tmp_path / "0.tar", f"0.tar{end}")
