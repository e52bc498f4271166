"""After a loss of power a disk has what was made durable, and nothing else can be relied on.

A file has the content of its last fsync, a folder the names of its last fsync. At every fsync of a
run the test makes the folder that a loss of power would leave then.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from savs.stores import StoreNotFoundError, open_store, open_writer
from savs.stores.maintain.copy import merge
from savs.stores.maintain.verify import verify


@dataclass
class Disk:
    """What is durable of a folder; contents and names are known by their inodes."""

    root: Path
    contents: dict[int, bytes] = field(default_factory=dict)
    names: dict[int, dict[str, tuple[int, bool]]] = field(default_factory=dict)
    """Folder -> name -> inode, and whether it is a folder."""
    on_fsync: Callable[[], None] = lambda: None

    def note(self, descriptor: int) -> None:
        """Take note that a file, or a folder, is made durable."""
        found = os.fstat(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if self.root not in (path, *path.parents):
            return
        if stat.S_ISDIR(found.st_mode):
            self.names[found.st_ino] = {
                entry.name: (entry.inode(), entry.is_dir()) for entry in os.scandir(path)
            }
        else:
            self.contents[found.st_ino] = path.read_bytes()
        self.on_fsync()

    def leave(self, target: Path) -> None:
        """Make the folder that a loss of power would leave."""
        self._leave(self.root.stat().st_ino, target)

    def _leave(self, folder: int, target: Path) -> None:
        target.mkdir(parents=True)
        for name, (inode, is_folder) in self.names.get(folder, {}).items():
            if is_folder:
                self._leave(inode, target / name)
            else:
                (target / name).write_bytes(self.contents.get(inode, b""))


@pytest.fixture
def disk(tmp_path, monkeypatch) -> Disk:
    """Return the disk below `tmp_path / "disk"`."""
    (tmp_path / "disk").mkdir()
    made = Disk(tmp_path / "disk")
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        made.note(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    return made


def check(left: Path) -> int:
    """Check what a loss of power left of a store; return its number of shards."""
    try:
        store = open_store(left, partial=True)
    except StoreNotFoundError:
        assert not list(left.glob("*.h5"))
        return 0
    problems = [p for p in verify(left).problems if p.kind not in ("missing", "left-over")]
    assert problems == []
    return len(store.present())


@pytest.mark.thorough
def test_at_every_moment_of_a_run(tmp_path, toy, disk) -> None:
    lefts: list[Path] = []

    def cut() -> None:
        lefts.append(tmp_path / f"left-{len(lefts)}")
        disk.leave(lefts[-1])

    with open_writer(disk.root / "store", toy.identity(), toy.rows(), shard_rows=2) as writer:
        disk.on_fsync = cut
        for spec in writer.missing():
            writer.write(spec, toy.content(spec))
        assert writer.seal()
    disk.on_fsync = lambda: None
    counts = [check(left / "store") if (left / "store").exists() else 0 for left in lefts]
    assert counts == sorted(counts)
    assert 0 < counts[0] + 1 <= counts[-1] == 5
    cut()
    assert open_store(lefts[-1] / "store").manifest.sealed


def test_a_merged_store_is_durable_once_it_is_there(tmp_path, toy, disk) -> None:
    toy.write(tmp_path / "part")
    merge([open_store(tmp_path / "part")], disk.root / "merged")
    disk.leave(tmp_path / "left")
    assert check(tmp_path / "left" / "merged") == 5
    assert open_store(tmp_path / "left" / "merged").manifest.sealed
