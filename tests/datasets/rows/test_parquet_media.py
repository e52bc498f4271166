from pathlib import Path
from typing import Any

import polars as pl
import pytest

from savs.datasets import MediaError, MediaFolder, SourceError, find_benchmark, read_examples
from savs.datasets.row import PackedMedium
from savs.datasets.rows.packed_media import read_packed
from savs.datasets.rows.parquet_rows import media_columns, parquet_values

IMAGE = pl.Struct({"bytes": pl.Binary, "path": pl.String})


def image(data: bytes | None) -> dict[str, Any]:
    """An image as the hub's files hold one."""
    return {"bytes": data, "path": "somewhere.png"}


def written(folder: Path, name: str, columns: dict[str, list[Any]], **types: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns, schema_overrides=types).write_parquet(path, row_group_size=50)
    return path


@pytest.mark.parametrize(
    ("dtype", "values", "second"),
    [
        (pl.Binary, [b"one", None], None),
        (IMAGE, [image(b"one"), None], None),
        (IMAGE, [image(b"one"), {"bytes": None, "path": None}], None),
        (IMAGE, [image(b"one"), image(None)], "somewhere.png"),
        (IMAGE, [image(b"one"), {"bytes": None, "path": ""}], None),
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
    dtype = pl.List(IMAGE if struct else pl.Binary)
    path = written(tmp_path, "v.parquet", {"images": wrapped}, images=dtype)
    found = [values["images"] for values in parquet_values(path, "v.parquet")]
    places = [PackedMedium(f"v.parquet#0/images/{n}") for n in range(2)]
    assert found == [places, [], None, [PackedMedium("v.parquet#3/images/0")]]
    assert [read_packed(path, m.name) for m in (*places, *found[3])] == [b"a", b"b", b"c"]


def test_an_item_of_a_list_without_bytes_is_its_path_or_null(tmp_path: Path) -> None:
    items = [image(b"a"), image(None), {"bytes": None, "path": ""}, None]
    path = written(tmp_path, "v.parquet", {"images": [items]}, images=pl.List(IMAGE))
    (values,) = parquet_values(path, "v.parquet")
    assert values == {"images": [PackedMedium("v.parquet#0/images/0"), "somewhere.png", None, None]}


def test_a_file_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"^v\.parquet#0/x cannot be read: "):
        read_packed(tmp_path / "v.parquet", "v.parquet#0/x")
    (tmp_path / "v.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(MediaError, match=r"^v\.parquet#0/x cannot be read: "):
        read_packed(tmp_path / "v.parquet", "v.parquet#0/x")
    with pytest.raises(SourceError, match=r"v\.parquet is not a Parquet file"):
        list(parquet_values(tmp_path / "v.parquet", "v.parquet"))


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
