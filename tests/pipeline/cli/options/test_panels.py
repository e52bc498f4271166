"""Panels of the help: every option of a long command has one, and the most used ones come first."""

import pytest

from savs.pipeline.cli.app import import_command
from savs.pipeline.cli.commands import COMMANDS
from savs.pipeline.cli.options.panels import LONGEST_LIST, MOST_USED, PANELS


def options(name: str) -> list:
    return [found for found in import_command(name).params if found.param_type_name == "option"]


LONG = [name for name in COMMANDS if len(options(name)) + 1 > LONGEST_LIST]


def test_the_long_commands_are_those_that_say_what_is_most_used():
    assert sorted(LONG) == sorted(MOST_USED)


@pytest.mark.parametrize("name", LONG)
def test_each_option_of_a_long_command_has_a_panel_and_five_come_first(name):
    found = options(name)
    first = [option.name for option in found if option.rich_help_panel is None]
    assert first == list(MOST_USED[name])
    assert len(first) == 5
    assert [option.name for option in found][:5] == first
    panels = [option.rich_help_panel for option in found[5:]]
    assert list(dict.fromkeys(panels)) == [panel for panel in PANELS if panel in panels]


def test_there_are_few_panels_and_an_option_is_in_one():
    assert list(PANELS) == ["Input", "Media", "Model", "Method", "Speed", "Output"]
    names = [name for listed in PANELS.values() for name in listed]
    assert len(set(names)) == len(names)
    assert set(names) == {option.name for name in LONG for option in options(name)}


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
