"""Completion in the shell: it knows commands and options, and imports neither torch nor a stage."""

import os
import subprocess
import sys

import pytest

from savs.pipeline.cli.commands import COMMANDS


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
    assert complete("savs", "extract", "--ba") == [
        "--batch-size",
        "--batch-tokens",
        "--batch-check",
    ]
    assert complete("savs", "show", "--ba") == []


def test_a_misspelt_variable_does_not_end_completion(complete):
    found = complete("savs", "extract", "--batch-s", SAVS_EXTRACT_BATCHSIZE="8")
    assert found == ["--batch-size"]


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
    line = {"_SAVS_COMPLETE": "complete_bash", "COMP_WORDS": "savs extract --ba", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True, text=True, check=True, env=os.environ | line,
    )  # fmt: skip
    assert "--batch-size" in done.stdout
    assert not set(done.stdout.splitlines()[-1].split()) & {"torch", "numpy", "polars", "PIL"}
