"""Processes that claim shards and do not run in this one: what they left, and how they behave."""

import json
from dataclasses import replace
from pathlib import Path

from savs.stores.write.signs_of_life import Process, this_process


def ended() -> Process:
    """Return a process of this host that has ended: its number is given to another one now."""
    return replace(this_process(), started="0")


def elsewhere(pid: int = 7) -> Process:
    """Return a process of another container with this host's name: whether it lives is unknown."""
    here = this_process()
    host, _, digits = here.id.rsplit("-", 2)
    return replace(here, space="another", pid=pid, id=f"{host}-{pid}-{digits}")


def leave_claim(folder: Path, name: str, process: Process, generation: int = 0) -> Path:
    """Write the claim of a process into a store, and return its file."""
    path = folder / "claims" / f"{name}.{generation}"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(process.to_json()))
    return path


def show_sign(folder: Path, process: Process, beat: int = 1) -> Path:
    """Write a process's sign of life into a store, and return its file."""
    path = folder / "claims" / f"{process.id}.rank"
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(process.to_json() | {"beat": beat}))
    new.replace(path)
    return path


def leave_unfinished(folder: Path, name: str, text: str = "begun") -> Path:
    """Write an unfinished file of a shard, or of store.json, and return it."""
    path = folder / f"{name}.host_1-7-0a1b2c3d.partial"
    path.write_text(text)
    return path
