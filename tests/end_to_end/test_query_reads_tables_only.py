"""`savs query` reads the tables of the store: no other file, no address, and it changes nothing."""

import numpy as np
import polars as pl
import pytest
from packaging.version import Version
from web import serve

from savs.pipeline.errors import QueryError
from savs.pipeline.evaluation.query import query
from stores import make_store

pytestmark = pytest.mark.costly

READERS = {
    "read_csv": pl.DataFrame.write_csv,
    "read_parquet": pl.DataFrame.write_parquet,
    "read_ipc": pl.DataFrame.write_ipc,
    "read_json": pl.DataFrame.write_ndjson,
    "read_ndjson": pl.DataFrame.write_ndjson,
}
SPELLINGS = [
    "SELECT * FROM {0}({1})",
    "select * from READ_CSV({1})",
    'SELECT * FROM "{0}"({1})',
    'SELECT * FROM "Read_Csv" ({1})',
    "SELECT * FROM `{0}`({1})",
    "SELECT * FROM {0}/* /* nested */ */({1})",
    "SELECT * FROM {0} -- a comment\n ({1})",
    "-- a comment\n/* another */ SELECT * FROM {0}({1})",
    "SELECT * FROM {0}(E{1})",
    "FROM {0}({1})",
    "(SELECT * FROM {0}({1}))",
    "EXPLAIN SELECT * FROM {0}({1})",
    "SELECT id, 'FROM examples' FROM {0}({1})",
    "WITH t AS (SELECT * FROM {0}({1})) SELECT * FROM t",
    "WITH examples AS (SELECT * FROM {0}({1})) SELECT * FROM examples",
    "WITH {0} AS (SELECT 1 AS one) SELECT * FROM {0}({1})",
    "WITH RECURSIVE t AS (SELECT * FROM {0}({1})) SELECT * FROM t",
    "SELECT e.id FROM examples e, {0}({1})",
    "SELECT e.id FROM (examples e JOIN {0}({1}) r ON e.id = r.id)",
    "SELECT e.id FROM examples e JOIN examples f ON e.id IN (SELECT id FROM {0}({1}))",
    "SELECT id FROM examples UNION ALL SELECT id FROM {0}({1})",
    "SELECT id FROM examples EXCEPT SELECT id FROM {0}({1})",
    "SELECT id FROM examples WHERE id IN (SELECT id FROM (SELECT * FROM {0}({1})) t)",
    "SELECT id FROM examples WHERE EXISTS (SELECT 1 FROM {0}({1}))",
    "SELECT (SELECT max(id) FROM {0}({1})) FROM examples",
    "SELECT CASE WHEN id IN (SELECT id FROM {0}({1})) THEN 1 END FROM examples",
    "SELECT label, count(*) FROM examples GROUP BY label HAVING 'a' IN (SELECT id FROM {0}({1}))",
    "SELECT id FROM examples ORDER BY (SELECT id FROM {0}({1}))",
]
CHANGES = [
    "COPY examples TO '{}'",
    "COPY (SELECT id FROM examples) TO '{}'",
    "INSERT INTO examples SELECT * FROM examples",
    "CREATE TABLE t AS SELECT * FROM examples",
    "  CREATE VIEW t AS SELECT * FROM examples",
    "/* a comment */ DROP TABLE examples",
    "\n-- SELECT\nDROP TABLE examples",
    "drop table examples",
    "DELETE FROM examples",
    "TRUNCATE TABLE examples",
    "UPDATE examples SET label = 'a'",
    "ALTER TABLE examples RENAME TO t",
    "SET x = 1",
    "ATTACH '{}' AS t",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    values = np.random.default_rng(5).normal(size=(2, 4, 3)).astype(np.float32)
    return make_store(
        tmp_path_factory.mktemp("query") / "store", values, list("abab"), values, list("aabb")
    )


@pytest.mark.parametrize("name", READERS)
def test_a_function_that_reads_a_file_is_refused(savs, store, tmp_path, name) -> None:
    if name == "read_ndjson" and Version(pl.__version__) < Version("2.1"):
        pytest.skip("this polars has no read_ndjson")
    path = tmp_path / f"secret.{name}"
    READERS[name](pl.DataFrame({"id": ["swordfish"]}), path)
    assert pl.sql(f"SELECT * FROM {name}('{path}')", eager=True).item() == "swordfish"  # it can
    done = savs("query", store.path, f"SELECT * FROM {name}('{path}')")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{name}(...) is refused: a query reads the tables examples" in done.stderr
    assert "swordfish" not in done.stderr


@pytest.mark.parametrize("sql", SPELLINGS)
def test_no_spelling_reads_a_file_or_an_address(store, tmp_path, sql) -> None:
    path = tmp_path / "secret.csv"
    path.write_text("id\nswordfish\n")
    with serve(tmp_path) as (address, sent):
        for place in (path, f"{address}/secret.csv"):
            with pytest.raises(QueryError, match=r"(\(\.\.\.\)|RECURSIVE) is refused") as refused:
                query(store, sql.format("read_csv", f"'{place}'"))
            assert "swordfish" not in str(refused.value)
    assert sent == []


@pytest.mark.parametrize("sql", CHANGES)
def test_a_statement_that_changes_something_is_refused(savs, store, tmp_path, sql) -> None:
    before = {path.name: path.read_bytes() for path in store.path.iterdir()}
    done = savs("query", store.path, sql.format(tmp_path / "out.csv"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "a query can only read data; start it with SELECT" in done.stderr
    assert {path.name: path.read_bytes() for path in store.path.iterdir()} == before
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "WITH t AS (SELECT id FROM examples) SELECT id FROM t",
        'WITH "my t" AS (SELECT id FROM examples) SELECT id FROM "my t"',
        "WITH read_csv AS (SELECT 'read_csv(1)' AS id FROM examples) SELECT id FROM examples",
        "SELECT id FROM examples WHERE prompt <> 'FROM read_csv(''x'')'",
        "SELECT id FROM examples -- FROM read_csv('x')",
        "/* SELECT */ (SELECT id FROM examples)",
        "SELECT e.id FROM examples AS e WHERE e.id IN (SELECT id FROM examples)",
    ],
)
def test_what_only_looks_like_a_function_is_answered(store, sql) -> None:
    assert query(store, sql)["id"].to_list() == store.examples()["id"].to_list()
