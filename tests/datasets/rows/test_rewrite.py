"""Rows written again: equal values when the file is read back."""

import base64
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.datasets import MediaFolder
from savs.datasets.errors import SourceError
from savs.datasets.rows.file_formats import read_rows, read_values
from savs.datasets.rows.files import Files, find_files
from savs.datasets.rows.rewrite import common_form, copy_rows, form_of

TEXTS = {
    "plain.jsonl": b'{"a": 1}\n{"a":2.50}\n{"a": "\\u00e9"}\n',
    "blank.jsonl": b'\n{"a": 1}\n  \n{"a": 2}\n\n{"a": 3}',
    "windows.ndjson": b'{"a":1}\r\n{"a":2}\r\n{"a":3}\r\n',
    "bom.jsonl": b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n{"a": 3}\n',
    "big.jsonl": b'{"id": 123456789012345678901234567890}\n{"id": 1}\n{"id": -9007199254740993}\n',
    "list.json": b' [ {"a": 1e3, "b": [1, {"c": "]"}]},\n{"a": 2} , {"a":\n3}\n]\n',
    "other fields.json": b'[{"b": null, "a": true}, {}, {"c": "\\u2028", "a": ""}]',
    "quoted.csv": b'a,b\n"x, ""y""\nsecond line",1\n\n2,\n"3",4',
    "windows.csv": b"a,b\r\n1,2\r\n3,4\r\n5,6",
    "one column.csv": b'a\n""\n" x"\n\xe7\x8c\xab\n',
    "texts.csv": b"id,n\n007,1e3\n,\n123456789012345678901234567890,true\n",
}


def values_of(path: Path) -> list[dict[str, Any]]:
    return [dict(row.values) for row in read_rows(path)]


@pytest.mark.parametrize("name", TEXTS)
def test_the_values_that_are_read_back_are_equal(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(TEXTS[name])
    target = tmp_path / f"out{Path(name).suffix}"
    copy_rows(find_files(tmp_path / name), [0, 2], target)
    first, _, third = values_of(tmp_path / name)
    assert values_of(target) == [first, third]
    assert [list(values) for values in values_of(target)] == [list(first), list(third)]


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff"), max_size=6)
NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, CELLS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(CELLS, inner, max_size=3)),
    max_leaves=4,
)


@settings(deadline=None)
@given(rows=st.lists(st.dictionaries(CELLS, JSON, max_size=3), min_size=1, max_size=4))
@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_any_json_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("json") / f"a.{suffix}"
    lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) if suffix == "jsonl" else f"[{','.join(lines)}]")
    copy_rows(find_files(path), range(len(rows)), path.with_name(f"b.{suffix}"))
    assert read_values(path.with_name(f"b.{suffix}")) == rows


@settings(deadline=None)
@given(cells=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4))
def test_any_cells_of_csv_are_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    quoted = ['"' + '","'.join(cell.replace('"', '""') for cell in row) + '"' for row in cells]
    path.write_bytes("\n".join(['"x",""', *quoted]).encode())
    copy_rows(find_files(path), range(len(cells)), path.with_name("b.csv"))
    assert values_of(path.with_name("b.csv")) == [
        {"x": one or None, "": other or None} for one, other in cells
    ]


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_media_inside_rows_come_along(tmp_path: Path, suffix: str) -> None:
    uris = [f"data:image/png;base64,{base64.b64encode(b'%d' % n).decode()}" for n in range(3)]
    text = {
        "jsonl": "\n".join(json.dumps({"image": uri}) for uri in uris),
        "json": json.dumps([{"image": uri} for uri in uris]),
        "csv": "\n".join(["image", *(f'"{uri}"' for uri in uris)]),
    }[suffix]
    (tmp_path / f"a.{suffix}").write_text(text)
    copy_rows(find_files(tmp_path / f"a.{suffix}"), [1, 2], tmp_path / f"b.{suffix}")
    names = [row.medium("image") for row in read_rows(tmp_path / f"b.{suffix}")]
    assert [MediaFolder(tmp_path).read(str(name)) for name in names] == [b"1", b"2"]


def test_parquet_keeps_types_images_and_order_over_several_files(tmp_path: Path) -> None:
    image = pl.Struct({"bytes": pl.Binary, "path": pl.String})
    frames = [
        pl.DataFrame(
            {
                "row": [f"{name}{n}" for n in range(3)],
                "n": pl.Series([1, None, 3], dtype=pl.Int16),
                "image": pl.Series([{"bytes": bytes([n, 255]), "path": None} for n in range(3)],
                                   dtype=image),
                "list": [[b"x"], [], None],
            }
        )
        for name in "ab"
    ]  # fmt: skip
    for name, frame in zip("ab", frames, strict=True):
        frame.write_parquet(tmp_path / f"{name}.parquet")
    target = tmp_path / "out" / "x.parquet"
    target.parent.mkdir()
    copy_rows(find_files(tmp_path / "*.parquet"), [1, 2, 3], target)
    assert pl.read_parquet(target).equals(pl.concat(frames)[1:4])
    assert pl.read_parquet(target).schema == frames[0].schema


def test_several_files_are_one_unless_their_columns_or_forms_differ(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "b.csv").write_text("a,b\n5,6\n7,8\n")
    copy_rows(find_files(tmp_path / "*.csv"), [3, 1], tmp_path / "out" / "x.csv")  # over all files
    assert values_of(tmp_path / "out" / "x.csv") == [{"a": "3", "b": "4"}, {"a": "7", "b": "8"}]
    (tmp_path / "b.csv").write_text("b,a\n1,2\n")
    (tmp_path / "c.jsonl").write_text(json.dumps({"a": 1}))
    for name in "ab":
        pl.DataFrame({name: [1]}).write_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(SourceError, match="have different columns; split one file at a time"):
        copy_rows(find_files(tmp_path / "*.csv"), [0], tmp_path / "out.csv")
    with pytest.raises(SourceError, match=r"a\.parquet cannot be copied .* column name"):
        copy_rows(find_files(tmp_path / "*.parquet"), [0], tmp_path / "out.parquet")
    mixed = Files(tmp_path, (tmp_path / "a.csv", tmp_path / "c.jsonl"))
    with pytest.raises(SourceError, match=r"are CSV and JSON Lines; pass files of one format"):
        common_form(mixed)
    for value in ("1e999", '"\\ud800"'):  # too large, and a lone surrogate
        (tmp_path / "odd.jsonl").write_text(f'{{"choices": {value}}}\n')
        with pytest.raises(SourceError, match=r"odd\.jsonl: a value cannot be written \(.*\); "):
            copy_rows(find_files(tmp_path / "odd.jsonl"), [0], tmp_path / "b.jsonl")
    with pytest.raises(SourceError, match=r"ends in .jsonl, .*, got '.txt'"):
        form_of(tmp_path / "a.txt")
