"""Whether a process of this host has ended, on hosts that show little of it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from savs.foundation import files as processes
from savs.stores.write.signs_of_life import has_ended, this_process


@pytest.fixture
def hidden(tmp_path, monkeypatch) -> None:
    """Show a /proc without the processes of other users, as its option `hidepid` does."""
    for file in ("sys/kernel/random/boot_id", "self/ns/pid"):
        (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text(
        Path("/proc/sys/kernel/random/boot_id").read_text()
    )
    (tmp_path / "self/ns/pid").symlink_to(Path("/proc/self/ns/pid").readlink())
    monkeypatch.setattr(processes, "PROC", tmp_path)


def ended_child() -> "subprocess.Popen[bytes]":
    """Return a process that has ended; nobody has waited for it."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    return child


def test_a_process_that_proc_hides_has_not_ended(request) -> None:
    mine, child = this_process(), ended_child()
    theirs = replace(mine, pid=child.pid)
    child.wait()
    request.getfixturevalue("hidden")
    assert not has_ended(mine)
    assert has_ended(theirs)


def test_one_that_nobody_waited_for_has_ended() -> None:
    child = ended_child()
    started = processes.process_start(child.pid)
    assert has_ended(replace(this_process(), pid=child.pid, started=started or "1"))
    child.wait()
