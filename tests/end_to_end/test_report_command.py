"""`savs report`, and the code of docs/report.md as it is written there."""

import json
import re
import shlex
from pathlib import Path

import pytest
from random_stores import draw_problem, write_problem
from reported import Page

from savs.pipeline import evaluate, save_evaluation, select

DOCS = (Path(__file__).parents[2] / "docs" / "report.md").read_text("utf-8")


@pytest.fixture
def features(tmp_path, monkeypatch):
    """Return a store `features` in the working folder, with two results."""
    monkeypatch.chdir(tmp_path)
    store = write_problem(tmp_path / "features", draw_problem(5, counts=(4, 4, 4), tests=50))
    for readout in ("vote", "lda"):
        selection = select(store, heads=2, readout=readout)
        save_evaluation(evaluate(store, selection), store.path / "results" / readout)
    (tmp_path / "photos").mkdir()
    return store.path


def test_the_page_is_written_and_named(savs, features):
    done = savs("report", features, "--out", "page.html", "--title", "Mine")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "page.html\n"
    assert "vote, lda; 50 examples are shown" in done.stderr, done.stderr
    assert "Mine" in Page(Path("page.html")).text
    found = json.loads(
        savs("report", features / "results/lda", "--out", "p.htm", "--examples", 7, "--json").stdout
    )
    assert found["results"] == [str(features / "results/lda")]
    assert len(found["examples"]) == 7
    metrics = json.loads((features / "results/lda/metrics.json").read_text())
    assert found["headline"] == metrics["metrics"][0]


def test_wrong_arguments_are_refused(savs, features):
    for arguments, message in (
        (("--out", "page.pdf"), "expected a name that ends in .html"),
        (("--out", "p.html", "--media-root", "nowhere"), "'nowhere', which is not a folder"),
        (("--out", "p.html", "--examples", "-1"), "Invalid value for '--examples'"),
    ):
        done = savs("report", features, *arguments)
        assert done.returncode == 2
        assert message in " ".join(done.stderr.replace("│", "").split())
    done = savs("report", "nowhere", "--out", "p.html")
    assert done.returncode == 1
    assert "nowhere is neither a store nor a folder of results" in done.stderr
    assert not Path("p.html").exists()


def test_the_code_of_the_page_about_reports(savs, features):
    lines = [text for text in DOCS.splitlines() if text.startswith("savs ")]
    assert [line.split()[1] for line in lines] == ["report", "export", *["explain"] * 3]
    for line in lines[:-1]:  # the last one needs a model
        done = savs(*shlex.split(line, comments=True)[1:])
        assert done.returncode == 0, done.stderr
    for code in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL):
        exec(compile(code, "docs/report.md", "exec"), {})
    assert Path("report.html").stat().st_size > 10_000
    for name in re.findall(r"!\[.*?\]\((.*?)\)", DOCS):
        picture = Path(__file__).parents[2] / "docs" / name
        assert picture.stat().st_size < 150_000
