import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from doc_pages import ROOT, blocks, commands

pytestmark = pytest.mark.thorough

README = (ROOT / "README.md").read_text("utf-8")
PAGE = (ROOT / "docs" / "reference" / "demo-scenes.md").read_text("utf-8")
OTHER_INSTRUCTIONS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Haswell",
}
"""Make torch and numpy compute as on an older x86 processor; elsewhere they change nothing."""


def demo(folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("savs"), "demo", "--out", "here"],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | env,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(text: str, lines_each: int = 18) -> list[str]:
    """Return the lines of the table of tasks."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("task "))
    return [line for line in lines[start : start + lines_each] if line]


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> tuple[Path, str]:
    """Return a folder with what the demo left, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, demo(folder, {})


def test_the_demo_prints_the_table_of_its_page_and_the_rows_of_the_readme(here):
    _, printed = here
    assert table(printed) == table(PAGE)
    assert len(table(PAGE)) == 18
    rows = table(README, 5)
    assert [line for line in table(printed) if line in rows] == rows
    for text in (
        "numbers: how many subtasks chose the head",
        "zero-shot",
        "here/data",
        "savs show here/features",
    ):
        assert text in printed


@pytest.mark.slow
def test_an_older_processor_gives_the_same_table(tmp_path):
    assert table(demo(tmp_path, OTHER_INSTRUCTIONS)) == table(PAGE)


def test_the_demo_leaves_what_it_says(savs, here):
    folder, printed = here
    assert "report                here/report.html" in printed
    assert "data:image/jpeg" in (folder / "here/report.html").read_text()
    found = {}
    for name in ("vote", "zero-shot"):
        result = folder / "here/features/results" / name
        metrics = json.loads((result / "metrics.json").read_text())["metrics"]
        found[name] = {metric["name"]: metric for metric in metrics}
        assert pl.read_parquet(result / "predictions.parquet").height > 1000
    heads, own = found["vote"], found["zero-shot"]
    for task in ("color", "shape", "position", "exists", "animal", "fruit", "which-image"):
        metric = heads[f"accuracy, {task}"]
        assert metric["value"] >= 0.75
        assert metric["low"] > metric["chance"]
    for task in ("animal", "fruit"):  # labels that the model never met
        assert heads[f"accuracy, {task}"]["value"] > own[f"accuracy, {task}"]["value"] + 0.2
    assert heads["G-Acc, group-exists"]["value"] > 0.5
    for name, task, least in (("clip", "exists", 0.9), ("lda", "animal", 0.9)):
        result = folder / "here/clip-features/results" / name
        metrics = json.loads((result / "metrics.json").read_text())["metrics"]
        values = {metric["name"]: metric["value"] for metric in metrics}
        assert values[f"accuracy, {task}"] >= least
        assert "accuracy, which-image" not in values  # it has two images
    assert (folder / "here/data/images/test/animal-0000-0.png").exists() or (
        folder / "here/data/images/test/animal-0000-0.jpg"
    ).exists()
    assert savs("evaluate", folder / "here/features", "--json").returncode == 0


def test_the_first_page_of_the_site_goes_on_from_it(savs, here, monkeypatch):
    monkeypatch.chdir(here[0])
    calls = [
        [word.replace("savs-demo", "here") for word in words]
        for code in blocks(ROOT / "docs" / "index.md", "bash")
        for words in commands(code)
    ]
    assert calls.pop(0) == ["demo"]
    assert [words[0] for words in calls] == [
        "show",
        *("evaluate", "select", "evaluate"),
        "compare",
        "report",
    ]
    for words in calls:
        done = savs(*words)
        assert done.returncode == 0, done.stderr
    assert (here[0] / "report.html").exists()
