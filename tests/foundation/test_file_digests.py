"""A kept digest is that of the file as it is now, or is not used."""

import hashlib
import os
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from savs.foundation import file_digests
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
    reads = count_reads(monkeypatch)
    assert bytes_to_read([small_files]) == 3
    digest = file_digest(small_files)
    assert digest.sha256 == hashlib.sha256(b"abc").hexdigest()
    file_digests._IN_PROCESS.clear()  # as in another process
    assert bytes_to_read([small_files]) == 0
    assert file_digest(small_files) == digest
    assert len(reads) == 1


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


def test_the_digest_of_a_file_that_was_just_written_is_not_kept(small_files, monkeypatch) -> None:
    monkeypatch.setattr(file_digests, "SETTLED_S", 3600.0)
    reads = count_reads(monkeypatch)
    assert file_digest(small_files) == file_digest(small_files)
    assert len(reads) == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"path": 1}', b"\xff", b'{"x":' + b"[" * 10_000],
    ids=lambda content: str(content[:12]),
)
def test_a_damaged_cache_counts_as_none(small_files, content) -> None:
    digest = file_digest(small_files)
    (kept,) = (file_digests.cache_folder() / "digests").glob("*.json")
    kept.write_bytes(content)
    file_digests._IN_PROCESS.clear()
    assert file_digest(small_files) == digest


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
