import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from held import SIZE, Hold
from rounding import check_same_features

from savs.pipeline import open_store
from savs.pipeline.cli import main as start
from savs.pipeline.running import signals

MOMENTS = {
    "while it imports": ("builtins.__import__", "savs.pipeline.cli.app"),
    "while a command is imported": (
        "savs.pipeline.cli.app.import_module",
        "savs.pipeline.cli.commands.evaluate",
    ),
    "while a command imports": ("builtins.__import__", "savs.pipeline.evaluation.captions"),
}
"""When Ctrl-C comes -> what imports, and the module that it imports then."""


@pytest.mark.parametrize(("place", "module"), MOMENTS.values(), ids=MOMENTS.keys())
def test_an_interruption_is_one_line(monkeypatch, capsys, place, module) -> None:
    monkeypatch.setattr(signals, "_explained", True)  # by an earlier command of this process
    before = import_module if place.endswith("import_module") else __import__
    monkeypatch.setattr(place, interrupted(before, module))
    monkeypatch.setattr(sys, "argv", ["savs", "evaluate", "nowhere"])
    with pytest.raises(SystemExit) as end:
        start.main()
    monkeypatch.undo()
    assert end.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def interrupted(before: Callable[..., Any], module: str) -> Callable[..., Any]:
    def find(name: str, *others: Any) -> Any:
        if name == module:
            raise KeyboardInterrupt
        return before(name, *others)

    return find


@pytest.mark.thorough
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_an_interrupted_extraction_says_how_to_go_on_and_resumes(savs, inputs, tmp_path, how):
    train, test = inputs.few_shots(train=16, test=32)
    inputs.image("images/train10.png", 10, SIZE)
    hold, out = Hold(tmp_path), tmp_path / "store"
    arguments = [
        *("extract", "general", "--model", "demo", "--train", train, "--test", test),
        *("--shard-rows", "2", "--batch-size", "1", "--model-code", hold.code),
    ]
    process = subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "savs.pipeline.cli.app"),
            *map(str, (*arguments, "--out", out)),
        ],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    give_up = time.monotonic() + 600
    while len(list(out.glob("*.h5"))) < 2 and time.monotonic() < give_up:
        time.sleep(0.01)
    process.send_signal(how)
    hold.let_go()
    _, messages = process.communicate(timeout=600)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    assert "run the same command again to go on" in messages
    done = {path.name for path in out.glob("*.h5")}
    assert 2 <= len(done) < 24
    assert not list(out.glob("*.partial"))
    assert not (out / "claims").exists()

    assert savs(*arguments, "--out", out).returncode == 0
    if how == signal.SIGTERM:  # `test_crash.py` compares what it leaves
        assert open_store(out).manifest.sealed
        return
    assert savs(*arguments, "--out", tmp_path / "whole").returncode == 0
    check_same_features(open_store(out), open_store(tmp_path / "whole"))
