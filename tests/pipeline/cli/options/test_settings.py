"""Variables are named like options; another name is refused, or named."""

import pytest
import typer

from savs.pipeline.cli.app import import_command
from savs.pipeline.cli.commands import COMMANDS
from savs.pipeline.cli.options.settings import require_known_variables


def told(name: str, monkeypatch, capsys, variable: str) -> str:
    """Return what is said of a variable when a command starts."""
    monkeypatch.setenv(variable, "1")
    require_known_variables(name, import_command(name).params)
    return capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_a_variable_of_no_command_is_refused(name, monkeypatch, capsys) -> None:
    command = name.replace("-", "_").upper()
    variable = f"SAVS_{command[:2]}{command[3:]}X_ZZ"
    with pytest.raises(typer.BadParameter, match=f"the variable {variable} sets no option"):
        told(name, monkeypatch, capsys, variable)


@pytest.mark.parametrize(
    ("name", "option"),
    [("extract", "SHARD_ROWS"), ("select", "SUSPECTS"), ("compare", "FORMAT"), ("explain", "ID")],
)
def test_a_variable_has_the_name_of_its_option(name, option, monkeypatch, capsys) -> None:
    variable = f"SAVS_{name.upper()}_{option}"
    assert told(name, monkeypatch, capsys, variable) == ""
    assert variable in [parameter.envvar for parameter in import_command(name).params]


def test_an_argument_has_no_variable(monkeypatch, capsys) -> None:
    with pytest.raises(typer.BadParameter, match="SAVS_SELECT_STORE sets no option"):
        told("select", monkeypatch, capsys, "SAVS_SELECT_STORE")
