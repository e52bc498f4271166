"""What a command does, its Python function does, with the same words."""

import json
import shutil
from importlib import import_module
from inspect import Parameter, getdoc, signature
from typing import Any

import numpy as np
import pytest

import savs
from savs.pipeline.cli.app import import_command
from savs.pipeline.cli.commands import COMMANDS
from savs.pipeline.cli.options.signatures import parameter_texts, parameters_of
from stores import make_store


def described(name: str) -> Any:
    """Return the `Command` of a command."""
    import_command(name)
    stem = {"import": "import_"}.get(name, name)
    return import_module(f"savs.pipeline.cli.commands.{stem}").COMMAND


def function_of(name: str) -> Any:
    module, function = described(name).function.split(":")
    return getattr(import_module(module), function)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_read_of_the_source_is_what_python_has(name) -> None:
    function = function_of(name)
    real = signature(function).parameters
    for parameter, _ in parameters_of(described(name).function).values():
        assert parameter.default == real[parameter.name].default
    texts = parameter_texts(getdoc(function) or "")
    assert set(texts) >= set(parameters_of(described(name).function))


@pytest.mark.parametrize("name", COMMANDS)
def test_all_that_a_shell_may_give_the_function_takes(name) -> None:
    taken = signature(function_of(name)).parameters
    is_open = any(one.kind is Parameter.VAR_KEYWORD for one in taken.values())
    given = set(parameters_of(described(name).function))
    assert given <= set(taken)
    assert is_open or not described(name).kinds or name in ("extract", "import")


SELECT = {"heads": "2", "out": True}
CASES = {
    "select": (["select", "s", "--heads", "2"], ["s"], SELECT),
    "select with suspects": (
        ["select", "s", "--heads", "2", "--suspects", "--out", "few"],
        ["s"],
        SELECT | {"suspects": True, "out": "few"},
    ),
    "evaluate": (["evaluate", "s"], ["s"], {"out": True}),
    "evaluate folds": (["evaluate", "s", "--folds", "2"], ["s"], {"folds": 2, "out": True}),
    "evaluate lda": (["evaluate", "s", "--readout", "lda"], ["s", "lda"], {"out": True}),
    "sweep": (
        ["sweep", "s", "--heads", "1,2", "--shots", "1", "--draws", "2"],
        ["s"],
        {"heads": [1, 2], "shots": [1], "draws": 2, "out": True},
    ),
    "sweep of depths": (
        ["sweep", "s", "--max-layer", "each", "--heads", "1", "--draws", "1"],
        ["s"],
        {"max_layers": "each", "heads": [1], "draws": 1, "out": True},
    ),
    "compare": (["compare", "s/results/a", "s/results/b"], [["s/results/a", "s/results/b"]], {}),
    "report": (
        ["report", "s/results/a", "--out", "p.html", "--n", "2"],
        [["s/results/a"]],
        {"out": "p.html", "examples": 2},
    ),
    "explain": (["explain", "s/results/a", "--n", "1"], ["s/results/a"], {"n": 1}),
    "suggest": (
        ["suggest", "s", "--n", "2", "--out", "next.csv"],
        ["s"],
        {"n": 2, "out": "next.csv"},
    ),
    "label": (["label", "s", "labels.csv"], ["s", "labels.csv"], {}),
    "label back": (
        ["label", "s", "labels.csv", "--take-back"],
        ["s", "labels.csv"],
        {"take_back": True},
    ),
    "export": (
        ["export", "s/results/a", "--to", "parquet", "--out", "x.parquet"],
        ["s"],
        {"to": "parquet", "selection": "a", "out": "x.parquet"},
    ),
    "export store": (
        ["export", "s/results/a", "--to", "store", "--out", "small"],
        ["s"],
        {"to": "store", "selection": "a", "out": "small"},
    ),
    "merge": (["merge", "s", "t", "--out", "all"], [["s", "t"], "all"], {}),
    "verify": (["verify", "s", "--quick"], ["s"], {"quick": True}),
    "query": (
        ["query", "s", "SELECT id, label FROM examples"],
        ["s", "SELECT id, label FROM examples"],
        {},
    ),
    "import": (
        ["import", "f.npy", "--labels", "f.csv", "--out", "own"],
        ["f.npy", "f.csv"],
        {"out": "own"},
    ),
    "show": (["show", "s"], ["s"], {}),
    "show heads": (["show", "s/results/a", "--head-map"], ["s"],
                   {"head_map": True, "selection": "a"}),
    "benchmarks": (["benchmarks", "naturalbench"], ["naturalbench"], {}),
    "models": (["models"], [], {}),
    "train": (["train", "s"], ["s"], {}),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder with two stores, two results of one, features and labels."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(5)
    labels = list("abab" * 3)
    for name in ("s", "t"):
        values = rng.normal(size=(6, 12, 4)).astype(np.float32)
        values[:, 0::2, 0] += 2
        rows = [{"id": f"{name}{n}"} for n in range(12)]
        more = {"train_rows": rows, "test_rows": [{"id": f"{name}x{n}"} for n in range(12)]}
        make_store(folder / name, values, labels, values + 0.1, labels, **more)
    for name, readout in (("a", "vote"), ("b", "lda")):
        result = savs.evaluate(folder / "s", savs.select(folder / "s", heads=2, readout=readout))
        savs.save_evaluation(result, folder / "s/results" / name)
    np.save(folder / "f.npy", rng.normal(size=(12, 3, 4)).astype(np.float32))
    lines = [f"{label},{'train' if n < 8 else 'test'}" for n, label in enumerate(labels)]
    (folder / "f.csv").write_text("\n".join(["label,split", *lines]))
    (folder / "labels.csv").write_text("id,label\nsx0,b\nsx1,\n")
    return folder


@pytest.mark.parametrize("case", CASES)
def test_a_command_and_its_function_give_the_same(case, made, savs, tmp_path, monkeypatch) -> None:
    command, positional, keywords = CASES[case]
    found = []
    for runs in ("command", "function"):
        work = tmp_path / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(made, work)
        monkeypatch.chdir(work)
        if runs == "command":
            done = savs(*command, "--json")
            assert done.returncode == 0, done.stderr
            found.append(json.loads(done.stdout))
            monkeypatch.chdir(work)
            continue
        name = command[0]
        result = function_of(name)(*positional, **keywords)
        defaults = {n: p.default for n, (p, _) in parameters_of(described(name).function).items()}
        own = {n: one.default for n, one in described(name).own.items()}
        names = [n for n, p in signature(function_of(name)).parameters.items()
                 if p.kind is Parameter.POSITIONAL_OR_KEYWORD]  # fmt: skip
        named = dict(zip(names, positional, strict=False))
        given = defaults | own | {"json": True, "max_skip": 0} | named | keywords
        shown = described(name).show(result, given)
        found.append(json.loads(json.dumps(shown.facts, default=str)))
    assert found[0] == found[1]
