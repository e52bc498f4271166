import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from savs.pipeline.cli import main as start
from savs.pipeline.cli.app import LEFT_BEHIND
from savs.pipeline.running import signals

MOMENTS = {
    "while it imports": ("builtins.__import__", "savs.pipeline.cli.app", ""),
    "while a command is imported": (
        "savs.pipeline.cli.app.import_module",
        "savs.pipeline.cli.commands.evaluate",
        f": {LEFT_BEHIND}",
    ),
    "while a command imports": (
        "savs.pipeline.cli.command.import_module",
        "savs.pipeline.evaluation.stage_two",
        f": {LEFT_BEHIND}",
    ),
}
"""When Ctrl-C comes -> what imports, the module that it imports then, and what is said."""


@pytest.mark.parametrize(("place", "module", "more"), MOMENTS.values(), ids=MOMENTS.keys())
def test_an_interruption_is_one_line(monkeypatch, capsys, place, module, more) -> None:
    monkeypatch.setattr(signals, "_explained", True)  # by an earlier command of this process
    before = import_module if place.endswith("import_module") else __import__
    monkeypatch.setattr(place, interrupted(before, module))
    monkeypatch.setattr(sys, "argv", ["savs", "evaluate", "nowhere"])
    with pytest.raises(SystemExit) as end:
        start.main()
    monkeypatch.undo()
    assert end.value.code == 130
    assert capsys.readouterr().err == f"interrupted{more}\n"


def interrupted(before: Callable[..., Any], module: str) -> Callable[..., Any]:
    def find(name: str, *others: Any) -> Any:
        if name == module:
            raise KeyboardInterrupt
        return before(name, *others)

    return find
