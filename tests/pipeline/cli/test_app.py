"""The group of commands: names, summaries, help, completion, and what happens with a wrong name."""

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from savs.pipeline.cli.commands import COMMANDS, STAGES
from savs.pipeline.inputs import chosen_benchmark
from savs.stores.read import shards
from stores import make_store


def words(text: str) -> str:
    """Return a text without the frames that the terminal shows."""
    return " ".join("".join(c for c in text if c not in "│╭╮╰╯─").split())


def test_help_names_every_command_with_its_summary_stage_by_stage(savs):
    shown = savs("--help")
    assert shown.returncode == 0
    listed = words(shown.stdout).partition("Print the details of a run. ")[2]
    expected = [
        f"{stage} {' '.join(f'{name} {text}' for name, text in commands.items())}"
        for stage, commands in STAGES.items()
    ]
    assert listed == " ".join(expected)


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_begins_with_its_summary(savs, name, flag):
    shown = savs(name, flag)
    assert shown.returncode == 0
    usage, _, text = words(shown.stdout).partition("[OPTIONS]")
    assert usage == f"Usage: savs {name} "
    assert COMMANDS[name] in text.split("Options")[0]


def test_without_arguments_the_help_is_shown_and_the_exit_code_is_2(savs):
    done = savs()
    assert done.returncode == 2
    assert all(name in done.stdout + done.stderr for name in COMMANDS)


def test_a_mistyped_command_is_a_usage_error_with_the_nearest_name(savs):
    done = savs("evalute", "store")
    assert done.returncode == 2
    assert "No such command 'evalute'. Did you mean 'evaluate'?" in words(done.stderr)


def test_without_memory_an_error_is_one_line(savs, monkeypatch):
    def fail(*_args, **_more):
        raise MemoryError

    monkeypatch.setattr("savs.pipeline.evaluation.overview.as_store", fail)
    done = savs("show", "store")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no memory is left; give less at a time")
    assert done.stderr.count("\n") == 1


def test_an_error_of_the_program_keeps_its_traceback(savs, monkeypatch):
    def fail(*_args, **_more):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("savs.pipeline.evaluation.overview.as_store", fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        savs("show", "store")


@pytest.fixture
def complete(savs):
    """Return what bash would be offered for the last of some words."""

    def complete(*words: str, **variables: str) -> list[str]:
        line = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        done = savs(env={"_SAVS_COMPLETE": "complete_bash"} | line | variables)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return complete


def test_commands_are_completed(complete):
    assert complete("savs", "") == list(COMMANDS)
    assert complete("savs", "ex") == [name for name in COMMANDS if name.startswith("ex")]


def test_options_of_the_command_are_completed(complete):
    assert complete("savs", "extract", "--med") == ["--media-root"]
    assert complete("savs", "show", "--med") == []


def test_a_misspelt_variable_does_not_end_completion(complete):
    found = complete("savs", "extract", "--media-r", SAVS_EXTRACT_BATCHSIZE="8")
    assert found == ["--media-root"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(savs, shell):
    shown = savs(
        "--show-completion", shell, env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    )
    assert shown.returncode == 0
    assert f"_SAVS_COMPLETE=complete_{shell}" in shown.stdout


def test_completion_imports_nothing_heavy():
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('\\n', *sys.modules))\n"
        "from savs.pipeline.cli.main import main\n"
        "sys.argv = ['savs']\n"
        "main()"
    )
    line = {
        "_SAVS_COMPLETE": "complete_bash",
        "COMP_WORDS": "savs extract --med",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True, text=True, check=True, env=os.environ | line,
    )  # fmt: skip
    assert "--media-root" in done.stdout
    assert not set(done.stdout.splitlines()[-1].split()) & {"torch", "numpy", "polars", "PIL"}


@pytest.mark.parametrize(("module", "is_quick"), [("wave", True), ("triton", False)])
def test_objects_of_triton_are_collected_at_the_end(module, is_quick):
    code = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print(gc.get_freeze_count()))\n"
        "from savs.pipeline.cli.main import main\n"
        f"sys.modules[{module!r}] = sys\n"
        "sys.argv = ['savs', '--version']\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert (int(done.stdout.split()[-1]) > 0) == is_quick


@pytest.fixture
def calls(monkeypatch):
    """Count what is called."""
    found = Counter()

    def count(owner, name):
        before = getattr(owner, name)

        def counted(*given, **more):
            found[name] += 1
            return before(*given, **more)

        monkeypatch.setattr(owner, name, counted)

    for owner, name in (
        (shards, "shard_sizes"),
        (chosen_benchmark, "find_benchmark"),
        (chosen_benchmark, "adapt"),
    ):
        count(owner, name)
    return found


@pytest.mark.parametrize(
    ("more", "benchmarks"),
    [
        ((), 1),
        (("--readout", "zero-shot"), 1),
        (("--folds", "5"), 0),
    ],
    ids=["vote", "zero-shot", "cross-validation"],
)
def test_evaluate(savs, tmp_path, calls, more, benchmarks):
    features = np.random.default_rng(0).normal(size=(21, 4, 3)).astype(np.float32)
    make_store(tmp_path / "s", features, list("abab"), features, list("abab"))
    done = savs("evaluate", tmp_path / "s", *more)
    assert "Traceback" not in done.stderr
    assert calls["shard_sizes"] == 1  # however often it is asked whether the store is complete
    assert calls["find_benchmark"] == benchmarks


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["extract", "dry run"])
def test_extract(savs, inputs, tmp_path, calls, more):
    train, test = inputs.few_shots()
    files = ("--train", train, "--test", test, "--out", tmp_path / "s")
    done = savs("extract", "general", *files, "--model", "no/such", *more)
    assert "model 'no/such' cannot be loaded" in done.stderr
    assert (calls["find_benchmark"], calls["adapt"]) == (1, 1)
