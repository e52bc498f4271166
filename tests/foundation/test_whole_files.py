import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from savs.foundation import whole_files
from savs.foundation.whole_files import remove_left_overs, whole_file


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
    assert [file.name for file in tmp_path.iterdir()] == ["store.json"]


def test_no_two_partial_names_are_equal_even_on_hosts_of_one_name(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 7)
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    names = set()
    for _ in range(50):
        with whole_file(tmp_path / "x") as partial:
            names.add(partial.name)
            partial.touch()
    assert len(names) == 50
    assert all(name.startswith("x.localhost-7-") for name in names)


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


@pytest.fixture
def killed(tmp_path) -> Path:
    """Return a folder where a writer of `x[1]` was killed, and a file that it made."""
    code = (
        "import os\nfrom pathlib import Path\nfrom savs.foundation.whole_files import whole_file\n"
        "with whole_file(Path('x[1]'), keep_suffix=True) as partial:\n"
        f"    partial.touch()\n    os.kill(os.getpid(), {signal.SIGKILL})"
    )
    subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, check=False)
    (tmp_path / "x1.partial").touch()
    assert len(list(tmp_path.glob("x[[]1].*.partial*"))) == 1
    return tmp_path


def test_what_a_killed_writer_left_is_removed(killed) -> None:
    remove_left_overs(killed / "x")
    remove_left_overs(killed / "x1")
    assert len(list(killed.iterdir())) == 2  # of other names
    remove_left_overs(killed / "x[1]")
    assert [path.name for path in killed.iterdir()] == ["x1.partial"]


def test_what_a_writer_elsewhere_may_still_write_stays(killed, monkeypatch) -> None:
    monkeypatch.setattr(whole_files, "process_space", lambda: "another container")
    remove_left_overs(killed / "x[1]")
    assert len(list(killed.iterdir())) == 2


def test_what_a_living_writer_has_begun_stays(tmp_path) -> None:
    with whole_file(tmp_path / "x") as partial:
        partial.touch()
        remove_left_overs(tmp_path / "x")
        assert partial.exists()


def test_a_pipe_is_not_replaced(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a pipe or a device"), whole_file(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo()
