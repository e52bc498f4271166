"""Files with bytes cut, changed or put in: an error that names the file, or examples."""

import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed import FORMS, examples_or_error, sample_of, write_row

from savs.datasets import BENCHMARKS, SourceError
from savs.datasets.rows.file_formats import read_rows

pytestmark = pytest.mark.thorough

NAMES = ("general", "blink", "naturalbench")
PUT_IN = (
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\r", b"\n\n", b"\xc3"),
    *(b'"', b"{", b"[" * 2000, b",", b"NaN", b"1e999"),
)
many = settings(
    max_examples=settings.default.max_examples * 3, suppress_health_check=list(HealthCheck)
)
"""For each form: 300 in a whole run, 3,000 by `just fuzz`."""
each_form = pytest.mark.parametrize("form", FORMS)


@st.composite
def mangled(draw: st.DrawFn, data: bytes) -> bytes:
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(data)))
        end = draw(st.integers(place, min(len(data), place + 40)))
        new = draw(st.one_of(st.just(b""), st.sampled_from(PUT_IN), st.binary(max_size=4)))
        data = data[:place] + new + data[end:]
    return data


@each_form
@many
@given(name=st.sampled_from(NAMES), data=st.data())
def test_a_mangled_file_is_refused_or_read(form, name, data) -> None:
    benchmark = BENCHMARKS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = write_row(Path(folder), form, sample_of(benchmark))
        assert path is not None
        path.write_bytes(data.draw(mangled(path.read_bytes())))
        assert examples_or_error(benchmark, path)


@pytest.mark.parametrize("dtype", [pl.Datetime("ms"), pl.Duration("ms")])
def test_a_value_that_python_has_not_is_told_with_its_rows(tmp_path, dtype) -> None:
    path = tmp_path / "far.parquet"
    pl.DataFrame({"a": pl.Series([2**62]).cast(dtype)}).write_parquet(path)
    with pytest.raises(SourceError, match=r"far\.parquet rows 0 to 0: a value cannot be read"):
        read_rows(path)


@pytest.mark.parametrize("column", ["self", "exprs"])
def test_a_medium_s_column_may_have_any_name(tmp_path, column) -> None:
    pl.DataFrame({column: [b"x"]}).write_parquet(tmp_path / "a.parquet")
    (row,) = read_rows(tmp_path / "a.parquet")
    assert row.medium(column) == f"a.parquet#0/{column}"
