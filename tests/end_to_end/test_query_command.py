"""`savs query`: rows as a table, JSON or CSV on stdout; one clear message where it fails."""

import csv
import io
import json

import numpy as np
import polars as pl
import pytest

from savs.pipeline.running.bounded_process import frame_within_limits
from stores import make_store

pytestmark = pytest.mark.thorough


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(5)
    train, test = (rng.normal(size=(3, n, 4)).astype(np.float32) for n in (8, 7))
    rows = [
        {"group": g, "media": '["a,b.png","ü.png"]'} for g in ("g", None, "", "x", "y", "z", "w")
    ]
    return make_store(
        *(tmp_path / "store", train, list("abababab"), test, list("aabbaba")), test_rows=rows
    )


@pytest.fixture
def query(savs, store):
    """Return a function that runs a query and expects an exit code."""

    def run(sql: str, *more: str, code: int = 0, place=None):
        done = savs("query", place or store.path, sql, *more)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def in_a_process(savs, monkeypatch) -> None:
    """Let a query have a process of its own, as outside tests."""
    monkeypatch.setattr("savs.pipeline.evaluation.query.frame_within_limits", frame_within_limits)


@pytest.fixture
def evaluated(savs, store) -> pl.DataFrame:
    """Select two heads, evaluate, and return the predictions."""
    for args in (("select", store.path, "--heads", "2"), ("evaluate", store.path)):
        assert savs(*args).returncode == 0
    return pl.read_parquet(store.path / "results/vote/predictions.parquet")


@pytest.mark.usefixtures("in_a_process")
def test_rows_are_a_table_with_their_number_on_stderr(query) -> None:
    done = query("SELECT id, label FROM examples WHERE split = 'test' LIMIT 2")
    assert "test:0" in done.stdout
    assert "test:1" in done.stdout
    assert "test:2" not in done.stdout
    assert done.stderr == "2 rows\n"


@pytest.mark.thorough
def test_many_rows_are_cut_and_counted(savs, tmp_path) -> None:
    values = np.ones((1, 40, 2), np.float32)
    make_store(tmp_path / "many", values, ["a"] * 40, values, ["a"] * 40, shard_rows=40)
    done = savs("query", tmp_path / "many", "SELECT id FROM examples")
    assert done.stderr == "80 rows, the first and last 25 shown\n"
    whole = savs("query", tmp_path / "many", "SELECT id FROM examples LIMIT 50")
    assert whole.stderr == "50 rows\n"
    assert "train:24" in done.stdout
    assert "train:25" not in done.stdout
    assert "test:14" not in done.stdout
    assert "test:15" in done.stdout


def test_json_keeps_numbers_nulls_and_lists(query, store) -> None:
    done = query(
        """SELECT id, "L0.H1", "group", media FROM examples WHERE id = 'test:1'""", "--json"
    )
    assert json.loads(done.stdout) == [
        {
            "id": "test:1",
            "L0.H1": store.features("test", [(0, 1)])[0, 1].tolist(),
            "group": None,
            "media": ["a,b.png", "ü.png"],
        }
    ]
    assert done.stderr == ""
    assert json.loads(query("SELECT id FROM examples WHERE id = ''", "--json").stdout) == []


def test_csv_has_nested_values_as_json_and_nulls_empty(query, store) -> None:
    done = query(
        """SELECT id, "L0.H2", "group", media FROM examples WHERE split = 'test' LIMIT 3""",
        "--format",
        "csv",
    )
    assert done.stderr == ""
    header, *rows = csv.reader(io.StringIO(done.stdout))
    assert header == ["id", "L0.H2", "group", "media"]
    features = store.features("test", [(0, 2)])[0]
    for place, row in enumerate(rows):
        assert (row[0], row[2]) == (f"test:{place}", ("g", "", "")[place])
        assert json.loads(row[1]) == features[place].tolist()
        assert row[3] == '["a,b.png","ü.png"]'
    second, third = done.stdout.splitlines()[2:4]
    assert ',,"[' in second  # a null
    assert ',"","[' in third  # a text without a character
    assert (
        query("SELECT id, media FROM examples WHERE id = ''", "--format", "csv").stdout
        == "id,media\n"
    )


def test_csv_leaves_a_nested_null_empty(query) -> None:
    done = query(
        "SELECT id, CASE WHEN id = 'test:0' THEN media END AS m FROM examples"
        " WHERE split = 'test' LIMIT 2",
        "--format",
        "csv",
    )
    assert list(csv.reader(io.StringIO(done.stdout))) == [
        ["id", "m"],
        ["test:0", '["a,b.png","ü.png"]'],
        ["test:1", ""],
    ]


def test_votes_and_predictions_are_there_after_evaluate(query, evaluated) -> None:
    rows = json.loads(query("SELECT * FROM votes", "--json").stdout)
    assert len(rows) == 7 * 2
    assert [s["class"] for s in rows[0]["similarity"]] == ["a", "b"]
    joined = query(
        "SELECT e.id, p.prediction FROM examples e JOIN predictions p ON e.id = p.id ORDER BY e.id",
        "--format",
        "csv",
    )
    assert list(csv.reader(io.StringIO(joined.stdout)))[1:] == [
        list(row) for row in evaluated.select("id", "prediction").sort("id").rows()
    ]


@pytest.mark.thorough
def test_another_result_can_be_meant(query, savs, store, evaluated) -> None:
    assert savs("evaluate", store.path, "--out", store.path / "results/again").returncode == 0
    sql = "SELECT id, prediction FROM predictions"
    assert (
        query(sql, "--format", "csv", place=store.path / "results/again").stdout
        == query(sql, "--format", "csv").stdout
    )
    assert (
        "'predictions' was not found"
        in query(sql, code=1, place=store.path / "results/nothing").stderr
    )


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM predictions", "relation 'predictions' was not found"),
        ("SELECT * FROM votes", "relation 'votes' was not found"),
        ("SELECT * FROM exmples", "relation 'exmples' was not found"),
        ("SELECT lable FROM examples", 'unable to find column "lable"'),
        ('SELECT "L9.H0" FROM examples', 'unable to find column "L9.H0"'),
        ("SELEC", "sql parser error"),
    ],
)
def test_a_query_that_cannot_be_answered_exits_with_1(query, sql, reason) -> None:
    done = query(sql, "--json", code=1)
    assert done.stderr.startswith("error: ")
    assert reason in done.stderr
    assert "tables: examples;" in done.stderr
    assert done.stdout == ""


def test_csv_and_json_at_once_are_a_usage_error(query) -> None:
    done = query("SELECT id FROM examples", "--format", "csv", "--json", code=2)
    assert "--format csv and --json are two ways to print; pass one" in done.stderr
    assert done.stdout == ""


@pytest.mark.usefixtures("in_a_process")
def test_an_incomplete_or_damaged_store_exits_with_3(query, store) -> None:
    shard = store.path / "test-00000.h5"
    data = shard.read_bytes()
    shard.write_bytes(data[: len(data) // 2])
    for reason in ("test-00000.h5 does not end with the index of a", "(test-00000.h5 first)"):
        assert reason in query("SELECT id FROM examples", code=3).stderr
        shard.unlink(missing_ok=True)
