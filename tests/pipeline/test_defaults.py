"""Defaults stand in one place, and every text that shows one takes it from there."""

import inspect

import pytest

import savs
from savs.pipeline import names
from savs.pipeline.cli.app import import_command
from savs.pipeline.cli.commands import COMMANDS
from savs.pipeline.names import shows_defaults, with_defaults

MARK = "`DEFAULT_"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_values(name) -> None:
    helps = [getattr(parameter, "help", None) or "" for parameter in import_command(name).params]
    assert not [text for text in helps if MARK in text]


@pytest.mark.parametrize("name", savs.__all__)
def test_the_help_of_python_has_values(name) -> None:
    assert MARK not in (inspect.getdoc(getattr(savs, name)) or "")


def test_another_default_is_in_the_texts(monkeypatch) -> None:
    monkeypatch.setattr(names, "DEFAULT_HEADS", 12)
    assert with_defaults("the N best (default: `DEFAULT_HEADS`)") == "the N best (default: 12)"
    monkeypatch.setattr(names, "DEFAULT_HEAD_COUNTS", (1, 12, "all"))
    assert with_defaults("`DEFAULT_HEAD_COUNTS`") == "1,12,all"
    monkeypatch.setattr(names, "DEFAULT_TRIED_READOUTS", ("vote", "lda"))
    assert with_defaults("`DEFAULT_TRIED_READOUTS`") == "vote, lda"
    assert with_defaults("`DEFAULT_ELSEWHERE`") == "`DEFAULT_ELSEWHERE`"

    @shows_defaults
    def choose() -> None:
        """Choose `DEFAULT_HEADS` heads."""

    assert choose.__doc__ == "Choose 12 heads."
