"""The group of commands: names, summaries, help, and what happens with a wrong name."""

import pytest

from savs.pipeline.cli.commands import COMMANDS, STAGES


def words(text: str) -> str:
    """Return a text without the frames that the terminal shows."""
    return " ".join("".join(c for c in text if c not in "│╭╮╰╯─").split())


def test_help_names_every_command_with_its_summary_stage_by_stage(savs):
    shown = savs("--help")
    assert shown.returncode == 0
    listed = words(shown.stdout).partition("Show this message and exit. ")[2]
    expected = [
        f"{stage} {' '.join(f'{name} {text}' for name, text in commands.items())}"
        for stage, commands in STAGES.items()
    ]
    assert listed == " ".join(expected)


def test_no_stage_is_long():
    assert max(map(len, STAGES.values())) <= 6
    assert sum(map(len, STAGES.values())) == len(COMMANDS)  # no command stands in two


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


def test_an_error_of_the_program_keeps_its_traceback(savs, monkeypatch):
    def fail(*_args, **_more):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("savs.pipeline.open_store", fail, raising=False)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        savs("show", "store")
