"""A file that a selection names is never run, whatever command reads the selection."""

import json

import pytest
from saved_selections import config_of, two_task_store

from savs.pipeline.running.result_files import CLASSIFIER, CONFIG
from savs.stores.format.layout import digest

pytestmark = pytest.mark.thorough

MARK = "from pathlib import Path\nPath({mark!r}).touch()\nREADOUT = None\n"
HEAD = ("format", "savs", "run", "sha256")
COMMANDS = {
    "evaluate": ("evaluate", "store"),
    "evaluate --selection": ("evaluate", "store", "--selection", "store/results/vote"),
    "evaluate --cv": ("evaluate", "store", "--cv"),
    "query": ("query", "store", "SELECT count(*) FROM votes"),
    "export": ("export", "store", "--out", "out.parquet"),
    "slim": ("slim", "store", "--out", "slim"),
    "select --heads-from": ("select", "store", "--heads-from", "store/results/vote"),
}


@pytest.fixture
def plant(savs, tmp_path, monkeypatch):
    """Return a function that makes a saved selection name a readout or its file."""
    monkeypatch.chdir(tmp_path)
    two_task_store(tmp_path / "store")
    assert savs("select", "store", "--heads", "2").returncode == 0
    (tmp_path / "x.py").write_text(MARK.format(mark=str(tmp_path / "mark")))
    folder = tmp_path / "store/results/vote"

    def write(**fields) -> None:
        value = config_of(folder) | fields
        run = digest({name: item for name, item in value.items() if name not in HEAD})
        old = value["run"].encode()
        content = (folder / CLASSIFIER).read_bytes().replace(old, run.encode())
        (folder / CLASSIFIER).write_bytes(content)
        (folder / CONFIG).write_text(json.dumps(value | {"run": run}))

    return write


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("name", ["x.py", "./x.py", "../x.py"])
def test_a_readout_that_is_a_path_is_refused(savs, plant, tmp_path, command, name) -> None:
    plant(readout=name)
    done = savs(*command)
    assert done.returncode == 1, done.stdout
    assert "config.json is not a selection of this release: Expected `str` matching" in done.stderr
    assert not (tmp_path / "mark").exists()
    assert not (tmp_path / "slim").exists()


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_users_readout_is_not_run_for_the_heads(savs, plant, tmp_path, command) -> None:
    plant(readout="mine", readout_file={"name": "x.py", "sha256": "0" * 64})
    done = savs(*command)
    if command[0] == "evaluate":
        assert done.returncode == 1
        assert "got 'mine' of x.py" in done.stderr
        assert "--readout FILE.py" in done.stderr
    else:  # the heads can be read without it
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "mark").exists()
