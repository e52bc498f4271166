"""The page docs/guide/own-benchmark.md, followed step by step, and a benchmark of a package."""

import contextlib
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

from savs import evaluate, extract, open_store

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "guide" / "own-benchmark.md").read_text("utf-8")
DRAW, CARDS = ((DOCS / "examples" / f"{name}.py").read_text() for name in ("draw_cards", "cards"))
(EXTRA,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("savs ")
]


GIVEN = ("--train", "train.jsonl", "--test", "test.jsonl", "--model", "demo")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a folder with what the page has one write, and a store of the first 8 examples."""
    folder = tmp_path_factory.mktemp("cards")
    with contextlib.chdir(folder):
        exec(compile(DRAW, "draw.py", "exec"), {})
        Path("cards.py").write_text(CARDS)
        files = {"train": "train.jsonl", "test": "test.jsonl", "model": "demo", "limit": 8}
        extract("cards.py", **files, out="features")
    return folder


@pytest.fixture
def folder(written, tmp_path, monkeypatch):
    """Return a copy of the folder, in which commands run."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_options(options):
    return CARDS.replace("    summary=", f"    options={options},\n    summary=")


def refused(done, *texts):
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    for text in texts:
        assert text in line


@pytest.mark.thorough
def test_the_page(savs, folder, capfd) -> None:
    (exported,) = re.findall(r"^export (.*)$", PAGE, re.MULTILINE)
    variables = dict(word.split("=") for word in exported.split())
    (row,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert json.loads(Path("train.jsonl").read_text().splitlines()[0]) == json.loads(row)
    assert len(COMMANDS) == 8
    shutil.rmtree("features")
    printed = []
    for command in COMMANDS:
        done = savs(*command, env={} if "plain" in command else variables)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    assert "Is there a red circle? Answer with Yes or No." in printed[2]
    table = re.findall(r"```text\n(metric.*?)```", PAGE, re.DOTALL)[0]
    assert [line.split()[0] for line in printed[6].split("\n\n")[0].splitlines()] == [
        line.split()[0] for line in table.splitlines()
    ]
    exec(compile(EXTRA, "docs/guide/own-benchmark.md", "exec"), {})
    assert "circle" in capfd.readouterr().out
    answers = json.loads(Path("features/results/vote/submission.json").read_text())
    assert len(answers) == 48
    assert set(answers.values()) == {"Yes", "No"}


def test_a_fault_is_told_as_the_page_says(savs, folder) -> None:
    (told,) = re.findall(r"```text\nerror: (.*?), \.\.\.\n```", PAGE, re.DOTALL)
    Path("cards.py").write_text(CARDS.replace('row.choice("shape"', 'row.values["form"], ("shape"'))
    refused(savs("extract", "cards.py", *GIVEN, "--out", "f"), told)


def evaluated(savs, benchmark: str, *more: str):
    return savs("evaluate", "features", *more, env={"SAVS_EVALUATE_BENCHMARK": benchmark})


def test_a_store_of_ones_own_benchmark_asks_for_its_file(savs, folder) -> None:
    refused(
        savs("evaluate", "features"),
        "features was extracted with the benchmark 'cards', which is not installed here",
        "pass its Python file as --benchmark",
    )
    refused(
        evaluated(savs, "blink"),
        "features was extracted with the benchmark 'cards', not 'blink'",
    )
    refused(evaluated(savs, "gone.py"), "gone.py is no Python file")
    Path("other.py").write_text(with_options("{'a': 1}"))
    refused(
        evaluated(savs, "other.py"),
        "was extracted with the options {} of the benchmark 'cards', but other.py has {'a': 1}",
    )
    done = evaluated(savs, "cards.py", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["metrics"]
    assert found[0]["name"] == "both right"
    assert [metric["units"] for metric in found] == [4, 8, 8]
    assert json.loads(done.stdout)["scored"] == 8


def test_metrics_that_fail_are_the_file_s_fault(savs, folder) -> None:
    line = CARDS.splitlines().index("    return [") + 1
    Path("cards.py").write_text(CARDS.replace("    return [", "    return [predictions['x'],", 1))
    refused(
        evaluated(savs, "cards.py"),
        f"cards.py line {line}: measure of the benchmark 'cards' raises ColumnNotFoundError",
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", "mine.py defines no BENCHMARK; docs/guide/own-benchmark.md has an example"),
        ("def f():\n    1 / 0\n\nf()", "mine.py line 2 fails when it runs: ZeroDivisionError"),
        ("x = (\n", "mine.py line 1 fails when it runs: SyntaxError"),
        ("import sys\nsys.exit(0)", "mine.py line 2 fails when it runs: SystemExit"),
        ("BENCHMARK = 5", "mine.py: its BENCHMARK is a int, expected a savs.datasets.Benchmark"),
        (
            "from savs.datasets import find_benchmark\nBENCHMARK = find_benchmark('blink')",
            "has the name 'blink', which is taken",
        ),
        (
            with_options("{'a': {1}}"),
            "has options that JSON cannot hold",
        ),
    ],
    ids=["none", "fails", "no Python", "exits", "no benchmark", "taken", "options"],
)
def test_a_file_that_is_no_benchmark(savs, folder, code, message) -> None:
    Path("mine.py").write_text(code)
    refused(savs("extract", "mine.py", *GIVEN, "--out", "f"), message)
    assert not Path("f").exists()


@pytest.mark.thorough
def test_in_python(folder) -> None:
    names: dict[str, object] = {"__name__": "cards"}
    exec(compile(CARDS, "cards.py", "exec"), names)
    benchmark = names["BENCHMARK"]
    files = {"train": "train.jsonl", "test": "test.jsonl", "model": "demo", "limit": 8}
    assert extract(benchmark, **files, out="features").rows == 0  # the store is of the same
    store = open_store("features")
    for given in ("cards.py", Path("cards.py"), benchmark):
        assert evaluate(store, benchmark=given).metrics[0].name == "both right"


def test_a_file_of_ones_own_is_shown(savs, tmp_path) -> None:
    (tmp_path / "mine.py").write_text(
        "from savs.datasets import Benchmark, Fields, accuracy\n"
        "def parse(row):\n"
        "    yield Fields(label=row.text('y'), prompt=row.text('x'))\n"
        "BENCHMARK = Benchmark('mine', 'my own', {'x': 'text', 'y': 'class'}, parse,\n"
        "    lambda p, c: [accuracy(p, c)])\n"
    )
    shown = savs("benchmarks", tmp_path / "mine.py")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == "mine: my own\n\ncolumns\n    x  text\n    y  class\n"


@pytest.mark.thorough
def test_a_benchmark_of_an_installed_package(savs, folder, monkeypatch) -> None:
    package = Path("site")
    info = package / "cards-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cards\nVersion: 1.0\n")
    text = "\n".join(
        [
            "[savs.benchmarks]",
            "cards = cards:BENCHMARK",
            "broken = nowhere:BENCHMARK",
            "b = cards:pl",
        ]
    )
    (info / "entry_points.txt").write_text(text)
    (package / "cards.py").write_text(CARDS)
    monkeypatch.syspath_prepend(str(package.absolute()))
    listed = savs("benchmarks")
    assert listed.returncode == 0
    assert "cards: a card, a true and a false question" in listed.stdout
    assert "broken = nowhere:BENCHMARK" in listed.stderr
    assert "ModuleNotFoundError" in listed.stderr
    assert "is a module, expected a savs.datasets.Benchmark" in listed.stderr
    done = savs("evaluate", "features")
    assert done.returncode == 0, done.stderr
    assert "both right" in done.stdout
    again = savs("extract", "cards", *GIVEN, "--limit", "8", "--out", "features")
    assert again.returncode == 0, again.stderr
    refused(savs("extract", "broken", *GIVEN, "--out", "f"), "cannot be imported")
    predictions = pl.read_parquet("features/results/vote/predictions.parquet")
    assert predictions["category"].unique().to_list() == ["circle"]
    del sys.modules["cards"]
