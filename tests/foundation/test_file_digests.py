"""A kept digest is that of the file as it is now, or is not used."""

import fcntl
import hashlib
import os
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from savs.foundation import file_digests, progress
from savs.foundation.file_digests import bytes_to_read, changed_files, file_digest


@pytest.fixture(autouse=True)
def small_files(tmp_path, monkeypatch) -> Path:
    """Keep digests of files of any size that changed at any time, in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(file_digests, "KEPT_BYTES", 0)
    monkeypatch.setattr(file_digests, "SETTLED_S", -1.0)
    monkeypatch.setattr(file_digests, "_IN_PROCESS", {})
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    return file


def count_reads(monkeypatch) -> list[Path]:
    read, reads = file_digests._read, []
    monkeypatch.setattr(file_digests, "_read", lambda *of: reads.append(of[0]) or read(*of))
    return reads


def test_a_file_is_read_once_and_by_other_processes_not_again(small_files, monkeypatch) -> None:
    reads, said = count_reads(monkeypatch), []
    progress.listen(lambda *of: said.append(of))
    assert bytes_to_read([small_files]) == 3
    digest = file_digest(small_files)
    progress.listen(None)
    assert said == []  # nobody was waited for
    assert digest.sha256 == hashlib.sha256(b"abc").hexdigest()
    file_digests._IN_PROCESS.clear()  # as in another process
    assert bytes_to_read([small_files]) == 0
    assert file_digest(small_files) == digest
    assert len(reads) == 1


def test_digests_have_the_order_of_the_files_whatever_their_names(small_files) -> None:
    other = small_files.with_name(os.fsdecode(b"\xff"))  # is not UTF-8, as JSON is
    other.write_bytes(b"other")
    files = [small_files, other]
    expected = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    assert [digest.sha256 for digest in file_digests.file_digests(files)] == expected


def test_the_digest_of_a_small_file_is_not_kept(small_files, monkeypatch) -> None:
    for least, kept in ((4, []), (3, [file_digests._cache_file(small_files).name])):
        monkeypatch.setattr(file_digests, "KEPT_BYTES", least)
        file_digest(small_files)
        folder = file_digests.cache_folder() / "digests"
        assert [file.name for file in folder.glob("*.json")] == kept


def edit_in_place(file: Path) -> None:
    times = file.stat()
    file.write_bytes(b"abd")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace_by_another(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(b"abd")
    times = file.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(file)


@pytest.mark.parametrize("change", [edit_in_place, replace_by_another])
def test_a_changed_file_of_the_same_size_and_time_is_read_again(small_files, change) -> None:
    before = file_digest(small_files)
    assert changed_files({"weights": before}) == []
    change(small_files)
    assert changed_files({"weights": before}) == ["weights"]
    assert file_digest(small_files).sha256 == hashlib.sha256(b"abd").hexdigest()


@pytest.mark.parametrize("modified_s", [None, 0], ids=["written", "copied with its old time"])
def test_the_digest_of_a_file_that_was_just_written_is_not_kept(
    small_files, monkeypatch, modified_s
) -> None:
    if modified_s is not None:
        os.utime(small_files, (modified_s, modified_s))
    monkeypatch.setattr(file_digests, "SETTLED_S", 3600.0)
    reads = count_reads(monkeypatch)
    assert file_digest(small_files) == file_digest(small_files)
    assert len(reads) == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"path": 1}', b"\xff", b'{"x":' + b"[" * 10_000, b" " * 2**17],
    ids=lambda content: str(content[:12]),
)
def test_a_damaged_cache_counts_as_none(small_files, content) -> None:
    digest = file_digest(small_files)
    (kept,) = (file_digests.cache_folder() / "digests").glob("*.json")
    kept.write_bytes(content)
    file_digests._IN_PROCESS.clear()
    assert file_digest(small_files) == digest


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "x" * 64, "A" * 64, "0" * 64 + "\n"])
def test_an_entry_that_is_no_digest_is_not_believed(small_files, text) -> None:
    digest = file_digest(small_files)
    (kept,) = (file_digests.cache_folder() / "digests").glob("*.json")
    kept.write_text(kept.read_text().replace(digest.sha256, text.replace("\n", "\\n")))
    file_digests._IN_PROCESS.clear()
    assert file_digest(small_files) == digest


@pytest.mark.parametrize("suffix", [".json", ".lock"])
@pytest.mark.parametrize("planted", ["link", "pipe", "folder"])
def test_what_is_planted_in_the_cache_is_neither_followed_nor_waited_for(
    small_files, tmp_path, suffix, planted
) -> None:
    place = file_digests._cache_file(small_files).with_suffix(suffix)
    place.parent.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    plant = {"link": lambda: place.symlink_to(precious), "pipe": lambda: os.mkfifo(place)}
    plant.get(planted, place.mkdir)()
    assert file_digest(small_files).sha256 == hashlib.sha256(b"abc").hexdigest()
    assert precious.read_text() == "mine"


def test_a_stopped_holder_is_waited_for_up_to_a_deadline_and_not_in_silence(
    small_files, monkeypatch
) -> None:
    lock = file_digests._cache_file(small_files).with_suffix(".lock")
    lock.parent.mkdir(parents=True)
    monkeypatch.setattr(file_digests, "WAIT_S", 1)
    monkeypatch.setattr(file_digests, "SLOW_BYTES_S", 3)  # one more second for the three bytes
    monkeypatch.setattr(file_digests.time, "sleep", lambda seconds: None)
    said = []
    progress.listen(lambda *of: said.append(of))
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as one that got SIGSTOP
        digest = file_digest(small_files)
    progress.listen(None)
    assert digest.sha256 == hashlib.sha256(b"abc").hexdigest()
    what = "seconds of waiting for the process that reads weights"
    assert said == [(what, 0, 2), (what, 1, 2), (what, 2, 2)]


def test_without_a_writable_cache_a_process_reads_once(small_files, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_files))  # no folder
    reads = count_reads(monkeypatch)
    assert file_digest(small_files) == file_digest(small_files)
    assert len(reads) == 1


SLOW_READER = """
import sys, time
from pathlib import Path
from savs.foundation import file_digests
file_digests.KEPT_BYTES, file_digests.SETTLED_S = 0, -1.0
read = file_digests._read
def slow(path, state):
    print("read", flush=True)
    time.sleep(0.5)
    return read(path, state)
file_digests._read = slow
file_digests.file_digest(Path(sys.argv[1]))
"""


@pytest.mark.thorough
def test_processes_of_a_host_read_a_file_once(small_files) -> None:
    command = [sys.executable, "-c", SLOW_READER, str(small_files)]
    readers = [Popen(command, stdout=PIPE, text=True) for _ in range(2)]
    said = [reader.communicate()[0] for reader in readers]
    assert [reader.returncode for reader in readers] == [0, 0]
    assert "".join(said) == "read\n"
