"""Worker processes: what they prepare equals what one process does, and a death names its row."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from events import notice_deaths_soon

from savs.datasets.media.media import MediaRules
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.batches import workers as module
from savs.pipeline.extraction.batches.jobs import Job, Medium, Refused, Request
from savs.pipeline.extraction.batches.prepare import PrepareSettings
from savs.pipeline.extraction.batches.workers import WorkerSettings, count_workers, prepared_jobs
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.running.launchers import Rank

pytestmark = pytest.mark.thorough

DEADLY = """
import os, signal
from savs.pipeline.extraction.model.prompts import chat_inputs


def to_inputs(processor, prompts):
    if {when}:
        os.kill(os.getpid(), signal.SIGKILL)  # as the system does when memory is short
    return chat_inputs(processor, prompts)
"""


@pytest.fixture
def crew(tiny_model, tmp_path, monkeypatch):
    """Return settings for a number of workers, with the user's own code or without."""
    notice_deaths_soon(monkeypatch)

    def make(workers, code=None, *, files=False):
        path = None
        if code is not None:
            path = tmp_path / "mine.py"
            path.write_text(code)
        options = ModelOptions(model=str(tiny_model("qwen2_vl")), model_code=path)
        how = PrepareSettings(MediaRules(), torch.float32, raw_pixels=False, thumbnails=False)
        return load_encoder(options), WorkerSettings(workers, options, how, pin=False, files=files)

    return make


@pytest.fixture
def jobs(inputs):
    """Return a maker of jobs of four requests each, with an image of its own size in each."""

    def make(count):
        found = []
        for job in range(count):
            numbers = range(4 * job, 4 * job + 4)
            names = [inputs.image(f"{n}.png", n, (56, 56 + 28 * (n % 9))) for n in numbers]
            media = {name: Medium(name, (inputs.root / name).read_bytes()) for name in names}
            requests = [
                Request(n, f"e{n}", "?", (name,), 1, 9)
                for n, name in zip(numbers, names, strict=True)
            ]
            found.append(Job(job, tuple(requests), media))
        return found

    return make


def rows_of(done):
    """Return request -> its token ids and its part of the pixels, and request -> reason."""
    ready, refused = {}, {}
    for _, answer in done:
        for part in answer.parts:
            if isinstance(part, Refused):
                refused[part.request] = part.reason
                continue
            for row, number in enumerate(part.requests):
                ids, mask = part.inputs["input_ids"][row], part.inputs["attention_mask"][row]
                grid = part.inputs["image_grid_thw"].prod(dim=1).tolist()
                start = sum(grid[:row])
                ready[number] = ids[mask.bool()], part.inputs["pixel_values"][start:][: grid[row]]
    return ready, refused


def run_jobs(given, crew):
    """Return what `rows_of` says of jobs that the encoder and the settings of a crew prepared."""
    return rows_of(prepared_jobs(iter(given), *crew))


def require_same(one, other):
    assert sorted(one) == sorted(other)
    for number, parts in one.items():
        for ours, theirs in zip(parts, other[number], strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("files", [False, True], ids=["shared memory", "files"])
def test_workers_prepare_what_one_process_does(crew, jobs, files):
    expected, _ = run_jobs(jobs(6), crew(0))
    found, refused = run_jobs(jobs(6), crew(2, files=files))
    require_same(expected, found)
    assert refused == {}
    assert multiprocessing.active_children() == []


def test_a_row_that_kills_its_worker_is_named_and_the_others_are_prepared(crew, jobs):
    when = "any(piece.size == (196, 56) for piece, _ in prompts)"  # requests 5 and 14
    expected, _ = run_jobs(jobs(5), crew(0))
    found, refused = run_jobs(jobs(5), crew(2, DEADLY.format(when=when)))
    assert sorted(refused) == [5, 14]
    assert "worker processes were killed while they prepared e5, twice" in refused[5]
    require_same({n: row for n, row in expected.items() if n not in refused}, found)
    assert multiprocessing.active_children() == []


def test_a_worker_that_dies_once_costs_nothing(crew, jobs, tmp_path):
    flag = tmp_path / "died"
    when = f"not os.path.exists({str(flag)!r}) and not open({str(flag)!r}, 'w').close()"
    found, refused = run_jobs(jobs(4), crew(2, DEADLY.format(when=when)))
    assert (len(found), refused) == (16, {})


def test_workers_that_die_on_everything_end_the_run(crew, jobs):
    code = "import os, multiprocessing\nif multiprocessing.parent_process(): os._exit(9)\n"
    with pytest.raises(ModelError, match=r"end by themselves.* fewer `workers`, or `workers` 0"):
        run_jobs(jobs(3), crew(2, code + DEADLY.format(when="False")))
    assert multiprocessing.active_children() == []


def test_an_error_of_the_planner_passes_through(crew, jobs):
    def broken():
        yield from jobs(2)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        run_jobs(broken(), crew(2))
    assert multiprocessing.active_children() == []


def test_without_workers_one_thread_is_one_job_ahead_and_ends(crew, jobs, monkeypatch):
    threads = []
    prepare = module.prepare
    monkeypatch.setattr(
        module,
        "prepare",
        lambda *given: threads.append(threading.current_thread()) or prepare(*given),
    )
    encoder, alone = crew(0)
    done = prepared_jobs(iter(jobs(4)), encoder, alone)
    first = next(done)
    wait_for = time.monotonic() + 600
    while len(threads) < 2:  # the second begins before anybody asks for it
        assert time.monotonic() < wait_for
        time.sleep(0.001)
    done = chain([first], done)
    assert [(job.number, answer.job) for job, answer in done] == [(n, n) for n in range(4)]
    (thread,) = set(threads)
    assert thread is not threading.main_thread()
    assert not thread.is_alive()


@pytest.mark.parametrize(("free", "small"), [(64 * 2**20, True), (4 * 2**30, False)])
def test_small_shared_memory_is_left_alone(monkeypatch, free, small):
    usage = type("usage", (), {"free": free})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(module, "SHARED_MEMORY", Path.cwd())
    assert module.needs_files() == small


def test_how_many_workers_there_are_by_default(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    assert count_workers(RunOptions(), "cuda:1", 3.0) == 0
    assert count_workers(RunOptions(), "cpu", 300.0) == 0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert count_workers(RunOptions(), "auto", 300.0) == 0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert count_workers(RunOptions(), "auto", 300.0) == 12
    on_one_machine = Rank(rank=1, ranks=4, local_rank=1, local_ranks=4)
    on_two_machines = Rank(rank=5, ranks=8, local_rank=1, local_ranks=4)
    on_four_machines = Rank(rank=1, ranks=4)
    found = [
        count_workers(RunOptions(), "auto", 300.0, rank)
        for rank in (on_one_machine, on_two_machines, on_four_machines)
    ]
    assert found == [12 // 4, 12 // 4, 12]
    assert count_workers(RunOptions(), "auto", 64.0, on_four_machines) == 3  # 16 s: 5 s for each
    assert count_workers(RunOptions(), "auto", 300.0, Rank(ranks=40)) == 0  # 7.5 s for each rank
    assert [count_workers(RunOptions(workers=n), "auto", 3.0) for n in (0, 1, 40)] == [0, 1, 40]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(96)), raising=False)
    assert count_workers(RunOptions(), "auto", 9000.0) == module.MOST_WORKERS


@pytest.mark.costly
def test_a_script_without_a_main_guard_is_not_run_again_by_workers(inputs, tiny_model, tmp_path):
    train, test = inputs.few_shots(4, 4)
    script = tmp_path / "script.py"
    script.write_text(
        "from savs import extract\n"
        "print('begun')\n"
        f"done = extract('general', train={str(train)!r}, test={str(test)!r}, workers=1,\n"
        f"    model={str(tiny_model('qwen2_vl'))!r}, out={str(tmp_path / 'store')!r})\n"
        "print(done.rows)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["begun", "8"]
