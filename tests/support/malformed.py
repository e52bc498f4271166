"""Rows that are not perfect: the sample row of a benchmark with fields dropped or replaced."""

import csv
import io
import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import strategies as st

from savs.datasets import (
    Benchmark,
    BenchmarkFaultError,
    DatasetError,
    Example,
    RowError,
    read_examples,
)

ABSENT = object()
"""Stands for a field that is not there."""
FORMS = ("jsonl", "json", "csv", "parquet")
GROUPING = {"id": "e1", "group": "g", "subtask": "s", "category": "c"}
"""What the sample row of `general` leaves out."""

texts = st.one_of(
    st.sampled_from(["", " ", " Yes ", "yes", "(A)", "A", "B", "猫\u200d", "<image>", "hidden"]),
    st.sampled_from(["../x", "/a/b.jpg", "data:image/png;base64,AA==", "a\0b", "e\u0301"]),
    st.just("\ud800"),
    st.text(max_size=12),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), texts
)  # fmt: skip
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
parquet_values = st.one_of(
    st.sampled_from([date(2024, 2, 29), datetime(2024, 1, 1, 12), time(1, 2), timedelta(days=1)]),
    st.sampled_from([Decimal("1.50"), b"", b"\x89PNG", [b"a", None]]),
    st.sampled_from([{"bytes": b"a", "path": None}, {"bytes": "AA==", "path": "a.png"}]),
    st.sampled_from([[1, 2], [], [[1]], {"a": 1}, {"a": {"b": b"c"}}, float("nan"), ["a", None]]),
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(codec="utf-8"), max_size=12),
)


def sample_of(benchmark: Benchmark) -> dict[str, Any]:
    """Return a row that the benchmark reads."""
    assert benchmark.about is not None, f"{benchmark.name} shows no sample row"
    sample = dict(benchmark.about.sample)
    if benchmark.name != "general":
        return sample
    columns = benchmark.options.get("columns", {})
    return {columns.get(field, field): value for field, value in (sample | GROUPING).items()}


def with_fields(row: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with other values in some fields; `ABSENT` drops one."""
    return {name: v for name, v in {**row, **fields}.items() if v is not ABSENT}


def write_row(folder: Path, form: str, row: Mapping[str, Any]) -> Path | None:
    """Write a file of one row; None where this kind of file cannot hold it."""
    path = folder / f"bad.{form}"
    try:
        data = _encoded(form, row)
    except (UnicodeEncodeError, TypeError, OverflowError, pl.exceptions.PolarsError, csv.Error):
        return None
    path.write_bytes(data)
    return path


def is_placed(error: DatasetError, form: str) -> bool:
    """Return whether a row's error names the place of the row that `write_row` writes."""
    place = {"jsonl": " line 3", "csv": " line "}.get(form, " row 0")
    return place in str(error) or not isinstance(error, RowError)


def examples_or_error(benchmark: Benchmark, path: Path) -> list[Example] | DatasetError:
    """Return what a file reads as, or the error that names it; anything else fails the test."""
    try:
        return read_examples(benchmark, path, "test")
    except DatasetError as error:
        found = error
    assert not isinstance(found, BenchmarkFaultError), found
    assert path.name in str(found)
    return found


def _encoded(form: str, row: Mapping[str, Any]) -> bytes:
    if form == "jsonl":
        return f"\n \n{json.dumps(row)}\n".encode()
    if form == "json":
        return json.dumps([row], indent=1).encode()
    if form == "csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, row)
        writer.writeheader()
        writer.writerow({k: v if isinstance(v, str) else _cell(v) for k, v in row.items()})
        return text.getvalue().encode()
    data = io.BytesIO()
    pl.DataFrame([pl.Series(name, [value]) for name, value in row.items()]).write_parquet(data)
    return data.getvalue()


def _cell(value: Any) -> str:
    return "" if value is None else json.dumps(value)
