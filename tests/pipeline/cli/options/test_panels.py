"""The help of a command: advanced options come last, settings of files not at all."""

import pytest

from savs.pipeline.cli.app import import_command
from savs.pipeline.cli.commands import COMMANDS
from savs.pipeline.cli.options.settings import OF_ALL_COMMANDS
from savs.pipeline.cli.options.shared import ADVANCED, FILE_ONLY

MOST = 209


def options(name: str) -> list:
    return [found for found in import_command(name).params if found.param_type_name == "option"]


def test_the_surface_is_small():
    shown = [option for name in COMMANDS for option in options(name) if not option.hidden]
    assert len(COMMANDS) <= 22
    assert len(shown) <= MOST


@pytest.mark.parametrize("name", COMMANDS)
def test_advanced_options_come_last_and_types_are_words(name, savs):
    panels = [option.rich_help_panel for option in options(name) if not option.hidden]
    assert panels == sorted(panels, key=lambda panel: panel == ADVANCED)
    assert "<" not in savs(name, "--help").stdout


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_shows_whole_names_at_usual_widths(savs, name, width):
    shown = savs(name, "--help", env={"COLUMNS": str(width)}).stdout
    assert max(map(len, shown.splitlines())) <= width
    for option in options(name):
        assert (option.opts[0] in shown.split("Examples:")[0]) is not option.hidden


@pytest.mark.parametrize("name", COMMANDS)
def test_a_setting_of_files_is_no_flag_and_the_error_says_where_it_goes(savs, name):
    for option in options(name):
        if option.rich_help_panel == FILE_ONLY:
            done = savs(name, option.opts[0], "1")
            assert done.returncode == 2
            assert option.envvar in "".join(done.stderr.split("│")).replace("\n", "")


def test_every_command_takes_the_options_of_all_commands(savs):
    for name in COMMANDS:
        assert {option.name for option in options(name)} >= set(OF_ALL_COMMANDS)
    assert all(f"--{name.replace('_', '-')}" in savs("--help").stdout for name in OF_ALL_COMMANDS)
