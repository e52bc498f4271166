"""`savs report`, `savs explain`, and the code of docs/guide/reports.md as it is written there."""

import json
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from random_stores import draw_problem, write_problem
from reported import ATTACK, Page

from savs import evaluate, explain, open_store, report, save_evaluation, select
from stores import make_store

DOCS = (Path(__file__).parents[2] / "docs" / "guide" / "reports.md").read_text("utf-8")


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


@pytest.mark.thorough
def test_the_page_is_written_and_named(savs, features):
    done = savs("report", features, "--out", "page.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "page.html\n"
    assert "vote, lda; 50 examples are shown" in done.stderr, done.stderr
    report(features, out="titled.html", title="Mine")
    assert "Mine" in Page(Path("titled.html")).text
    found = json.loads(
        savs("report", features / "results/lda", "--out", "p.htm", "--n", 7, "--json").stdout
    )
    assert found["results"] == [str(features / "results/lda")]
    assert len(found["examples"]) == 7
    metrics = json.loads((features / "results/lda/metrics.json").read_text())
    assert found["headline"] == metrics["metrics"][0]


def test_wrong_arguments_are_refused(savs, features):
    for arguments, message in (
        (("--out", "page.pdf"), "expected a name that ends in .html"),
        (("--out", "p.html", "--media-root", "nowhere"), "'nowhere', which is not a folder"),
        (("--out", "p.html", "--n", "-1"), "Invalid value for '--n'"),
    ):
        done = savs("report", features, *arguments)
        assert done.returncode == 2
        assert message in " ".join(done.stderr.replace("│", "").split())
    done = savs("report", "nowhere", "--out", "p.html")
    assert done.returncode == 1
    assert "nowhere is neither a store nor a folder of results" in done.stderr
    assert not Path("p.html").exists()


@pytest.mark.thorough
def test_the_code_of_the_page_about_reports(savs, features, monkeypatch):
    fiftyone = SimpleNamespace(Sample=dict, Classification=dict)  # takes a server to import
    monkeypatch.setitem(sys.modules, "fiftyone", fiftyone)
    lines = [text for text in DOCS.splitlines() if text.startswith("savs ")]
    assert [line.split()[1] for line in lines] == ["report", *["explain"] * 3, "export"]
    for line in lines:
        if "--attention-maps" in line:
            continue  # needs a model
        done = savs(*shlex.split(line, comments=True)[1:])
        assert done.returncode == 0, done.stderr
    for code in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL):
        exec(compile(code, "docs/guide/reports.md", "exec"), {})
    assert Path("report.html").stat().st_size > 10_000
    for picture in (Path(__file__).parents[2] / "docs").glob("report*.png"):
        assert picture.stat().st_size < 150_000


@pytest.mark.thorough
def test_examples_are_explained_in_text_json_and_html(savs, features):
    result = features / "results/vote"
    found = explain(result, ids=["test:3", "test:1"])
    words = ("explain", result, "--id", "test:3", "--id", "test:1", "--out", "page.html")
    brief = savs(*words)
    assert (brief.returncode, brief.stdout) == (0, "page.html\n")
    assert "wrote page.html: 2 examples" in brief.stderr
    done = savs(*words, "--verbose")
    assert done.stdout.startswith("test:3: ")
    for one in found.examples:
        for head in one.heads:
            assert f"{head.name}" in done.stdout
            assert f"{head.similarity[0][1]:.3f}" in done.stdout
        assert f'say "{one.prediction}"; ' in done.stdout
    assert len(Page(Path("page.html")).tables) == 2
    told = savs("explain", result, "--id", "test:3", "--id", "test:1", "--json")
    assert json.loads(told.stdout) == json.loads(json.dumps(found.to_json()))


def test_hostile_names_are_text(tmp_path):
    values = np.eye(2, dtype=np.float32)[None, [0, 1, 0, 1]]
    rows = [{"prompt": ATTACK, "media": json.dumps([ATTACK])} for _ in range(4)]
    labels = [f"{ATTACK}{i % 2}" for i in range(4)]
    store = make_store(tmp_path / "s", values, labels, values, labels, train_rows=rows)
    save_evaluation(evaluate(store, select(store, heads=1)), store.path / "results" / "vote")
    explain(store.path / "results" / "vote", out=tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert page.all("script") == page.all("img") == []
    assert not any(name.startswith("on") for _, a in page.tags for name in a)
    assert page.text.count(ATTACK) > 20


@pytest.mark.thorough
def test_the_printed_commands_make_the_same_store(savs, inputs):
    # a question with quotes, a drawn split and an option of configuration files alone
    for kind in ("cat", "dog"):
        for number in range(6):
            inputs.image(f"{kind}/{number}.png", 2 * number + (kind == "dog"))
    inputs.root.rename("my photos")
    question = "Is it a 'cat',\nor a $dog?"
    done = savs(
        *("extract", "image-folder", "--test", "my photos", "--shots", 3, "--seed", 7),
        *("--question", question, "--answers", "labels", "--model", "demo", "--out", "pets"),
        env={"SAVS_EXTRACT_ENGINE": "local,shard_rows=4"},
    )
    assert done.returncode == 0, done.stderr
    for step in ("select", "evaluate"):
        assert savs(step, "pets").returncode == 0
    commands = report("pets", out="page.html").provenance.commands
    metrics = json.loads(Path("pets/results/vote/metrics.json").read_text())["metrics"]
    Path("pets").rename("kept")

    for command in commands:
        words = shlex.split(command)  # as a shell does
        start = words.index("savs")
        assert words[:start] == [] or words[0] == "env"
        variables = dict(word.split("=", 1) for word in words[1:start])
        assert savs(*words[start + 1 :], env=variables).returncode == 0
    before, after = open_store("kept"), open_store("pets")
    assert after.manifest.identity == before.manifest.identity
    assert after.manifest.plan == before.manifest.plan
    for split in ("train", "test"):
        assert after.examples(split).equals(before.examples(split))
        every = [np.asarray(store.features(split, heads=store.heads)) for store in (before, after)]
        assert np.array_equal(*every)
    assert json.loads(Path("pets/results/vote/metrics.json").read_text())["metrics"] == metrics


@pytest.mark.thorough
def test_what_asks_nothing_of_the_user_is_silent_and_counts_agree(savs, tmp_path):
    values = np.eye(2, dtype=np.float32)[None, [0, 1, 0, 1, 0, 1]]
    labels = list("ababab")
    store = make_store(tmp_path / "s", values, labels, values[:, :1], labels[:1])
    done = savs("select", store.path)
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if not line.startswith("wrote ")] == []
    assert "it does not estimate test accuracy" in savs("select", store.path, "--verbose").stderr
    told = savs("evaluate", store.path).stderr + savs("evaluate", store.path, "--folds", 2).stderr
    told += savs("report", store.path, "--out", "p.html").stderr
    told += savs("explain", store.path, "--n", 1, "--out", "e.html").stderr  # next to `vote-cv`
    assert "1 of 1 test example used" in told
    assert "1 example is shown" in told
    text = told + Page(Path("p.html")).text + Page(Path("e.html")).text
    assert re.findall(r"\b1 (?:\w+ )?(?:example|head|unit|cluster|class|image)e?s\b", text) == []
