"""A store that is open for reading holds no file and no lock, and can be passed on."""

import fcntl
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from savs.stores import FeatureStore, StoreError, StoreIncompleteError, open_store, open_writer

pytestmark = pytest.mark.thorough

CHILD_TIMEOUT_S = 60
NOBODY = 65534


@pytest.fixture
def store(tmp_path, toy) -> FeatureStore:
    """Return a finished store that this process has read before."""
    toy.write(tmp_path / "store")
    opened = open_store(tmp_path / "store")
    opened.features("train")
    return opened


def in_fork(act: Callable[[], Any]) -> int:
    """Return how a forked child ends: 0 where `act` returns, its signal as a negative number."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(CHILD_TIMEOUT_S)  # a child that hangs is ended by SIGALRM
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_pickled_store_reads_the_same(store) -> None:
    for _ in range(2):  # before and after its tables are read
        again = pickle.loads(pickle.dumps(store))
        np.testing.assert_array_equal(again.features("test"), store.features("test"))
        assert again.examples().equals(store.examples())
        assert again.manifest == store.manifest


def test_a_forked_child_reads_what_its_parent_reads(store) -> None:
    expected = store.features("train")

    def read() -> None:
        np.testing.assert_array_equal(store.features("train"), expected)
        assert open_store(store.path).features("test").shape[0] == len(store.heads)

    assert in_fork(read) == 0
    assert in_fork(read) == 0
    np.testing.assert_array_equal(store.features("train"), expected)


@pytest.mark.thorough
def test_a_spawned_child_reads_what_its_parent_reads(store) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        features = pool.apply_async(store.features, ("train",)).get(CHILD_TIMEOUT_S)
        examples = pool.apply_async(store.examples, ("train",)).get(CHILD_TIMEOUT_S)
        pool.close()
        pool.join()
    np.testing.assert_array_equal(features, store.features("train"))
    assert examples.equals(store.examples("train"))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_reads_leave_no_file_open_nor_do_refused_ones(store) -> None:
    before = open_files()
    for _ in range(50):
        store.features("train", [(2, 1)])
        open_store(store.path).examples()
        next(store.blocks("train"))  # and is given up after the first shard
    (store.path / "train-00001.h5").write_bytes(b"no HDF5")
    for _ in range(20):
        for read in (store.features, open_store(store.path).examples):
            with pytest.raises(StoreError):
                read("train")
        with pytest.raises(StoreIncompleteError):
            store.features("validation")
    assert open_files() == before


def test_a_shard_that_another_process_locks_can_be_read(store) -> None:
    expected = store.features("train")
    with (store.path / "train-00000.h5").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        np.testing.assert_array_equal(open_store(store.path).features("train"), expected)


def test_a_shard_that_is_being_read_can_be_locked(store) -> None:
    blocks = store.blocks("train")
    next(blocks)  # its shard is open meanwhile
    with (store.path / "train-00000.h5").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    blocks.close()


def test_a_reader_sees_each_shard_as_it_appears(tmp_path, toy) -> None:
    specs = {"train": toy.rows(train=8, test=0)["train"]}
    written: list[int] = []
    with open_writer(tmp_path, toy.identity(), specs, shard_rows=2) as writer:
        first, *others = writer.missing()
        writer.write(first, toy.content(first))

        def write() -> None:
            for spec in others:
                writer.write(spec, toy.content(spec))

        expected = np.concatenate([toy.values("train", layer.layer) for layer in toy.grid])
        thread = threading.Thread(target=write)
        thread.start()
        while not written or written[-1] < 8:
            alive = thread.is_alive()
            found = open_store(tmp_path, partial=True).features("train")
            written.append(found.shape[1])
            np.testing.assert_array_equal(found, expected[:, : found.shape[1]])
            assert alive or written[-1] == 8
        thread.join()
    assert written == sorted(written)
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".partial"]


def read_here(expected: np.ndarray) -> None:
    """Read the store in the working folder as a user who may not write there."""
    if os.geteuid() == 0:
        os.setuid(NOBODY)  # root may write anywhere
    with pytest.raises(PermissionError):
        Path("x").write_text("x")
    store = open_store(Path())
    np.testing.assert_array_equal(store.features("train"), expected)
    assert store.missing() == []


def test_a_folder_that_cannot_be_written_can_be_read(store, monkeypatch) -> None:
    for path in store.path.iterdir():
        path.chmod(0o444)
    store.path.chmod(0o555)
    monkeypatch.chdir(store.path)  # those above it are closed to others
    expected = store.features("train")
    try:
        assert in_fork(lambda: read_here(expected)) == 0
    finally:
        store.path.chmod(0o755)
