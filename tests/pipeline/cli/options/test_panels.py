"""Panels of the help: every option of a long command has one, and the most used ones come first."""

from typing import get_args

import pytest

from savs.pipeline.cli.app import import_command
from savs.pipeline.cli.commands import COMMANDS
from savs.pipeline.cli.options.panels import LONGEST_LIST, MOST_USED, PANELS
from savs.pipeline.running.options import Panel


def options(name: str) -> list:
    return [found for found in import_command(name).params if found.param_type_name == "option"]


LONG = [name for name in COMMANDS if len(options(name)) + 1 > LONGEST_LIST]


def test_the_long_commands_are_those_that_say_what_is_most_used():
    assert sorted(LONG) == sorted(MOST_USED)


@pytest.mark.parametrize("name", LONG)
def test_five_options_come_first_and_the_others_have_panels_in_their_order(name):
    first, rest = options(name)[:5], options(name)[5:]
    assert [option.name for option in first] == list(MOST_USED[name])
    assert {option.rich_help_panel for option in first} == {None}
    panels = list(dict.fromkeys(option.rich_help_panel for option in rest))
    assert panels == [panel for panel in get_args(Panel) if panel in panels]


def test_no_name_has_a_panel_in_vain_or_two():
    names = [name for listed in PANELS.values() for name in listed]
    assert len(set(names)) == len(names)
    assert set(names) <= {option.name for name in LONG for option in options(name)}


def test_short_commands_keep_one_list_as_it_was_written():
    found = options("compare")
    assert [option.name for option in found] == ["metric", "out", "form", "json", "config"]
    assert {option.rich_help_panel for option in found} == {None}


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", LONG)
def test_the_help_shows_whole_names_at_usual_widths(savs, name, width):
    shown = savs(name, "--help", env={"COLUMNS": str(width)}).stdout
    assert max(map(len, shown.splitlines())) <= width
    for option in options(name):
        assert option.opts[0] in shown
