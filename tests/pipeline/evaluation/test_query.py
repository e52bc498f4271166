"""`query`: SQL over the examples, predictions and head votes of a store."""

import hashlib
import json

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from polars.testing import assert_frame_equal

import savs.stores.shard.read
from savs import evaluate, save_evaluation, select
from savs.pipeline.errors import QueryError, SelectionError
from savs.pipeline.evaluation.query import collect_query, query
from savs.pipeline.running import bounded_process
from savs.pipeline.selection.heads_table import heads_frame
from savs.stores import ResultError, StoreCorruptError, StoreIncompleteError, open_store
from stores import make_store


def store_of(folder):
    rng = np.random.default_rng(5)
    train, test = (rng.normal(size=(6, n, 5)).astype(np.float32) for n in (8, 7))
    rows = [{"group": g, "prompt": f"what {i}?"} for i, g in enumerate("ggghhhi")]
    return make_store(folder, train, list("abababab"), test, list("aabbaba"), test_rows=rows)


def save_results(store, heads, name):
    """Save the results of a selection and return it."""
    selection = select(store, heads=heads)
    save_evaluation(evaluate(store, selection), store.results.place(name))
    return selection


@pytest.fixture(autouse=True)
def in_this_process(request) -> None:
    """Tests of limits, which are costly, have a process for each query."""
    if "costly" not in request.keywords:
        request.getfixturevalue("queries_here")


@pytest.fixture
def store(tmp_path):
    return store_of(tmp_path / "s")


@pytest.fixture
def evaluated(store):
    """Return the store with the results of two selections, `vote` and `five`."""
    for heads, name in ((2, "vote"), (5, "five")):
        save_results(store, heads, name)
    return store


def test_heads_are_columns_in_double_quotes(store) -> None:
    found = query(
        store, """SELECT id, "L0.H3", "group" FROM examples WHERE "group" = 'h' LIMIT 2"""
    )
    assert found.schema["L0.H3"] == pl.Array(pl.Float32, 5)
    assert found["id"].to_list() == ["test:3", "test:4"]
    np.testing.assert_array_equal(
        found["L0.H3"].to_numpy(), store.features("test", [(0, 3)])[0, 3:5]
    )


def test_only_the_heads_that_a_query_names_are_read(store, monkeypatch) -> None:
    read, heads = set(), savs.stores.shard.read.Shard.heads

    def counting(shard, wanted, out=None):
        read.update((grid.layer, head) for grid, head in wanted)
        return heads(shard, wanted, out)

    monkeypatch.setattr(savs.stores.shard.read.Shard, "heads", counting)
    query(store, "SELECT label, count(*) FROM examples GROUP BY label")
    assert read == set()
    query(store, """SELECT id, "L0.H5" FROM examples""")
    assert read == {(0, 5)}


def test_a_function_that_reads_a_file_is_refused_before_it_runs(store) -> None:
    with pytest.raises(
        QueryError, match=r"read_csv\(\.\.\.\) is refused: a query reads the tables"
    ):
        query(store, "SELECT * FROM read_csv('gone.csv')")


@pytest.mark.thorough
def test_predictions_are_those_that_evaluate_left(evaluated) -> None:
    expected = pl.read_parquet(evaluated.path / "results/vote/predictions.parquet")
    assert_frame_equal(query(evaluated, "SELECT * FROM predictions"), expected)
    joined = query(
        evaluated,
        "SELECT e.id, e.prompt, p.prediction FROM examples AS e JOIN predictions AS p"
        " ON e.id = p.id WHERE e.label = 'a' AND NOT p.correct ORDER BY e.id",
    )
    wrong = expected.filter(~pl.col("correct"), label="a").sort("id")
    assert_frame_equal(joined, wrong.select("id", "prompt", "prediction"))
    with pytest.raises(QueryError, match="tables: examples, predictions, votes;"):
        query(evaluated, "SELECT * FROM x")
    with pytest.raises(QueryError, match="tables: examples;"):
        query(evaluated, "SELECT * FROM predictions", "nothing")


@pytest.mark.costly
def test_long_lists_of_equal_predictions_are_refused_before_they_fill_the_memory(evaluated) -> None:
    folder = evaluated.results["vote"].folder
    one = pl.read_parquet(folder / "predictions.parquet").head(1)
    one = one.with_columns(prediction_set=pl.Series([["a"] * 5000]))
    one.select(pl.all().gather([0] * 1000)).write_parquet(folder / "predictions.parquet")
    data = (folder / "predictions.parquet").read_bytes()
    assert len(data) < 50_000
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["files"]["predictions.parquet"] = hashlib.sha256(data).hexdigest()
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ResultError, match=r"it would take 32\d,\d{3},\d{3} bytes of memory"):
        query(evaluated, "SELECT * FROM predictions")


def test_votes_are_those_of_the_chosen_heads(evaluated) -> None:
    for name, count in (("vote", 2), ("five", 5)):
        heads = select(evaluated, heads=count).tasks[0].heads
        found = query(evaluated, "SELECT * FROM votes", name)
        assert_frame_equal(found, heads_frame(evaluated, heads).collect())
        assert found.height == 7 * count


@pytest.mark.thorough
def test_votes_agree_with_the_predictions(evaluated) -> None:
    """Each vote counts one: the prediction has the most, and its votes are the heads' votes."""
    sql = "SELECT id, vote, count(*) AS n FROM votes GROUP BY id, vote"
    counted = {(row[0], row[1]): row[2] for row in query(evaluated, sql, "five").rows()}
    for row in query(evaluated, "SELECT * FROM predictions", "five").iter_rows(named=True):
        assert {v["class"]: v["score"] for v in row["votes"] if v["score"]} == {
            vote: n for (name, vote), n in counted.items() if name == row["id"]
        }


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM predictions", "relation 'predictions' was not found"),
        ("SELECT * FROM votes", "relation 'votes' was not found"),
        ("SELECT * FROM exmples", "relation 'exmples' was not found"),
        ("SELECT lable FROM examples", 'unable to find column "lable"'),
        ('SELECT "L0.H6" FROM examples', 'unable to find column "L0.H6"'),
        ("SELEC id", "sql parser error"),
        ("", "statement"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(store, sql, reason) -> None:
    with pytest.raises(QueryError) as refused:
        query(store, sql)
    text = str(refused.value)
    assert reason in text
    assert f"query: {sql};" in text
    assert "tables: examples;" in text
    assert 'a head is a column in double quotes, "L12.H7"' in text


def test_a_store_that_is_not_whole_is_refused_unless_it_is_opened_so(store) -> None:
    (store.path / "train-00001.h5").unlink()
    sql = "SELECT count(*) AS n FROM examples"
    with pytest.raises(StoreIncompleteError, match=r"train-00001\.h5 first"):
        query(open_store(store.path), sql)
    assert query(open_store(store.path, partial=True), sql).item() == 12
    (store.path / "train-00002.h5").write_bytes(b"no HDF5")
    with pytest.raises(
        (QueryError, StoreCorruptError), match=r"train-00002\.h5 does not end with the index"
    ):
        query(open_store(store.path, partial=True), sql)


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_a_limit_counts_rows_before_a_later_filter(store, engine) -> None:
    rows = store.scan().head(3)
    found = rows.filter(pl.col("label") == "a").collect(engine=engine)
    assert found["id"].to_list() == ["train:0", "train:2"]
    assert rows.filter(pl.col("L0.H1").arr.get(0).is_finite()).collect(engine=engine).height == 3
    votes, wanted = heads_frame(store), pl.col("head") == 0
    assert votes.head(4).filter(wanted).collect().equals(votes.collect().head(4).filter(wanted))
    sql = "SELECT id FROM (SELECT * FROM examples LIMIT 3) AS t WHERE label = 'a'"
    assert query(store, sql)["id"].to_list() == ["train:0", "train:2"]


@pytest.mark.thorough
def test_the_command_prints_dates_and_short_reasons_and_reads_the_tables_named(savs, store) -> None:
    folder = store.path / "results/vote"
    assert (
        "for predictions, run `savs evaluate"
        in savs("query", store.path, "SELECT id FROM predictions").stderr
    )
    sql = "SELECT DATE '2020-01-01' AS d FROM examples LIMIT 1"
    assert "2020-01-01" in savs("query", store.path, sql, "--json").stdout
    assert "Resolved plan" not in savs("query", store.path, "SELECT nope FROM examples").stderr
    folder.mkdir(parents=True)
    for name in ("predictions.parquet", "config.json"):  # damaged: of no matter to other tables
        (folder / name).write_bytes(b"x")
    assert savs("query", store.path, "SELECT id FROM examples").returncode == 0
    assert savs("query", store.path, "SELECT id FROM votes").returncode == 1


def test_a_subtask_without_training_examples_has_no_votes(tmp_path) -> None:
    values = np.ones((1, 2, 2), np.float32)
    rows = {"train_rows": [{"subtask": "t"}] * 2, "test_rows": [{"subtask": "u"}] * 2}
    store = make_store(tmp_path / "s", values, ["a", "b"], values, ["a", "b"], **rows)
    with pytest.raises(SelectionError, match="'u' of the test split has no training examples"):
        heads_frame(store).collect()


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
    store = store_of(tmp_path_factory.mktemp("random") / "s")
    votes = heads_frame(store, save_results(store, 2, "vote").heads).collect()
    return store, {"examples": store.scan().collect(), "votes": votes}


@pytest.mark.thorough
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
    there = {"votes": store.results["vote"].folder / "config.json"}
    assert_frame_equal(collect_query(store, there, sql), expected, check_row_order=False)


CHAINS = {
    "or": "SELECT id FROM examples WHERE " + " OR ".join(["id = 'a'"] * 10_000),
    "plus": "SELECT " + "+".join("1" * 20_000) + " FROM examples",
    "union": " UNION ALL ".join(["SELECT 1 AS a"] * 3000),
    "brackets": "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "not": "SELECT " + "NOT " * 5000 + "true",
}


@pytest.mark.thorough
@pytest.mark.parametrize("sql", CHAINS.values(), ids=CHAINS)
def test_a_chain_that_would_end_the_process_is_refused(tables, sql) -> None:
    with pytest.raises(QueryError, match=r"the query has [\d,]+ operators, more than 300; compare"):
        query(tables[0], sql)


@pytest.mark.thorough
@pytest.mark.parametrize("word", ["RECURSIVE", "recursive", "/* x */ Recursive"])
def test_recursion_that_would_not_end_is_refused(tables, word) -> None:
    sql = f"WITH {word} t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT * FROM t"
    with pytest.raises(QueryError, match="WITH RECURSIVE is refused"):
        query(tables[0], sql)


@pytest.mark.thorough
def test_long_lists_and_words_in_texts_are_no_operators(tables) -> None:
    names = ", ".join(f"'RECURSIVE OR {n} + ''x'''" for n in range(10_000))
    assert query(tables[0], f"SELECT id FROM examples WHERE id IN ({names})").height == 0


MANY = (
    "WITH t AS (SELECT a.id, 1 AS k FROM examples a, examples b, examples c, examples d LIMIT {}) "
)
EQUAL = MANY + "SELECT x.id, y.id AS other FROM t x JOIN t y ON x.k = y.k"


@pytest.mark.costly
@pytest.mark.parametrize("sql", [EQUAL, MANY + "SELECT x.id, y.id AS other FROM t x, t y"])
def test_a_join_too_great_for_the_memory_is_refused_and_the_process_lives_on(
    tables, monkeypatch, sql
) -> None:
    monkeypatch.setattr(bounded_process, "MOST_BYTES", 2**30)
    with pytest.raises(QueryError, match=r"asks for too much") as refused:
        query(tables[0], sql.format(40_000))
    assert "more memory than the limit of 1.0 GiB; name fewer columns" in str(refused.value)
    assert "\n" not in str(refused.value)


def nested(rows: str) -> str:
    """Return a query that makes 70^4 of each example in four steps."""
    if "SELECT" not in rows:
        rows = f"SELECT {rows} AS x FROM {{0}}"
    tables = ", ".join(f"t{n + 1} AS ({rows.format(f't{n}')})" for n in range(4))
    return f"WITH t0 AS (SELECT id AS x FROM examples), {tables} SELECT x FROM t4"


@pytest.mark.costly
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT lpad(id, 2000000000, 'x') AS x FROM examples",
        "SELECT \"lpad\"(id, 2000000000, 'x') AS x FROM examples",
        nested(" + ".join(["x"] * 70)),
        nested(" UNION ALL ".join(["SELECT x FROM {0}"] * 70)),
    ],
    ids=["lpad", "quoted", "doubled text", "doubled rows"],
)
def test_texts_and_rows_too_many_for_the_memory_are_refused(tables, monkeypatch, sql) -> None:
    monkeypatch.setattr(bounded_process, "MOST_BYTES", 2**29)
    monkeypatch.setattr(bounded_process, "MOST_SECONDS", 10)
    with pytest.raises(QueryError, match=r"too much: it takes more (memory )?than the limit"):
        query(tables[0], sql)


@pytest.mark.costly
def test_operators_that_quotes_hide_end_a_child_only(tables) -> None:
    chain = " OR ".join(["id = 0"] * 20_000)
    sql = f"SELECT id FROM examples WHERE id = $$'$$ OR {chain} OR id = $$'$$"
    with pytest.raises(QueryError, match="asks for too much: its process ended with exit code -"):
        query(tables[0], sql)


@pytest.mark.costly
def test_more_rows_than_polars_counts_are_refused(tables) -> None:
    sql = MANY.format(50_000) + "SELECT count(*) AS n FROM t x, t y"
    with pytest.raises(
        QueryError, match=r"asks for too much: it has more than 2\^32 rows; name fewer"
    ):
        query(tables[0], f"{sql}, examples")


@pytest.mark.costly
def test_a_join_that_takes_too_long_is_refused(tables, monkeypatch) -> None:
    monkeypatch.setattr(bounded_process, "MOST_SECONDS", 0.01)
    with pytest.raises(
        QueryError, match=r"more than the limit of 0\.01 seconds; name fewer columns"
    ):
        query(tables[0], EQUAL.format(10))


@pytest.mark.thorough
def test_a_process_gives_the_rows_of_a_join_with_heads_and_its_errors(tables, monkeypatch) -> None:
    monkeypatch.undo()
    store, whole = tables
    sql = """SELECT a.id, a."L0.H3", v.vote FROM examples a JOIN votes v USING (id, split)"""
    expected = pl.SQLContext(whole, eager=True).execute(sql)
    assert expected.height == 14
    assert_frame_equal(query(store, sql), expected, check_row_order=False)
    with pytest.raises(QueryError, match=r"(?s)conversion from `str` to `i64` failed.*tables: ex"):
        query(store, "SELECT CAST(a.id AS BIGINT) AS n FROM examples a JOIN votes v USING (id)")
