"""A query on a store's lazy tables gives what it gives on the same tables in memory."""

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from polars.testing import assert_frame_equal

from savs.pipeline import evaluate, save_evaluation, select
from savs.pipeline.evaluation.query import query
from savs.pipeline.running.result_files import results_folder
from savs.pipeline.selection.heads.heads_table import heads_frame
from stores import make_store

pytestmark = pytest.mark.thorough

TABLES = st.sampled_from(["examples", "votes"])
CONDITIONS = st.sampled_from(["", "WHERE label = 'a'", "WHERE id <> 'test:1'", "WHERE 1 = 2"])
KEYS = st.sampled_from(["id", "label", "split"])
COUNTED = st.sampled_from(["count(*)", "count(1)", "count(a.id)", "min(a.id)"])


def filtered(table: str, condition: str, limit: int | None) -> str:
    return f"(SELECT * FROM {table} {condition}{'' if limit is None else f' LIMIT {limit}'})"


SOURCES = st.builds(filtered, TABLES, CONDITIONS, st.none() | st.integers(0, 20)) | TABLES
WITHOUT_COLUMNS = st.builds("SELECT {} AS n FROM {} a, {} b".format, COUNTED, SOURCES, SOURCES)
CROSS = st.builds("SELECT a.id FROM {} a CROSS JOIN {} b".format, SOURCES, SOURCES)
PARTED = st.builds(
    "SELECT {1} AS n FROM {2} a {0} JOIN {3} b ON a.{4} = b.{4}".format,
    st.sampled_from(["SEMI", "ANTI", "INNER", "LEFT"]),
    *(COUNTED, SOURCES, SOURCES, KEYS),
)
INSIDE = st.builds(
    "SELECT {} AS n FROM {} a WHERE {} {} (SELECT {} FROM {} b)".format,
    COUNTED,
    SOURCES,
    *(KEYS.map("a.{}".format), st.sampled_from(["IN", "NOT IN"]), KEYS, SOURCES),
)
THERE = st.builds(
    "SELECT {} AS n FROM {} a WHERE {} (SELECT 1 FROM {} b)".format,
    *(COUNTED, SOURCES, st.sampled_from(["EXISTS", "NOT EXISTS"]), SOURCES),
)
CONSTANTS = st.builds("SELECT 1 AS one FROM {} a".format, SOURCES)
GROUPED = st.builds(
    "SELECT a.{0}, count(*) AS n FROM {1} a, {2} b GROUP BY a.{0} HAVING count(*) > 1".format,
    *(KEYS, SOURCES, SOURCES),
)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Return a store with results, and its tables in memory."""
    rng = np.random.default_rng(5)
    train, test = (rng.normal(size=(3, n, 4)).astype(np.float32) for n in (8, 7))
    folder = tmp_path_factory.mktemp("random") / "s"
    store = make_store(folder, train, list("abababab"), test, list("aabbaba"))
    selection = select(store, heads=2)
    save_evaluation(evaluate(store, selection), results_folder(store.path, "vote"))
    votes = heads_frame(store, selection.heads).collect()
    return store, {"examples": store.scan().collect(), "votes": votes}


@settings(max_examples=settings.default.max_examples // 2)
@given(
    sql=st.one_of(WITHOUT_COLUMNS, CROSS, PARTED, INSIDE, THERE, CONSTANTS, GROUPED),
)
@example(sql="SELECT count(*) AS n FROM examples a, examples b")
@example(sql="SELECT count(*) AS n FROM votes a, votes b")
@example(sql="SELECT a.id FROM examples a CROSS JOIN votes b")
def test_any_query_gives_what_it_gives_in_memory(tables, sql) -> None:
    store, whole = tables
    expected = pl.SQLContext(whole, eager=True).execute(sql)
    assert_frame_equal(query(store, sql), expected, check_row_order=False)
