import fcntl
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from savs.stores import StoreLockedError, reserve
from savs.stores.write.locks import left_overs, manifest_lock, writer_lock

HOLD = """
import sys
from pathlib import Path
from savs.stores.write.locks import writer_lock
with writer_lock(Path(sys.argv[1]), 0):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Run another process that writes to `tmp_path` as rank 0 until its stdin is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_live_writer_is_left_alone_and_named(tmp_path, toy, holder, listing) -> None:
    before = listing(tmp_path)
    message = f"as rank 0 by process {holder.pid} on {socket.gethostname()}; wait"
    with pytest.raises(StoreLockedError, match=message):
        toy.write(tmp_path)
    assert listing(tmp_path) == before
    assert holder.poll() is None
    with reserve(tmp_path, rank=1, ranks=2) as place:  # another rank may write meanwhile
        assert place.takeover is None
        writer = place.begin(toy.identity(), toy.rows(), 2)
        spec = writer.missing()[0]
        assert writer.write(spec, toy.content(spec)).exists()
    holder.communicate()  # ends it in good order
    assert [path.name for path in tmp_path.glob("*.lock")] == []


def test_a_dead_writers_lock_is_taken_over_with_a_message(tmp_path, toy, holder) -> None:
    holder.kill()
    holder.wait()
    assert (tmp_path / "writer-0.lock").exists()
    with reserve(tmp_path) as place:
        assert place.takeover == (
            f"took over the lock of process {holder.pid} on {socket.gethostname()}, which is gone"
        )
    assert not (tmp_path / "writer-0.lock").exists()


@pytest.mark.parametrize("text", ["x", "[1]", "{}", "null"])
def test_a_lock_file_that_says_nothing_is_taken_over(tmp_path, text) -> None:
    (tmp_path / "writer-0.lock").write_text(text)
    with writer_lock(tmp_path, 0) as takeover:
        assert takeover == "took over the lock of another process, which is gone"


def test_the_lock_file_names_its_holder_and_goes_with_it(tmp_path) -> None:
    path = tmp_path / "writer-3.lock"
    path.write_text('{"host": "a host with a much longer name than any", "pid": 123456789}')
    with writer_lock(tmp_path, 3):
        assert json.loads(path.read_text()) == {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "rank": 3,
        }
    assert not path.exists()


def test_a_failing_writer_lets_go(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt), writer_lock(tmp_path, 0):
        raise KeyboardInterrupt
    with writer_lock(tmp_path, 0) as takeover:
        assert takeover is None


def test_a_lock_on_a_name_that_is_gone_does_not_count(tmp_path, monkeypatch) -> None:
    calls = []

    def lock_then_lose_the_name(file, flags) -> None:
        lock(file, flags)
        calls.append(flags)
        if len(calls) == 1:  # the holder before us removes its file between our open and our lock
            (tmp_path / "writer-0.lock").unlink()

    lock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", lock_then_lose_the_name)
    with writer_lock(tmp_path, 0):
        assert len(calls) == 2
        with (
            pytest.raises(StoreLockedError, match=f"process {os.getpid()}"),
            writer_lock(tmp_path, 0),
        ):
            pass


def test_what_a_dead_writer_left_is_known_by_its_lock_whatever_its_host(tmp_path) -> None:
    ours = "train-00001.h5.0.node_1-77-0a1b2c3d.partial"
    same_process_elsewhere = "train-00002.h5.1.node_2-77-4e5f6a7b.partial"
    manifest = "store.json.node_2-77-89abcdef.partial"
    export = "features.parquet.node_1-77-01234567.partial"
    for name in (ours, same_process_elsewhere, manifest, export, "writer-1.lock"):
        (tmp_path / name).write_text("x")
    with writer_lock(tmp_path, 0):
        found = {path.name for path in left_overs(tmp_path)}
        assert found == {same_process_elsewhere, "writer-1.lock"}
    assert {path.name for path in left_overs(tmp_path)} == {
        *(ours, same_process_elsewhere, manifest, "writer-1.lock"),
    }
    with manifest_lock(tmp_path):
        assert manifest not in {path.name for path in left_overs(tmp_path)}
    (tmp_path / "store.json.lock").write_text("of a process that was killed")
    assert tmp_path / "store.json.lock" in left_overs(tmp_path)
