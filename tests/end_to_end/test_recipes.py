"""The code in docs/guide/polars.md, and the notebook of recipes, against slow computations."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import oracle
import polars as pl
import pytest
from PIL import Image
from polars.testing import assert_frame_equal

from savs import extract
from savs.datasets.benchmarks.shapes import write_shapes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide" / "polars.md").read_text("utf-8")
NOTEBOOK = ROOT / "docs" / "notebooks" / "reanalysis.py"
RESULTS = NOTEBOOK.with_name("results.py")
TASKS = ("exists", "which-image", "fruit", "animal")
SKIPPED = "test-animal-0003"

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with what `savs demo` leaves, but smaller and with an unreadable image."""
    folder = tmp_path_factory.mktemp("recipes")
    files = write_shapes(
        folder / "savs-demo/data", seed=5, tasks=TASKS, train_per_class=4, test_units=14
    )
    (spoilt,) = files.root.glob("images/test/animal-0003-0.*")
    spoilt.write_bytes(b"")
    extract(
        *("shapes",),
        train=files.train,
        test=files.test,
        media_root=files.root,
        model="demo",
        out=folder / "savs-demo/features",
        shard_rows=24,
    )
    return folder


RECIPES = ("agreement", "by_class", "shared", "confused", "by_size", "by_words", "nearest")
"""The tables of the notebook, in the order of its cells."""


@pytest.fixture(scope="module")
def shown(folder, tmp_path_factory) -> tuple[list[pl.DataFrame], str, Path]:
    """Return the tables of the notebook, how many cells show nothing, and where it ran."""
    where = tmp_path_factory.mktemp("notebook")
    return *run_cells(NOTEBOOK, folder / "savs-demo/features", where), where


@pytest.fixture(scope="module")
def page(folder, shown) -> SimpleNamespace:
    """Return the names that the page's Python blocks leave, run in order, and the recipes."""
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 5
    with contextlib.chdir(folder):
        for block in blocks:
            code = block.replace("savs-demo/", f"{folder.as_posix()}/savs-demo/")
            exec(compile(code, "docs/guide/polars.md", "exec"), names)
    names |= dict(zip(RECIPES, shown[0][2:-2], strict=True))
    return SimpleNamespace(**names)


def mistakes(page) -> list[str]:
    """Return the ids of the wrong test examples that have features."""
    wrong = page.result.predictions.filter(~pl.col("correct"))["id"].to_list()
    return sorted(set(wrong) & set(page.store.examples("test")["id"]))


@pytest.fixture(scope="module")
def rows(folder) -> list[dict[str, str]]:
    """Return the test examples that have features, as the input file has them."""
    lines = (folder / "savs-demo/data/test.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["id"] != SKIPPED]


@pytest.fixture(scope="module")
def votes(page) -> dict[str, list[str]]:
    """Return what each chosen head of `animal` answers, found slowly."""
    classes, found = page.animal.classes, {}
    trained = page.store.examples("train")["subtask"] == "animal"
    tested = page.store.examples("test")["subtask"] == "animal"
    labels = [classes.index(a) for a in page.store.examples("train").filter(trained)["label"]]
    for layer, head in page.animal.heads:
        train, test = (
            page.store.features(split, [(layer, head)])[0][mask.to_numpy()].tolist()
            for split, mask in (("train", trained), ("test", tested))
        )
        centroids = oracle.centroids_of(train, labels, len(classes))
        found[f"L{layer}.H{head}"] = [classes[oracle.nearest(x, centroids)] for x in test]
    return found


def of_animal(rows) -> list[str]:
    return [row["label"] for row in rows if row["subtask"] == "animal"]


def accuracies(rows, page, key) -> dict[object, tuple[int, float]]:
    """Return the number of test examples and the accuracy by what `key` says of a row."""
    right = dict(page.result.predictions.select("id", "correct").iter_rows())
    hits: dict[object, list[bool]] = {}
    for row in rows:
        hits.setdefault(key(row), []).append(right[row["id"]])
    return {key: (len(values), sum(values) / len(values)) for key, values in hits.items()}


def test_a_scan_has_a_row_an_example_and_a_column_a_head(page):
    frame = page.table.collect()
    assert frame["id"].to_list() == page.store.examples()["id"].to_list()
    assert SKIPPED not in frame["id"]
    heads = [f"L{layer}.H{head}" for layer, head in page.store.heads]
    assert frame.columns == [*page.store.examples().columns, *heads]
    assert frame.schema["L4.H1"] == pl.Array(pl.Float32, 16)


def test_agreement_of_heads(page, votes):
    found = {frozenset(pair): share for *pair, share in page.agreement.iter_rows()}
    assert len(found) == page.agreement.height == 45  # pairs of ten
    for one, other in combinations(votes, 2):
        same = [a == b for a, b in zip(votes[one], votes[other], strict=True)]
        assert found[frozenset((one, other))] == pytest.approx(sum(same) / len(same))
    assert page.agreement["agree"].is_sorted(descending=True)


def test_accuracy_by_class(page, votes, rows):
    labels, best = of_animal(rows), next(iter(votes.values()))
    hits = Counter(label for label, vote in zip(labels, best, strict=True) if label == vote)
    expected = [(a, n, hits[a] / n) for a, n in sorted(Counter(labels).items())]
    assert page.by_class.rows() == expected
    assert 0 < hits.total() < len(labels)  # neither all right nor all wrong


def test_shared_heads(page):
    heads = {task.subtask: set(task.heads) for task in page.selection.tasks}
    both = {pair: heads[pair[0]] & heads[pair[1]] for pair in combinations(sorted(heads), 2)}
    found = {(a, b): (n, names) for a, b, n, names in page.shared.iter_rows()}
    assert found == {
        pair: (len(common), sorted(f"L{layer}.H{head}" for layer, head in common))
        for pair, common in both.items()
        if common
    }
    assert found


def test_mistakes(page):
    wrong = page.result.predictions.filter(~pl.col("correct"))
    assert SKIPPED in wrong["id"]
    expected = Counter(
        row for row in wrong.select("subtask", "label", "prediction").iter_rows() if row[2]
    )
    columns = ("subtask", "label", "prediction", "mistakes")
    assert expected
    assert {(s, a, b): n for s, a, b, n in page.confused.select(columns).iter_rows()} == expected
    assert len(mistakes(page)) == wrong.height - 1


def test_accuracy_by_image_size(page, rows, folder):
    def size(row) -> str:
        with Image.open(folder / "savs-demo/data" / row["images"][0]) as image:
            height, width, _ = np.asarray(image.convert("RGB")).shape
        return f"{width} x {height}"

    expected = accuracies(rows, page, size)
    assert page.by_size.rows() == [(name, *expected[name]) for name in sorted(expected)]
    assert len(expected) == 3  # square, wide and tall


def test_accuracy_by_prompt_length(page, rows):
    expected = accuracies(rows, page, lambda row: len(row["question"].split()))
    columns = ("words", "examples", "correct")
    found = page.by_words.select(columns).rows()
    assert found == [(words, *expected[words]) for words in sorted(expected)]
    assert len(expected) > 2


def test_nearest_training_examples(page):
    train, test = (page.store.examples(split) for split in ("train", "test"))
    features = {s: page.store.features(s, page.animal.heads[:1])[0] for s in ("train", "test")}
    query = features["test"][test["subtask"].to_list().index("animal")].tolist()
    cosines = [
        (oracle.cosine(x.tolist(), query), name)
        for x, name, subtask in zip(features["train"], train["id"], train["subtask"], strict=True)
        if subtask == "animal"
    ]
    expected = sorted(cosines, reverse=True)[:5]
    assert page.nearest["id"].to_list() == [name for _, name in expected]
    assert page.nearest["cosine"].to_list() == pytest.approx([c for c, _ in expected], abs=1e-5)


def test_twenty_heads_as_parquet(page, folder):
    frame = pl.read_parquet(folder / "heads.parquet")
    names = frame.columns[4:]
    uses = Counter(page.chosen["name"])
    assert len(names) == 20
    assert min(uses[n] for n in names) >= max(n for name, n in uses.items() if name not in names)
    assert frame["id"].to_list() == page.store.examples()["id"].to_list()
    for name in names:
        layer, head = map(int, re.findall(r"\d+", name))
        values = [page.store.features(split, [(layer, head)])[0] for split in ("train", "test")]
        np.testing.assert_array_equal(frame[name].to_numpy(), np.concatenate(values))


def test_the_same_in_sql(savs, page, folder, votes, rows, monkeypatch):
    monkeypatch.chdir(folder)
    assert savs("select", "savs-demo/features", "--heads", "10").returncode == 0
    assert savs("evaluate", "savs-demo/features").returncode == 0
    (block,) = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    found = []
    for line in block.replace("\\\n", " ").splitlines():
        command = [word for word in shlex.split(line)[1:] if word not in ("--format", "csv")]
        done = savs(*command, "--json")
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    counted, alone, wrong, values = found
    assert sum(row["n"] for row in counted) == page.store.examples().height
    by_name = {row["name"]: row["accuracy"] for row in alone}
    assert set(by_name) == set(page.chosen["name"])
    for name, answers in votes.items():
        right = [a == b for a, b in zip(answers, of_animal(rows), strict=True)]
        assert by_name[name] == pytest.approx(sum(right) / len(right))
    assert [row["id"] for row in wrong] == mistakes(page)
    first = page.store.features("train", [(4, 1)])[0][:3]
    np.testing.assert_array_equal([row["L4.H1"] for row in values], first)


def test_the_command_that_exports(savs, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (line,) = re.findall(r"`(savs export [^`]+)`", PAGE)
    done = savs(*shlex.split(line)[1:])
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet_schema("two.parquet").keys() >= {"id", "L4.H1", "L5.H0"}


RUN = """
import pathlib
import runpy
import sys
import polars as pl

outputs, _ = runpy.run_path(sys.argv[1])["app"].run()
for number, output in enumerate(outputs):
    if isinstance(output, pl.DataFrame):
        output.write_parquet(f"{number:02}.parquet")
    elif hasattr(output, "text"):
        pathlib.Path(f"{number:02}.html").write_text(output.text)
print(len(outputs), sum(output is None for output in outputs))
"""


def run_python(*args: object, store: Path, where: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        cwd=where,
        env=os.environ | {"STORE": str(store)},
    )


def run_cells(notebook: Path, store: Path, where: Path) -> tuple[list[pl.DataFrame], str]:
    """Return the tables that the cells of a notebook show, and how many show nothing."""
    done = run_python("-c", RUN, notebook, store=store, where=where)
    assert done.returncode == 0, done.stderr
    tables = [pl.read_parquet(path) for path in sorted(where.glob("??.parquet"))]
    return tables, done.stdout.split()[-1]


def test_the_notebook_runs_as_a_script(folder, tmp_path):
    done = run_python(NOTEBOOK, store=folder / "savs-demo/features", where=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "heads.parquet").exists()
    done = run_python(NOTEBOOK, store=tmp_path / "nowhere", where=tmp_path)
    assert done.returncode != 0
    assert "nowhere" in done.stderr


def test_the_notebook_shows_what_the_page_computes(page, folder, shown):
    (counts, chosen, *_, by_head, written), empty, _ = shown
    assert counts["examples"].sum() == page.store.examples().height
    assert chosen["subtask"].to_list() == list(TASKS)
    assert set(by_head["name"]) == {f"L{layer}.H{head}" for layer, head in page.animal.heads}
    assert_frame_equal(written, pl.read_parquet(folder / "heads.parquet").head(3))
    assert empty == "1"  # only the cell that looks the subtask up shows nothing


def test_the_notebook_of_results_shows_a_report_and_leaves_nothing(page, folder, tmp_path):
    store = folder / "savs-demo/features"
    before = sorted(store.rglob("*"))
    (tmp_path / "report.html").write_text("mine")
    (explained, by_class, stable), empty = run_cells(RESULTS, store, tmp_path)
    assert {*store.rglob("*")} <= {*before, store / "results"}
    assert (tmp_path / "report.html").read_text() == "mine"
    shown = [path.read_text() for path in sorted(tmp_path.glob("??.html"))]
    assert any("iframe" in text and "savs report" in text for text in shown)
    assert any("<img" in text for text in shown)
    for table in (explained, by_class, stable):
        for column in table.select(pl.col(pl.Float32, pl.Float64)):
            np.testing.assert_allclose(column, column.round(3), atol=1e-6)
    assert explained["id"].n_unique() == 2
    assert set(by_class["label"]) >= set(page.by_class["label"])
    assert stable.height
    assert stable["share"].is_between(0, 1).all()
    assert empty == "0"
