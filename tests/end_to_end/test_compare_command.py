"""`savs compare`: a table, JSON or a file; one clear message where it fails."""

import json
from pathlib import Path

import pytest
from small_results import save_result

from savs import compare
from savs.pipeline.evaluation.compare.compare import method_table
from savs.pipeline.evaluation.tables import methods_table
from savs.pipeline.running.table import FORMS


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> list[Path]:
    """Return results on two data sets, which no test changes."""
    folder = tmp_path_factory.mktemp("results")
    return [
        save_result(folder / "nb/vote", [1, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
        save_result(folder / "nb/lda", [1, 1, 1, 1, 1, 1, 1, 1, 1, 0]),
        save_result(folder / "blink/vote", [1] * 6, stem="blink", clusters="000000"),
        save_result(folder / "blink/lda", [1, 0] * 3, stem="blink", clusters="000000"),
    ]


@pytest.fixture
def results(saved, savs, monkeypatch) -> list[Path]:
    """Return these results; commands run in their folder."""
    monkeypatch.chdir(saved[0].parents[1])
    return saved


def test_a_table_for_each_two(savs, results):
    done = savs("compare", *results)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][2:4] == ["nb/vote", "nb/lda"]
    assert lines[1][:4] == ["accuracy", "20.0", "90.0", "+70.0"]
    assert lines[1][-6:] == ["10", "10", "McNemar,", "exact", "0.0156", "0.0312"]
    assert lines[2][-1] == "-"  # not the headline
    assert lines[3] == []
    assert lines[4][2:4] == ["blink/vote", "blink/lda"]
    assert lines[5][3:7] == ["-50.0", "-", "6", "1"]  # one cluster has no interval
    assert "corrected for 2 tests of the headline metric" in done.stderr
    # +70.0 and -50.0 on two data sets; blink has one cluster, so no interval of its own: a tie
    assert lines[-2][:4] == ["mean", "over", "data", "sets"]
    assert lines[-1][:5] == ["lda", "minus", "vote", "2", "+10.0"]
    assert lines[-1][-3:] == ["1", "1", "0"]


def test_json_is_what_python_returns(savs, results):
    done = savs("compare", *results, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == compare(results).to_dicts()
    assert done.stderr == ""


@pytest.mark.parametrize("form", ["markdown", "latex", "csv"])
def test_a_table_of_methods(savs, results, form):
    done = savs("compare", *results[:2], "--format", form)
    assert done.returncode == 0, done.stderr
    assert done.stdout == FORMS[form](methods_table(method_table(results[:2])))


def test_one_metric(savs, results):
    done = savs("compare", *results[:2], "--metric", "balanced accuracy", "--json")
    assert [row["metric"] for row in json.loads(done.stdout)] == ["balanced accuracy"]
    done = savs("compare", *results, "--metric", "auc")
    assert done.returncode == 1
    assert "has no metric 'auc'; expected one of: accuracy; balanced accuracy" in done.stderr


def test_small_p_are_not_0(savs, tmp_path):
    pair = [save_result(tmp_path / str(hit), [hit] * 40) for hit in (0, 1)]
    done = savs("compare", *pair)
    assert done.stdout.splitlines()[1].endswith("McNemar, mid-p  < 0.0001  < 0.0001")


@pytest.mark.parametrize(
    ("args", "code", "reason"),
    [
        ([], 2, "Missing argument"),
        (["nb/vote"], 1, "1 result given, expected two folders or more, or one sweep"),
        (["nb/vote", "nb/lda", "--metrics", "accuracy"], 2, "No such option"),
        (
            ["nb/vote", "nb/lda", "--format", "html"],
            2,
            "expected one of table, markdown, latex, csv",
        ),
        (["nb/vote", "nb/lda", "--format", "csv", "--json"], 2, "two ways to print; pass one"),
        (["nb/vote", "blink/vote", "--format", "csv"], 1, "10 test examples here, 6 there"),
        (["nb/vote", "nb/none"], 1, "nb/none is not a folder; pass one that `savs evaluate` wr"),
        (["nb/vote", "nb"], 1, "nb/metrics.json does not exist; run `savs evaluate`"),
        (["nb/vote", "blink/vote"], 1, "10 test examples here, 6 there"),
        (["nb/vote", "nb/vote/"], 1, "are the same folder; pass each once"),
    ],
)
@pytest.mark.usefixtures("results")
def test_what_cannot_be_compared_exits_with_one_message(savs, args, code, reason):
    done = savs("compare", *args)
    assert done.returncode == code
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
