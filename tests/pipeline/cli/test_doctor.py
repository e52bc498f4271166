"""`savs doctor` tells what a bug report needs, and nothing that is secret."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
from typer.testing import CliRunner

import savs
from savs.pipeline import doctor
from savs.pipeline.cli.app import app
from savs.pipeline.doctor import (
    describe_variables,
    diagnose,
    package_facts,
    without_home,
)

SECRETS = {
    "HF_TOKEN": "hf_secret",
    "HTTPS_PROXY": "http://me:secret@proxy:3128",
    "HF_ENDPOINT": "https://me:secret@mirror.example",
    "SAVS_EXTRACT_HUB_TOKEN": "secret",
}


@pytest.fixture
def quick(monkeypatch) -> None:
    """Test one readout alone: all of them take seconds."""
    monkeypatch.setattr("savs.pipeline.readouts.READOUTS", ("vote",))


def test_nothing_is_wrong_here_and_no_secret_is_told(quick, monkeypatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    for options in ([], ["--json"]):
        done = CliRunner().invoke(app, ["doctor", *options])
        assert done.exit_code == 0, done.output
        assert "secret" not in done.output
        assert str(Path.home()) not in done.output
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert found["variables"]["HF_ENDPOINT"] == "mirror.example"
    assert found["variables"]["HF_TOKEN"] == "set"
    assert found["decoders"]["JPEG"] == "yes"
    assert found["packages"]["numpy"] == numpy.__version__
    assert found["self-test"].startswith("passed in ")
    assert {*found["packages"], *found["extra extract"], *found["extra ray"]} >= {
        *("numpy", "torch", "ray")
    }


def test_what_is_broken_is_named_and_exits_with_1(monkeypatch, tmp_path) -> None:
    def broken(_, selection):
        if selection.readout == "vote":
            raise RuntimeError("no BLAS")
        return SimpleNamespace(metrics=[SimpleNamespace(value=0.5)])

    (tmp_path / "hub").mkdir()
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "is_writable", lambda _: False)
    asked = ["savs-gone>=1", 'savs-far; extra == "ray"']
    monkeypatch.setattr("importlib.metadata.requires", lambda _: asked)
    monkeypatch.setattr("savs.pipeline.readouts.READOUTS", ("vote", "lda"))
    monkeypatch.setattr(savs, "evaluate", broken)
    monkeypatch.setattr("PIL.features.check", lambda part: part != "avif")
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "problem: AVIF images cannot be decoded" in done.output
    assert "problem: readout vote fails: RuntimeError('no BLAS')" in done.output
    assert "problem: readout lda is right in 50% of a test of all right" in done.output
    assert "2 failures in" in done.output
    assert "problem: savs-gone is not installed, expected >=1" in done.output
    assert "savs-far not installed" in " ".join(done.output.split())
    for folder in ("temporary", "hub cache"):
        assert f"the folder of {folder} files" in " ".join(done.output.split())
    assert "the folder of here files" not in done.output
    elsewhere = doctor._folders({"HF_HOME": "/gone", "HF_HUB_CACHE": str(tmp_path)})
    assert elsewhere["hub cache"] == tmp_path
    assert "hub cache" not in doctor._folders({"HF_HOME": "/gone"})


def test_devices_are_named_with_what_they_are_programmed_by(monkeypatch) -> None:
    gpus = [{"name": "H100", "bytes": 80e9}]
    known = {"gpus": gpus, "cuda": "12.8", "mps": False, "threads": 2}
    monkeypatch.setattr("savs.pipeline.extraction.model.devices.describe_devices", lambda: known)
    assert doctor._devices() == "H100 (80 GB), CUDA 12.8, CPU with 2 threads"
    monkeypatch.setitem(known, "gpus", [])
    monkeypatch.setitem(known, "mps", True)
    known.pop("cuda")
    assert doctor._devices() == "MPS, CPU with 2 threads"


@pytest.mark.thorough
def test_every_built_in_readout_is_tested_and_right() -> None:
    assert diagnose({})[1] == []


@pytest.mark.parametrize(
    ("version", "extra", "problem"),
    [
        ("2.1", None, None),
        ("1.0", None, "numpy is 1.0, expected >=2.0"),
        ("1.0", "extract", "numpy is 1.0, expected >=2.0"),
        (None, None, "numpy is not installed, expected >=2.0"),
        (None, "extract", None),
    ],
)
def test_a_package_that_is_too_old_is_a_problem(version, extra, problem) -> None:
    text = "numpy>=2.0" + (f'; extra == "{extra}"' if extra else "")
    assert package_facts(text, version) == ("numpy", extra, problem)


def test_paths_do_not_tell_the_user() -> None:
    assert without_home(Path.home() / "runs") == "~/runs"
    assert without_home(Path("/data")) == "/data"
    assert describe_variables({"PATH": "/secret"}) == {}


def test_variables_are_shown_where_they_can_hold_no_secret() -> None:
    environ = {
        "SAVS_EXTRACT_MODEL": "m",
        "OMP_NUM_THREADS": "2",
        "https_proxy": "p",
        "HF_TOKEN": "",
    }
    found = describe_variables(environ)
    assert list(found.items()) == [
        *(("OMP_NUM_THREADS", "2"), ("SAVS_EXTRACT_MODEL", "set"), ("https_proxy", "set")),
    ]
