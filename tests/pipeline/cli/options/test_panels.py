"""The help of a command: few options, more by `--help-all`."""

import pytest
from count_options import options_by_command

from savs.pipeline.cli.app import import_command
from savs.pipeline.cli.commands import COMMANDS
from savs.pipeline.cli.options.settings import OF_ALL_COMMANDS
from savs.pipeline.cli.options.shared import MORE
from savs.pipeline.readouts.catalogue import READOUTS, TEXT_READOUTS

MOST, MOST_OF_ONE = 125, 34
MOST_IN_ALL = 171
"""With those of `--help-all`."""
MOST_COMMANDS = 23
"""A new one is worth it if no other command can do what it does."""


def options(name: str) -> list:
    return [found for found in import_command(name).params if found.param_type_name == "option"]


def test_the_surface_is_small():
    found = options_by_command()
    shown = {n: [one for one in of if one.rich_help_panel != MORE] for n, of in found.items()}
    assert len(COMMANDS) <= MOST_COMMANDS
    assert sum(map(len, shown.values())) + len(OF_ALL_COMMANDS) <= MOST
    assert max(map(len, found.values())) <= MOST_OF_ONE
    assert sum(map(len, found.values())) + len(OF_ALL_COMMANDS) <= MOST_IN_ALL


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_shows_whole_names_at_usual_widths_and_words_as_types(savs, name):
    everything = savs(name, "--help-all", env={"COLUMNS": "120"}).stdout
    assert "<" not in everything
    for width in (80, 120):
        shown = savs(name, "--help", env={"COLUMNS": str(width)}).stdout
        assert max(map(len, shown.splitlines())) <= width
        for option in options(name):
            if option.name not in OF_ALL_COMMANDS:
                assert option.opts[0] in everything.split("Examples:")[0]
                is_main = option.rich_help_panel != MORE
                assert (f"{option.opts[0]} " in shown.split("Examples:")[0]) is is_main


def test_every_command_takes_the_options_of_all_commands(savs):
    for name in COMMANDS:
        assert {option.name for option in options(name)} >= set(OF_ALL_COMMANDS)
    common = [name for name in OF_ALL_COMMANDS if name != "help_all"]
    assert all(f"--{name.replace('_', '-')}" in savs("--help").stdout for name in common)


def test_the_help_names_every_readout() -> None:
    (readout,) = [option for option in options("select") if option.name == "readout"]
    listed, _, _ = readout.help.partition("; or a Python file")
    names = listed.replace("Rule fitted on the heads: ", "").replace("by the classes' names ", "")
    assert names.replace(";", ",").split(", ") == [*READOUTS, *TEXT_READOUTS]
