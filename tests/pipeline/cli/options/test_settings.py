"""Variables are named like options; another name is refused, or named."""

import json

import pytest
import typer
from saved_selections import two_task_store

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
    [("extract", "ENGINE"), ("select", "SUSPECTS"), ("compare", "FORMAT"), ("explain", "ID")],
)
def test_a_variable_has_the_name_of_its_option(name, option, monkeypatch, capsys) -> None:
    variable = f"SAVS_{name.upper()}_{option}"
    assert told(name, monkeypatch, capsys, variable) == ""
    assert variable in [parameter.envvar for parameter in import_command(name).params]


def test_an_argument_has_no_variable(monkeypatch, capsys) -> None:
    with pytest.raises(typer.BadParameter, match="SAVS_SELECT_STORE sets no option"):
        told("select", monkeypatch, capsys, "SAVS_SELECT_STORE")


def test_a_file_of_options_adds_to_those_before_the_command(savs, tmp_path) -> None:
    (tmp_path / "c.toml").write_text('[benchmarks]\nname = "blink"\n')
    for words in (("--json", "--config", "c.toml", "benchmarks"),
                  ("--json", "benchmarks", "--config", "c.toml")):  # fmt: skip
        assert json.loads(savs(*words).stdout)["name"] == "blink"


MANY = "1" * 5000
EXTRACT = ("extract", "image-folder", "--train", "photos", "--model", "demo", "--out", "new")


@pytest.mark.parametrize("value", [MANY, "0x" + "f" * 5000, "[0x" + "f" * 5000 + "]"])
def test_an_integer_of_thousands_of_digits_in_a_file_is_a_usage_error(
    savs, tmp_path, value
) -> None:
    (tmp_path / "c.toml").write_text(f"[select]\nheads = {value}\n")
    ran = savs("select", "s", "--config", "c.toml")
    assert ran.returncode == 2
    assert "--config" in ran.stderr
    assert "sys." not in ran.stderr


@pytest.mark.parametrize(
    "option",
    [
        ("select", "s", "--heads", MANY),
        ("sweep", "s", "--heads", MANY),
        ("sweep", "s", "--shots", MANY),
        (*EXTRACT, "--engine", f"local,workers={MANY}"),
        (*EXTRACT, "--gpus", MANY),
        (*EXTRACT, "--gpus", "9" * 18),
    ],
    ids=lambda option: f"{option[0]} {option[-2]} of {len(option[-1])}",
)
def test_a_number_of_thousands_of_digits_is_refused_as_any_other_text(
    savs, tmp_path, option
) -> None:
    two_task_store(tmp_path / "s")
    (tmp_path / "photos").mkdir()
    ran = savs(*option)
    assert ran.returncode in (1, 2), ran.stderr
    assert option[-1][:15] in ran.stderr
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr) < 1500


@pytest.mark.parametrize(
    "option",
    [("--max-layer", "٣"), ("--heads", "٣"), ("--precision", "٠.٥"), ("--heads", "L٠.H٠")],  # noqa: RUF001
    ids=str,
)
def test_digits_of_other_scripts_are_no_number(savs, tmp_path, option) -> None:
    two_task_store(tmp_path / "s")
    ran = savs("select", "s", *option)
    assert ran.returncode in (1, 2), ran.stderr
    assert option[1] in ran.stderr
    assert "Traceback" not in ran.stderr
