"""Lazy tables, and Parquet files of strangers."""

import hostile_files
import polars as pl
import pytest

from savs.foundation import frames
from savs.foundation.frames import (
    OF_COLUMN,
    ExpansionError,
    collect_rows,
    expanded_bytes,
    lazy_frames,
    scan_parquet,
)

SCHEMA = {"a": pl.Int64(), "b": pl.String()}
FRAMES = [
    pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "x"]}, schema=SCHEMA),
    pl.DataFrame(schema=SCHEMA),
    pl.DataFrame({"a": [4, 5], "b": ["y", "x"]}, schema=SCHEMA),
]
QUERIES = {
    "all": lambda t: t,
    "a column": lambda t: t.select("b"),
    "some rows": lambda t: t.filter(pl.col("b") == "x"),
    "rows by a column that is not kept": lambda t: t.filter(pl.col("b") == "x").select("a"),
    "the first rows": lambda t: t.head(4),
    "fewer rows than a frame has": lambda t: t.head(2),
    "the first rows of some": lambda t: t.head(4).filter(pl.col("b") == "x"),
    "no row": lambda t: t.head(0),
    "a count": lambda t: t.select(pl.len()),
    "a cross join": lambda t: t.join(t.select("a"), how="cross").select(pl.len()),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_gives_what_it_gives_in_memory(query):
    table = lazy_frames(lambda: FRAMES, SCHEMA, "test")
    expected = query(pl.concat(FRAMES).lazy()).collect()
    assert query(table).collect().equals(expected)


def test_frames_behind_the_wanted_rows_are_not_made():
    made = []

    def frames():
        for frame in FRAMES:
            made.append(frame.height)
            yield frame

    assert lazy_frames(frames, SCHEMA, "test").head(3).collect().height == 3
    assert made == [3]


ROWS = pl.DataFrame({"id": ["a", "b"], "list": [[1], []], "struct": [{"x": b"1"}, {"x": None}]})


def test_plain_types_are_read(tmp_path) -> None:
    path = tmp_path / "rows [1] *.parquet"
    with path.open("wb") as file:
        ROWS.write_parquet(file)
    ROWS.head(1).write_parquet(tmp_path / "rows 1 2.parquet")  # what the name would match
    assert scan_parquet(path).collect().equals(ROWS)
    with path.open("rb") as file:
        assert scan_parquet(file).select("id").collect().equals(ROWS.select("id"))


def test_rows_that_stay_columns_take_their_text_and_a_little_a_column() -> None:
    frame = pl.LazyFrame({"a": ["xx", None], "n": [1, 2]})
    assert expanded_bytes(frame, 9).tolist() == [512 + 2, 512]
    assert expanded_bytes(frame, 9, value=OF_COLUMN).tolist() == [2 * 16 + 2, 2 * 16]


@pytest.mark.parametrize(
    ("free", "file_bytes", "fits"),
    [(1026, 9, True), (1025, 9, False), (99, 103, True), (99, 102, False)],
)
def test_rows_may_take_some_bytes_or_some_times_the_file(
    monkeypatch, free, file_bytes, fits
) -> None:
    monkeypatch.setattr(frames, "FREE_BYTES", free)
    monkeypatch.setattr(frames, "MOST_TIMES", 10)
    rows = pl.LazyFrame({"a": ["xx", None]})  # 2 * 512 + 2 bytes
    if fits:
        assert collect_rows(rows, file_bytes).equals(rows.collect())
        return
    with pytest.raises(ExpansionError, match=r"it would take 1,02[46] bytes of memory, 10 times"):
        collect_rows(rows, file_bytes)


@pytest.mark.parametrize("extension", ["_POLARS_PYTHON_OBJECT", "arrow.py_extension_type"])
def test_a_column_of_addresses_is_refused_and_of_another_extension_its_bytes(
    tmp_path, extension
) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(hostile_files.extended_table(tmp_path / "canary", extension, ROWS))
    if extension == "_POLARS_PYTHON_OBJECT":
        with pytest.raises(pl.exceptions.SchemaError, match="column 'payload' holds addresses"):
            scan_parquet(path)
    else:
        assert scan_parquet(path).collect().select(ROWS.columns).equals(ROWS)
    assert not (tmp_path / "canary").exists()


NESTED = {
    "list": lambda column: column.implode(),
    "array": lambda column: column.reshape((1, -1)),
    "struct": lambda column: column.to_frame("field").to_struct("payload"),
}


@pytest.mark.parametrize("nest", NESTED.values(), ids=NESTED)
def test_addresses_within_a_value_are_refused(tmp_path, nest) -> None:
    class Extended(pl.BaseExtension):
        def __init__(self) -> None:
            super().__init__("_POLARS_PYTHON_OBJECT", pl.Binary, "")

    column = nest(pl.Series("payload", [b"12345678"] * 2).ext.to(Extended()))
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"payload": column}).write_parquet(path)
    with pytest.raises(pl.exceptions.SchemaError, match="column 'payload' holds addresses"):
        scan_parquet(path)
