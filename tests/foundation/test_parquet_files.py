import payloads
import polars as pl
import pytest

from savs.foundation.parquet_files import scan_parquet

ROWS = pl.DataFrame({"id": ["a", "b"], "list": [[1], []], "struct": [{"x": b"1"}, {"x": None}]})


def test_plain_types_are_read(tmp_path) -> None:
    path = tmp_path / "rows.parquet"
    ROWS.write_parquet(path)
    assert scan_parquet(path).collect().equals(ROWS)
    with path.open("rb") as file:
        assert scan_parquet(file).select("id").collect().equals(ROWS.select("id"))


def test_a_column_of_addresses_is_refused_before_it_is_read(tmp_path) -> None:
    path = tmp_path / "rows.parquet"
    content = payloads.extended_table(tmp_path / "canary", "_POLARS_PYTHON_OBJECT", ROWS)
    path.write_bytes(content)
    assert pl.scan_parquet(path).collect_schema()["payload"] == pl.Object
    with pytest.raises(pl.exceptions.SchemaError, match="column 'payload' holds addresses"):
        scan_parquet(path)


def test_an_unknown_extension_type_is_its_bytes(tmp_path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(payloads.extended_table(tmp_path / "canary", "arrow.py_extension_type", ROWS))
    found = scan_parquet(path).collect()
    assert found.select(ROWS.columns).equals(ROWS)
    assert not (tmp_path / "canary").exists()
