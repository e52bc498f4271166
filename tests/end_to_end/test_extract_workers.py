"""`savs extract` with worker processes: the same bits, bad rows skipped, a clean end by Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from held import SIZE, Hold
from rounding import check_same_features

from savs.stores import open_store

pytestmark = pytest.mark.thorough

SAVS = str(Path(sys.executable).with_name("savs"))

KILLED_ON = """
import os, signal
from savs.pipeline.prompts.chat import chat_inputs


def to_inputs(processor, prompts):
    import multiprocessing
    is_deadly = multiprocessing.parent_process() and not os.path.exists({mended!r})
    if is_deadly and any(pieces[0].size == (60, 90) for pieces in prompts):
        os.kill(os.getpid(), signal.SIGKILL)
    return chat_inputs(processor, prompts)
"""


@pytest.fixture
def command(inputs, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("SAVS_EXTRACT_ENGINE", "local,shard_rows=4")
    train, test = inputs.few_shots(6, 12)

    def words(name, *more):
        return [
            *("extract", "general", "--train", str(train), "--test", str(test)),
            *("--model", str(tiny_model("qwen2_vl")), "--dtype", "float32"),
            *("--out", str(tmp_path / name), "--batch-size", "4", *more),
        ]

    return words


def is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_give_the_bits_of_one_process(savs, command, tmp_path):
    for name, workers in (("one", "0"), ("two", "2")):
        done = savs(
            *command(name, "--engine", f"local,shard_rows=4,workers={workers}", "--thumbnails")
        )
        assert done.returncode == 0, done.stderr
    one, two = (open_store(tmp_path / name) for name in ("one", "two"))
    for split in ("train", "test"):
        np.testing.assert_array_equal(one.features(split, raw=True), two.features(split, raw=True))
        assert one.examples(split).equals(two.examples(split))
    assert [run_["workers"] for run_ in two.manifest.runs] == [2]


def test_a_row_that_kills_its_worker_is_skipped_and_may_be_tried_again(
    savs, command, inputs, tmp_path
):
    inputs.image("images/test5.png", 5, (90, 60))
    mended = tmp_path / "mended"
    (tmp_path / "mine.py").write_text(KILLED_ON.format(mended=str(mended)))
    more = (
        "--engine",
        "local,shard_rows=4,workers=2",
        "--recipe",
        str(tmp_path / "mine.py"),
        "--allow",
        "skips:1",
    )
    done = savs(*command("s", *more))
    assert done.returncode == 0, done.stderr
    assert (
        "skipped test test:5: two worker processes ended while they prepared test:5, the second by"
        " SIGKILL" in done.stderr
    )
    assert open_store(tmp_path / "s").examples("test").height == 11
    mended.touch()
    done = savs(*command("s", *more, "--retry-skipped"))
    assert done.returncode == 0, done.stderr
    assert open_store(tmp_path / "s").examples("test").height == 12


@pytest.fixture
def start(command, inputs, tmp_path):
    """Return a function that starts an extraction, which its last image holds after a shard."""
    inputs.image("images/test11.png", 111, SIZE)
    hold = Hold(tmp_path)

    def run(workers):
        words = command(
            "s", "--engine", f"local,shard_rows=4,workers={workers}", "--recipe", str(hold.code)
        )
        process = subprocess.Popen(
            [SAVS, *words], stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        wait_while(lambda: process.poll() is None and not list((tmp_path / "s").glob("train-*.h5")))
        return process, words, hold

    return run


def wait_while(condition):
    until = time.monotonic() + 600
    while condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("workers", "how"),
    [
        ("2", signal.SIGINT),
        pytest.param("0", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("0", signal.SIGTERM, marks=pytest.mark.slow),
    ],
    ids=["Ctrl-C with workers", "Ctrl-C", "SIGTERM"],
)
def test_an_interrupted_extraction_leaves_whole_shards_and_goes_on(
    savs, command, start, tmp_path, workers, how
):
    process, words, hold = start(workers)
    os.killpg(process.pid, how)  # as a terminal does: workers get it, too
    hold.let_go()
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130, said
    assert "run the same command again to go on" in said
    assert "Traceback" not in said
    wait_while(lambda: is_alive(process.pid))
    folder = tmp_path / "s"
    assert 1 <= len(list(folder.glob("*.h5"))) < 5
    assert not list(folder.glob("*.partial"))
    assert not (folder / "claims").exists()
    done = savs(*(word.replace("workers=2", "workers=0") for word in words))
    assert done.returncode == 0, done.stderr
    assert open_store(folder).facts["sealed"]
    if how == signal.SIGINT:
        assert savs(*command("whole", "--engine", "local,shard_rows=4,workers=0")).returncode == 0
        check_same_features(open_store(folder), open_store(tmp_path / "whole"))


@pytest.mark.costly
def test_workers_end_with_a_killed_process(start):
    process, _, hold = start("2")
    process.kill()
    hold.let_go()
    process.communicate(timeout=600)  # until nobody holds its stderr
    wait_while(lambda: is_alive(process.pid))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ENGINE", "local,workers=many", "expected workers to be a number from 0 on"),
        ("ENGINE", "local,shard_rows=0", "expected shard_rows to be a number from 1 on"),
        ("ENGINE", "local,actors=2", "where actors is for actors of ray; leave it out"),
    ],
)
def test_a_value_that_cannot_be_is_a_usage_error(savs, name, value, message):
    given = ("--test", "x", "--model", "demo", "--out", "s")
    done = savs("extract", "general", *given, env={f"SAVS_EXTRACT_{name}": value})
    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())
