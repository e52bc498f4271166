"""Files are written whole or not at all, taken back, and read only where they have an end."""

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from savs.foundation import files as whole_files
from savs.foundation.files import (
    finish_files,
    noted_files,
    open_regular,
    process_has_ended,
    process_start,
    read_regular_text,
    remove_left_overs,
    remove_noted,
    unfinished,
    whole_file,
)


def test_writers_of_one_process_number_on_two_hosts_do_not_meet(tmp_path, monkeypatch) -> None:
    path = tmp_path / "store.json"
    monkeypatch.setattr(os, "getpid", lambda: 7)  # as in two containers
    with whole_file(path) as first:
        first.write_text("first")
        monkeypatch.setattr(socket, "gethostname", lambda: "node-2.cluster/x")
        with whole_file(path) as second:
            second.write_text("second")
            assert first.exists()
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert second.name.startswith("store.json.node_2_cluster_x-7-")
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")  # hosts may share a name, too
    tags = set()
    for _ in range(50):
        with whole_file(path) as partial:
            tags.add(partial.name)
            partial.touch()
    assert len(tags) == 50
    assert [file.name for file in tmp_path.iterdir()] == ["store.json"]


def test_a_file_in_a_folder_that_cannot_be_opened_is_published(tmp_path, monkeypatch) -> None:
    durable = whole_files.make_durable

    def refused(path):
        if path == tmp_path:
            raise PermissionError(13, "Permission denied")
        durable(path)

    monkeypatch.setattr(whole_files, "make_durable", refused)
    with whole_file(tmp_path / "x") as partial:
        partial.write_text("content")
    assert (tmp_path / "x").read_text() == "content"


def test_contents_are_on_the_disk_before_names_are(tmp_path, monkeypatch) -> None:
    """Each step is the name that is made durable, or that a file gets."""
    steps, durable = list[str](), whole_files.make_durable
    monkeypatch.setattr(
        whole_files, "make_durable", lambda path: (steps.append(path.name), durable(path))
    )
    for method in ("rename", "replace"):
        named = getattr(Path, method)
        monkeypatch.setattr(
            Path,
            method,
            lambda path, new, named=named: (steps.append(f"> {new.name}"), named(path, new))[1],
        )
    folder = tmp_path / "vote"
    with whole_files.whole_files(folder) as new:
        (new / "config").write_text("new")
    written, named = ["config", new.name], ["> .new", "vote", "> config", "vote"]
    assert steps == [tmp_path.name, *written, *named]
    steps.clear()
    with unfinished(folder / "metrics"):
        assert steps == ["vote"]
        assert len(list(folder.glob("metrics.*.partial"))) == 1
    assert [file.name for file in folder.iterdir()] == ["config"]


def test_a_process_has_ended_once_it_answers_no_more(tmp_path, monkeypatch) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        started = process_start(process.pid) or ""
        assert not process_has_ended(process.pid, started)
        assert process_has_ended(process.pid, "1")  # the number was given out again
        assert process.stdin is not None
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # its parent knows nothing yet
        assert process_has_ended(process.pid, started)
    monkeypatch.setattr(whole_files, "PROC", tmp_path)  # as where others are hidden
    assert not process_has_ended(os.getpid(), "")
    assert process_has_ended(process.pid, started)
    assert process_has_ended(2**70, "")
    monkeypatch.setattr(os, "kill", lambda *of: os.open(tmp_path, os.O_WRONLY))
    assert not process_has_ended(1, "")  # that of another user refuses the signal


@pytest.fixture
def killed(tmp_path) -> Path:
    """Return a folder where a writer of `x[1]` was killed, and a file that it made."""
    code = (
        "import os\nfrom pathlib import Path\nfrom savs.foundation.files import whole_file\n"
        "with whole_file(Path('x[1]')) as partial:\n"
        f"    partial.touch()\n    os.kill(os.getpid(), {signal.SIGKILL})"
    )
    subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, check=False)
    (tmp_path / "x1.partial").touch()
    assert len(list(tmp_path.glob("x[[]1].*.partial*"))) == 1
    return tmp_path


def test_what_a_killed_writer_left_is_removed(killed) -> None:
    remove_left_overs(killed, "x")
    remove_left_overs(killed, "x1")
    assert len(list(killed.iterdir())) == 2  # of other names
    remove_left_overs(killed, "x[1]")
    assert [path.name for path in killed.iterdir()] == ["x1.partial"]


def test_what_a_writer_may_still_write_stays(killed, monkeypatch) -> None:
    with whole_file(killed / "x") as partial:
        partial.touch()
        remove_left_overs(killed, "x")
        assert partial.exists()
    monkeypatch.setattr(whole_files, "process_space", lambda: "another container")
    remove_left_overs(killed, "x[1]")
    assert len(list(killed.glob("x[[]1].*"))) == 1


def write(path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text)


def test_a_block_takes_back_what_it_and_blocks_in_it_wrote(tmp_path) -> None:
    names = ("before", "own", "inner", "later", "taken")
    before, own, inner, later, taken = (tmp_path / name for name in names)
    write(before, "before")
    with noted_files() as written:
        write(own, "own")
        with noted_files():
            write(inner, "inner")
        write(later, "later")
        write(taken, "ours")
    write(taken, "of another")
    remove_noted(written)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "before": "before",
        "taken": "of another",
    }


def test_only_a_text_that_ends_is_read_and_no_pipe_replaced(tmp_path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9")
    assert read_regular_text(tmp_path / "a.txt", most_bytes=8) == "café"
    with pytest.raises(ValueError, match="it has more than 7 bytes"):
        read_regular_text(tmp_path / "a.txt", most_bytes=7)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "other").write_bytes(b"caf\xe9")
    for name, problem in (("pipe", "regular file"), ("device", "regular file"), ("other", "UTF-8")):
        with pytest.raises(ValueError, match=f"not .*{problem}"):
            read_regular_text(tmp_path / name)
    with pytest.raises(OSError, match="a pipe or a device"), whole_file(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo()


def test_no_descriptor_stays_open(tmp_path) -> None:
    def next_free() -> int:
        descriptor = os.open(os.devnull, os.O_RDONLY)
        os.close(descriptor)
        return descriptor

    os.mkfifo(tmp_path / "pipe")
    before = next_free()
    write(tmp_path / "x", "content")
    with pytest.raises(ValueError, match="not a regular file"):
        open_regular(tmp_path / "pipe", os.O_RDONLY)
    assert next_free() == before


KILLED_WRITERS = """
import os, sys
from pathlib import Path
from savs.foundation import files

def write(folder, left):
    def dying(change):
        def call(*given, **named):
            nonlocal left
            if not left:
                os._exit(9)  # as SIGKILL: nothing is cleaned up
            left -= 1
            return change(*given, **named)
        return call

    for name in ("mkdir", "rename", "replace", "unlink", "rmdir"):
        setattr(os, name, dying(getattr(os, name)))
        setattr(Path, name, dying(getattr(Path, name)))
    with files.whole_files(folder) as new:
        for name in ("config", "metrics"):
            new.joinpath(name).write_text("new")
        new.joinpath("submission").touch()

for step, folder in enumerate(sorted(Path(sys.argv[1]).iterdir())):
    if not (child := os.fork()):
        write(folder, step)
        os._exit(0)
    if not os.waitpid(child, 0)[1]:
        print(step)
        break
"""


@pytest.mark.thorough
def test_a_writer_killed_at_any_change_leaves_all_old_files_or_all_new_ones(tmp_path) -> None:
    old = {"config": "old", "metrics": "old", "submission": "old", "notes": "of the user"}
    new = {"config": "new", "metrics": "new", "notes": "of the user"}
    for step in range(60):
        (tmp_path / f"{step:02}").mkdir()
        for name, text in old.items():
            (tmp_path / f"{step:02}" / name).write_text(text)
    script = [sys.executable, "-c", KILLED_WRITERS, str(tmp_path)]
    last = int(subprocess.run(script, check=True, stdout=subprocess.PIPE).stdout)
    ends: list[dict[str, str]] = []
    for step in range(last + 1):
        folder = tmp_path / f"{step:02}"
        finish_files(folder)  # as each reader does
        ends.append({file.name: file.read_text() for file in folder.iterdir() if file.is_file()})
        with whole_files.whole_files(folder) as again:  # what was left is in nobody's way
            (again / "config").write_text("again")
        assert {file.name for file in folder.iterdir()} == {*ends[-1]}
    committed = [end == new for end in ends]
    assert ends == [new if is_new else old for is_new in committed]
    assert committed == sorted(committed), "the commit is one step"
    assert not committed[0]
    assert sum(committed) > 5, "kills came between the names, too"


def test_a_block_that_fails_and_two_writers_at_once_leave_whole_files(tmp_path) -> None:
    folder = tmp_path / "vote"

    def fail() -> None:
        with whole_files.whole_files(folder) as new:
            (new / "config").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not folder.exists()
    with whole_files.whole_files(folder) as first:
        (first / "config").write_text("first")
        with whole_files.whole_files(folder) as second:
            (second / "config").write_text("second")
        assert (folder / "config").read_text() == "second"
    assert {file.name: file.read_text() for file in folder.iterdir()} == {"config": "first"}


def test_what_another_writer_finished_in_the_same_moment_is_no_error(tmp_path, monkeypatch) -> None:
    rename, calls = Path.rename, []

    def late(new: Path, ready: Path) -> Path:
        calls.append(new)
        if len(calls) == 1:  # the other folder is gone before anyone looks
            raise OSError(errno.ENOTEMPTY, "Directory not empty", str(new), None, str(ready))
        return rename(new, ready)

    monkeypatch.setattr(Path, "rename", late)
    with whole_files.whole_files(tmp_path / "vote") as new:
        (new / "config").write_text("whole")
    assert len(calls) == 2
    assert (tmp_path / "vote" / "config").read_text() == "whole"


WRITER = """
import sys
from pathlib import Path
from savs.foundation.files import whole_files

for number in range(30):
    with whole_files(Path(sys.argv[1])) as new:
        for name in ("config", "metrics"):
            (new / name).write_text(f"{sys.argv[2]} {number}")
"""


@pytest.mark.thorough
def test_processes_that_write_at_once_leave_the_files_of_one_of_them(tmp_path) -> None:
    folder = tmp_path / "vote"
    scripts = [[sys.executable, "-c", WRITER, str(folder), str(number)] for number in range(4)]
    writers = [subprocess.Popen(script) for script in scripts]
    assert [writer.wait() for writer in writers] == [0] * 4
    found = {file.name: file.read_text() for file in folder.iterdir()}
    assert found.keys() == {"config", "metrics"}
    assert len({*found.values()}) == 1
