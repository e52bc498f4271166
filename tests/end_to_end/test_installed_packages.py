"""Installed packages add to every group by entry points; broken ones break nothing else."""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from savs.pipeline.doctor import _additions
from stores import make_store

pytestmark = pytest.mark.thorough

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "own-readout.md").read_text("utf-8")
(READOUT,) = re.findall(r"```python\n(# mine.py.*?)```", PAGE, re.DOTALL)
(PROJECT,) = re.findall(r"```toml\n(\[project\].*?)```", PAGE, re.DOTALL)
ADDED = {
    "savs.readouts": "ranked",
    "savs.scorings": "apart",
    "savs.targets": "mine",
    "savs.benchmarks": "cards",
    "savs.models": "blocks",
    "savs.engines": "here",
    "savs.exporters": "lines",
}
MODULE = READOUT + textwrap.dedent(
    '''
    import os
    from dataclasses import replace

    from savs.datasets.benchmarks.general import GENERAL
    from savs.pipeline.extraction.model.hook_points import HookPoint
    from savs.pipeline.heads.scoring import HeadScores, Scoring
    from savs.pipeline.targets.one import OneClass
    from savs.stores import LayerGrid


    def score(features, labels, classes):
        """Score a head by how far apart the means of two classes are."""
        means = [features[:, labels == number].mean(axis=1) for number in range(2)]
        apart = np.linalg.norm(means[0] - means[1], axis=1)
        return HeadScores(apart, apart)


    class Mine(OneClass):
        name = "mine"
        noun = "a label of mine"


    SCORING = Scoring(name="apart", score=score)
    TARGET = Mine()
    BENCHMARK = replace(GENERAL, name="cards", summary="cards", aliases=())


    def find_heads(model):
        block = model.get_decoder().layers[-1].mlp.down_proj
        return [HookPoint(LayerGrid(layer=0, heads=(0, 1), head_dim=block.in_features // 2), block)]


    def run(command, arguments, say, tick):
        say(f"run by mine: {arguments}")
        tick()
        os.environ.update(RANK="0", WORLD_SIZE="1")
        return [command(arguments)]


    def write(rows, heads, path):
        rows.select("id", *heads).collect().write_ndjson(path)
    '''
)
BROKEN = """
[project]
name = "savs-broken"
version = "2.0"

[project.entry-points."savs.readouts"]
vote = "savs_mine:READOUT"
absent = "savs_mine:NOTHING"
other-name = "savs_mine:READOUT"

[project.entry-points."savs.scorings"]
ends = "savs_broken:SCORING"
wrong-kind = "savs_mine:READOUT"

[project.entry-points."savs.engines"]
here = "savs_mine:run"
"""
WHY = {
    "vote": "has the name of a built-in one",
    "absent": "cannot be imported (AttributeError",
    "other-name": "is called 'ranked', expected the name of the entry point",
    "ends": "cannot be imported (SystemExit: I end)",
    "wrong-kind": "is a Readout, expected a savs.pipeline.heads.scoring.Scoring",
    "here": "is in several packages (savs-broken 2.0, savs-mine 1.0)",
}
"""Entry point -> part of the reason that `savs doctor` gives."""


def install(folder: Path, into: Path, project: str, **modules: str) -> None:
    """Install a package of some modules into a folder."""
    folder.mkdir()
    names = json.dumps(list(modules))
    build = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    (folder / "pyproject.toml").write_text(
        f"{build}{project}\n[tool.setuptools]\npy-modules = {names}\n"
    )
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", into)
    pip = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *options, folder)
    done = subprocess.run([*map(str, pip)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> Path:
    """Return a folder with the package of the page, installed."""
    folder = tmp_path_factory.mktemp("package")
    install(folder / "source", folder / "site", PROJECT, savs_mine=MODULE)
    return folder / "site"


@pytest.fixture
def with_package(savs, packages, monkeypatch):
    """Run `savs` where the package is installed."""

    def run(*words):
        with monkeypatch.context() as patched:
            patched.syspath_prepend(packages)
            done = savs(*words)
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def store(tmp_path) -> Path:
    labels = ["a", "b"] * 8
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 2, 8))[:, [0, 1] * 8]
    train, test = ((centres + rng.normal(size=(4, 16, 8))).astype("f4") for _ in range(2))
    make_store(tmp_path / "features", train, labels, test, labels)
    return tmp_path / "features"


def test_the_page_names_one_of_each_group() -> None:
    assert [additions.group for additions in _additions()] == list(ADDED)
    for group, name in ADDED.items():
        assert re.search(rf'"{re.escape(group)}"\]\n{name} = "', PROJECT), group


def test_readout_scoring_target_and_exporter_of_a_package(
    savs, with_package, store, tmp_path
) -> None:
    select = ("select", store, "--readout", "ranked", "--scoring", "apart", "--target", "mine")
    chosen = json.loads(with_package(*select, "--heads", "3", "--json").stdout)
    assert chosen["readout"] == "ranked"
    folder = store / "results" / "ranked"
    config = json.loads((folder / "config.json").read_text())
    package = {"name": "savs-mine", "version": "1.0"}
    recorded = [config[f"{kind}_package"] for kind in ("readout", "scoring", "target")]
    assert (recorded, config["labels"]) == ([package] * 3, "mine")
    measured = json.loads(with_package("evaluate", store, "--selection", folder, "--json").stdout)
    assert measured["readout"] == "ranked"
    with_package("export", store, "--to", "lines", "--heads", "all", "--out", tmp_path / "x.lines")
    assert pl.read_ndjson(tmp_path / "x.lines").shape == (32, 5)

    gone = savs("evaluate", store, "--selection", folder)  # the package is not installed
    assert gone.returncode == 1
    (line,) = gone.stderr.splitlines()
    assert "needs the package savs-mine 1.0, which is not installed; install it" in line
    unknown = savs("export", store, "--to", "lines", "--out", tmp_path / "y.lines")
    assert unknown.returncode != 0


def test_benchmark_model_and_engine_of_a_package(with_package, inputs, tmp_path) -> None:
    rows = [
        {"image": inputs.image(f"{n}.png", n), "question": "Which?", "label": "ab"[n % 2]}
        for n in range(4)
    ]
    out = tmp_path / "store"
    done = with_package(
        *("extract", "cards", "--train", inputs.rows("rows.jsonl", rows), "--model", "demo"),
        *("--recipe", "blocks", "--engine", "here,workers=0", "--out", out),
    )
    assert "run by mine" in done.stderr
    assert "'--engine', 'local,workers=0'" in done.stderr
    shown = json.loads(with_package("show", out, "--json").stdout)
    assert shown["benchmark"]["name"] == "cards"
    listed = json.loads(with_package("benchmarks", "--json").stdout)
    assert "cards" in [benchmark["name"] for benchmark in listed]


def test_doctor_lists_what_packages_add_and_what_fails(
    packages, savs, store, tmp_path, monkeypatch
) -> None:
    install(
        *(tmp_path / "broken", tmp_path / "site", BROKEN),
        savs_broken='import sys\n\nsys.exit("I end")\n',
    )
    monkeypatch.syspath_prepend(packages)
    monkeypatch.syspath_prepend(tmp_path / "site")
    done = savs("doctor", "--json")
    facts = json.loads(done.stdout)
    for group, name in ADDED.items():
        expected = None if name in WHY else {name: "by savs-mine 1.0"}
        assert facts.get(f"added {group}") == expected, group
    for name, why in WHY.items():
        (problem,) = [p for p in facts["problems"] if f" {name} = " in p or f"{name!r} of" in p]
        assert why in problem
        assert "\n" not in problem
    assert done.returncode == 1
    one = savs("select", store, "--readout", "vote", "--no-estimate")  # the built-in one
    assert one.returncode == 0, one.stderr
    for name in ("absent", "other-name"):
        refused = savs("select", store, "--readout", name)
        assert refused.returncode == 1
        (line,) = refused.stderr.splitlines()
        assert WHY[name] in line


def test_no_package_is_imported_for_the_help(packages, tmp_path, monkeypatch, savs) -> None:
    install(
        *(tmp_path / "broken", tmp_path / "site", BROKEN),
        savs_broken="from pathlib import Path\n\nPath(__file__).with_name('ran').touch()\n",
    )
    monkeypatch.syspath_prepend(packages)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert savs("--help").returncode == savs("select", "--help").returncode == 0
    assert not (tmp_path / "site" / "ran").exists()
