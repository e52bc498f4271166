import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from doc_pages import ROOT, blocks, commands

from savs.datasets.benchmarks.shapes import write_shapes

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
SMALL = {"train_per_class": 4, "test_units": 6}
OF_SMALL = """\
task                  heads  95 % interval  zero-shot   clip  clip + lda  chance
color                 100.0  61.0 .. 100.0      100.0   83.3        50.0    16.7
shape                 100.0  61.0 .. 100.0      100.0  100.0        50.0    25.0
position              100.0  61.0 .. 100.0      100.0   33.3        66.7    50.0
exists                100.0  61.0 .. 100.0      100.0   83.3        33.3    50.0
relation              100.0  61.0 .. 100.0       83.3   16.7        50.0    50.0
group-exists          100.0  61.0 .. 100.0      100.0   95.8        50.0    50.0
group-binding         100.0  61.0 .. 100.0      100.0   79.2        50.0    50.0
which-image           100.0  61.0 .. 100.0      100.0      -           -    50.0
animal                 83.3   43.6 .. 97.0       16.7   33.3       100.0    25.0
fruit                 100.0  61.0 .. 100.0       16.7   50.0       100.0    16.7
creature               83.3   43.6 .. 97.0       33.3   50.0       100.0    50.0
Q-Acc, group-exists   100.0  61.0 .. 100.0      100.0   91.7        16.7    25.0
I-Acc, group-exists   100.0  61.0 .. 100.0      100.0   91.7         0.0    25.0
G-Acc, group-exists   100.0  61.0 .. 100.0      100.0   83.3         0.0     6.2
Q-Acc, group-binding  100.0  61.0 .. 100.0      100.0   58.3        41.7    25.0
I-Acc, group-binding  100.0  61.0 .. 100.0      100.0   58.3         0.0    25.0
G-Acc, group-binding  100.0  61.0 .. 100.0      100.0   50.0         0.0     6.2
"""


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


def measured(result: Path) -> dict[str, dict[str, float]]:
    """Return the metrics of a result by their names."""
    metrics = json.loads((result / "metrics.json").read_text())["metrics"]
    return {metric["name"]: metric for metric in metrics}


@pytest.mark.costly
def test_the_demo_prints_the_table_of_its_page_and_the_rows_of_the_readme(tmp_path):
    printed = demo(tmp_path, {})
    assert table(printed) == table(PAGE)
    assert len(table(PAGE)) == 18
    rows = table(README, 5)
    assert [line for line in table(printed) if line in rows] == rows
    heads, own = (measured(tmp_path / "here/features/results" / n) for n in ("vote", "zero-shot"))
    for task in ("color", "shape", "position", "exists", "animal", "fruit", "which-image"):
        metric = heads[f"accuracy, {task}"]
        assert metric["value"] >= 0.75
        assert metric["low"] > metric["chance"]
    for task in ("animal", "fruit"):  # labels that the model never met
        assert heads[f"accuracy, {task}"]["value"] > own[f"accuracy, {task}"]["value"] + 0.2
    assert heads["G-Acc, group-exists"]["value"] > 0.5
    for name, task in (("clip", "exists"), ("lda", "animal")):
        values = measured(tmp_path / "here/clip-features/results" / name)
        assert values[f"accuracy, {task}"]["value"] >= 0.9


@pytest.mark.slow
def test_an_older_processor_gives_the_same_table(tmp_path):
    assert table(demo(tmp_path, OTHER_INSTRUCTIONS)) == table(PAGE)


def test_a_small_demo_prints_and_leaves_what_it_says_and_the_first_page_goes_on(savs, monkeypatch):
    small = partial(write_shapes, **SMALL)
    monkeypatch.setattr("savs.datasets.benchmarks.shapes.write_shapes", small)
    ran = savs("demo", "--out", "here")
    assert ran.returncode == 0, ran.stderr
    for text in (
        "numbers: how many subtasks chose the head",
        "zero-shot",
        "here/data",
        "savs show here/features",
        "report                here/report.html",
    ):
        assert text in ran.stdout
    assert table(ran.stdout) == OF_SMALL.splitlines()
    assert "data:image/jpeg" in Path("here/report.html").read_text()
    for name in ("vote", "zero-shot"):
        assert measured(Path("here/features/results", name))
        assert pl.read_parquet(f"here/features/results/{name}/predictions.parquet").height > 66
    for name in ("clip", "lda"):  # which-image has two images
        values = measured(Path("here/clip-features/results", name))
        assert "accuracy, animal" in values
        assert "accuracy, which-image" not in values
    assert list(Path("here/data/images/test").glob("animal-0000-0.*g"))
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
    assert Path("report.html").exists()
