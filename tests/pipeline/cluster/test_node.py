"""`savs extract --gpus` with processes on the CPU."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from held import SIZE, Hold

from savs.pipeline.cli.node_run import _with_progress
from savs.pipeline.cluster.node import Node, _end, exit_code, parts_progress, with_options
from savs.pipeline.running.launchers import Rank
from savs.stores import open_store
from savs.stores.maintain.verify import verify
from stores import make_store

pytestmark = pytest.mark.thorough


@pytest.fixture
def command(inputs, monkeypatch) -> list[str]:
    """Return the words of an extraction of 32 images into 16 shards, without `--out`."""
    train, test = inputs.few_shots(train=8, test=24)
    files = ["--train", str(train), "--test", str(test), "--model", "demo"]
    monkeypatch.setenv("SAVS_EXTRACT_ENGINE", "local,shard_rows=2")
    return ["extract", "general", *files, "--batch-size", "2"]


@pytest.fixture
def whole(savs, command, tmp_path) -> Path:
    """Return the store of one process."""
    assert savs(*command, "--out", tmp_path / "whole").returncode == 0
    return tmp_path / "whole"


def check_equal(found: Path, expected: Path) -> None:
    assert verify(found).problems == ()
    ours, theirs = open_store(found), open_store(expected)
    assert ours.manifest.sealed
    assert ours.manifest.plan == theirs.manifest.plan
    for split in ("train", "test"):
        np.testing.assert_array_equal(
            ours.features(split, raw=True), theirs.features(split, raw=True)
        )
        assert ours.examples(split).equals(theirs.examples(split))
    assert {path.suffix for path in found.iterdir()} == {".h5", ".json"}


@contextmanager
def held(command: list[str], hold: Hold, store: Path) -> Iterator[subprocess.Popen[str]]:
    """Start two processes that a marked image holds; whatever happens, they are let go."""
    words = [*command, "--out", str(store), "--gpus", "cpu,cpu"]
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "savs", *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            hold.let_go()


def wait_for_claim(store: Path) -> int:
    """Wait until a process has claimed a shard, and return its number."""
    while True:
        for path in store.glob("claims/*.h5.0"):
            try:
                return json.loads(path.read_text())["pid"]
            except (ValueError, FileNotFoundError):  # made or given back at this moment
                continue
        time.sleep(0.005)


@pytest.mark.slow
def test_two_processes_make_the_store_of_one_though_one_of_them_is_killed(
    savs, command, whole, tmp_path
) -> None:
    store = tmp_path / "store"
    killer = threading.Thread(
        target=lambda: os.kill(wait_for_claim(store), signal.SIGKILL), daemon=True
    )
    killer.start()
    done = savs(*command, "--out", store, "--gpus", "cpu,cpu", "--json")
    assert done.returncode == 0, done.stderr
    killer.join()
    assert "cpu] was killed by SIGKILL; others take its shards" in done.stderr
    check_equal(store, whole)
    assert json.loads(done.stdout)["rows"] == 32
    lines = done.stderr.splitlines()
    assert lines[0] == "2 processes: cpu, cpu"
    assert any(line.startswith(("[0: cpu] ", "[1: cpu] ")) for line in lines)
    assert sum("32 examples to do" in line for line in lines) <= 1 + 1  # one may have begun later
    assert {run["ranks"] for run in open_store(store).manifest.runs} == {2}


@pytest.mark.slow
def test_processes_that_all_live_share_the_store_of_one_bit_by_bit(
    command, savs, inputs, tmp_path
) -> None:
    """One is held at its first shard until others have made all but the four it may claim."""
    inputs.image("images/train0.png", 123, SIZE)
    hold, store = Hold(tmp_path), tmp_path / "store"
    command = [*command, "--recipe", str(hold.code)]
    with held(command, hold, store) as process:
        while len(list(store.glob("*.h5"))) < 16 - 4 and process.poll() is None:
            time.sleep(0.005)
        assert not (store / "train-00000.h5").exists()
        hold.let_go()
        _, messages = process.communicate()
    assert process.returncode == 0, messages
    assert "others take its shards" not in messages
    assert savs(*command, "--out", tmp_path / "whole").returncode == 0
    check_equal(store, tmp_path / "whole")


@pytest.mark.slow
def test_ctrl_c_ends_all(command, savs, inputs, tmp_path) -> None:
    inputs.image("images/test23.png", 123, SIZE)
    hold, store = Hold(tmp_path), tmp_path / "store"
    command = [*command, "--recipe", str(hold.code)]
    with held(command, hold, store) as process:
        child = wait_for_claim(store)
        process.send_signal(signal.SIGINT)
        hold.let_go()
        _, messages = process.communicate()
    assert process.returncode == 130, messages
    assert f"interrupted: finished shards are safe in {store}" in messages
    assert "Traceback" not in messages
    assert not Path(f"/proc/{child}").exists()
    assert not (store / "claims").exists()
    assert savs(*command, "--out", store).returncode == 0
    assert savs(*command, "--out", tmp_path / "whole").returncode == 0
    check_equal(store, tmp_path / "whole")


@pytest.mark.slow
def test_what_all_processes_say_is_said_once_and_ends_the_command(savs, command, tmp_path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.tex").write_text("mine")
    done = savs(*command, "--out", tmp_path / "store", "--gpus", "cpu,cpu")
    assert done.returncode == 1
    assert done.stderr.count("holds thesis.tex but no store.json") == 1
    assert savs(*command, "--out", tmp_path / "x", "--gpus", "cuda:99").returncode == 2
    assert savs(*command, "--out", tmp_path / "x", "--gpus", "cpu", "--dry-run").returncode == 2
    assert "ended with exit code 1; others take its shards" in done.stderr


@pytest.mark.parametrize("other", [("--engine", "ray"), ("--device", "cpu")])
def test_options_that_choose_devices_too_are_refused(savs, command, tmp_path, other) -> None:
    done = savs(*command, "--out", tmp_path / "x", "--gpus", "cpu,cpu", *other)
    assert done.returncode == 2
    assert "--gpus chooses the devices, and so does" in done.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("given", "threads"), [(None, "3"), ("5", "5")])
def test_processes_share_the_cores_unless_the_user_says_how_many_threads(
    monkeypatch, given, threads
) -> None:
    monkeypatch.setattr("savs.pipeline.cluster.node.count_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    found = Node(["cpu", "cpu"], [], Rank(1, 3), print)._environment(1)
    assert found["OMP_NUM_THREADS"] == threads
    ranks = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    assert [found[name] for name in ranks] == ["3", "6", "1", "2"]


def test_processes_are_killed_when_their_end_is_interrupted(monkeypatch) -> None:
    words = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", words], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()

        def interrupted(timeout=None):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(process, "wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                _end([process])
        assert process.wait() == -signal.SIGKILL


def test_rows_are_those_of_the_shards_that_this_run_has_made(tmp_path) -> None:
    values = np.ones((2, 5, 3), np.float32)
    store = make_store(tmp_path / "s", values, "ababa", values[:, :4], "abab", shard_rows=2)
    (store.path / "train-00002.h5").rename(tmp_path / "waits")  # the fifth of five rows

    def run(tick) -> list[int]:
        (tmp_path / "waits").rename(store.path / "train-00002.h5")
        return [0]

    assert _with_progress([store.path], run).rows == 1


@pytest.mark.costly
def test_two_processes_classify_new_images(savs, inputs, tmp_path) -> None:
    train, test = inputs.few_shots(train=8, test=24)
    store, out = tmp_path / "store", tmp_path / "new.csv"
    files = ["--train", train, "--test", test, "--model", "demo"]
    assert savs("extract", "general", *files, "--out", store).returncode == 0
    assert savs("select", store, "--heads", "5", "--no-estimate").returncode == 0
    assert savs("evaluate", store).returncode == 0
    words = ["classify", store / "results" / "vote", test, "--media-root", test.parent]
    done = savs(*words, "--out", out, "--gpus", "cpu,cpu")
    assert done.returncode == 0, done.stderr
    assert "2 processes: cpu, cpu" in done.stderr
    assert {"rank", "ranks"} <= open_store(tmp_path / "new.csv.store").facts["runs"][0].keys()
    rows = pl.read_csv(out).sort("id")["prediction"]
    expected = pl.read_parquet(store / "results" / "vote" / "predictions.parquet").sort("id")
    assert rows.to_list() == expected["prediction"].to_list()
    done = savs(*words, "--gpus", "cpu,cpu")
    assert "several processes share an output file; pass --out FILE" in done.stderr


def test_options_stand_before_what_is_no_option() -> None:
    assert with_options(["extract", "x"], ["--gpus", "none"]) == ["extract", "x", "--gpus", "none"]
    given = ["classify", "c", "--", "-odd.jpg", "--"]
    expected = ["classify", "c", "--device", "cpu", "--", "-odd.jpg", "--"]
    assert with_options(given, ["--device", "cpu"]) == expected


def test_a_killed_process_has_the_exit_code_of_a_shell() -> None:
    assert exit_code([-signal.SIGKILL, -signal.SIGKILL]) == 137
    assert exit_code([-signal.SIGKILL, 1]) == 137
    assert exit_code([1, 2]) == 2
    assert exit_code([0, 0]) == 0


def test_progress_begins_when_the_parts_are_planned_and_counts_each_once() -> None:
    files, planned, shown = {"old"}, dict[str, int](), []

    @contextmanager
    def progress(total: int) -> Iterator[Callable[[int], None]]:
        shown.append(("total", total))
        yield lambda rows: shown.append(("done", rows))
        shown.append(("end", 0))

    with parts_progress(lambda: set(files), lambda: planned, progress) as (tick, before):
        tick()
        assert (before, shown) == ({"old"}, [])
        planned |= {"old": 4, "a": 3, "b": 2}
        for name in ("a", "a", "b"):
            files.add(name)
            tick()
    assert shown == [("total", 5), ("done", 3), ("done", 0), ("done", 2), ("end", 0)]
