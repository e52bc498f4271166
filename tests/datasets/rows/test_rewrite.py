"""Rows written again as their files have them."""

import json
from pathlib import Path

import polars as pl
import pytest

from savs.datasets.errors import SourceError
from savs.datasets.rows.files import Files, find_files
from savs.datasets.rows.readers import read_rows
from savs.datasets.rows.rewrite import copy_rows, count_rows

TEXTS = {
    "plain.jsonl": (b'{"a": 1}\n{"a":2.50}\n{"a": "\\u00e9"}\n', b'{"a": 1}\n{"a": "\\u00e9"}\n'),
    "blank.jsonl": (b'\n{"a": 1}\n  \n{"a": 2}\n\n{"a": 3}', b'{"a": 1}\n{"a": 3}\n'),
    "windows.ndjson": (b'{"a":1}\r\n{"a":2}\r\n{"a":3}\r\n', b'{"a":1}\r\n{"a":3}\r\n'),
    "bom.jsonl": (b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n{"a": 3}\n', b'{"a": 1}\n{"a": 3}\n'),
    "list.json": (
        b' [ {"a": 1e3, "b": [1, {"c": "]"}]},\n{"a": 2} , {"a":\n3}\n]\n',
        b'[\n{"a": 1e3, "b": [1, {"c": "]"}]},\n{"a":\n3}\n]\n',
    ),
    "quoted.csv": (
        b'a,b\n"x, ""y""\nsecond line",1\n\n2,\n"3",4',
        b'a,b\n"x, ""y""\nsecond line",1\n"3",4\n',
    ),
    "windows.csv": (b"a,b\r\n1,2\r\n3,4\r\n5,6", b"a,b\r\n1,2\r\n5,6\r\n"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_the_same_character_for_character(tmp_path: Path, name: str) -> None:
    before, after = TEXTS[name]
    (tmp_path / name).write_bytes(before)
    files = find_files(tmp_path / name)
    target = tmp_path / f"out{Path(name).suffix}"
    assert count_rows(files) == 3
    copy_rows(files, [0, 2], target)
    assert target.read_bytes() == after
    rows = read_rows(tmp_path / name)
    assert [r.values for r in read_rows(target)] == [rows[0].values, rows[2].values]


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
    files = find_files(tmp_path / "*.parquet")
    assert count_rows(files) == 6
    copy_rows(files, [1, 2, 3], target)
    assert pl.read_parquet(target).equals(pl.concat(frames)[1:4])
    assert pl.read_parquet(target).schema == frames[0].schema


def test_csv_files_of_other_columns_and_several_forms_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "b.csv").write_text("b,a\n1,2\n")
    (tmp_path / "c.jsonl").write_text(json.dumps({"a": 1}))
    with pytest.raises(SourceError, match="have different columns; split one at a time"):
        copy_rows(find_files(tmp_path / "*.csv"), [0], tmp_path / "out.csv")
    mixed = Files(tmp_path, (tmp_path / "a.csv", tmp_path / "c.jsonl"))
    with pytest.raises(SourceError, match=r"are CSV and JSON Lines; give files of one form"):
        count_rows(mixed)
    with pytest.raises(SourceError, match=r"ends in .jsonl, .*, got '.txt'"):
        count_rows(Files(tmp_path, (tmp_path / "a.txt",)))
