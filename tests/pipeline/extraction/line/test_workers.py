"""Worker processes: what they prepare equals what one process does, and a death names its row."""

import multiprocessing
import resource
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from savs.pipeline.errors import ModelError, OwnCodeError
from savs.pipeline.extraction.line import workers as module
from savs.pipeline.extraction.line.jobs import Job, Medium, Refused, Request
from savs.pipeline.extraction.line.pass_settings import PassSettings
from savs.pipeline.extraction.line.workers import WorkerSettings, count_workers, prepared_jobs
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.running.launchers import Rank

pytestmark = pytest.mark.thorough

DEADLY = """
import os, signal, time
from savs.pipeline.prompts.chat import chat_inputs


def to_inputs(processor, prompts):
    if {when}:
        {act}
    return chat_inputs(processor, prompts)
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"  # as the system does when memory is short


@pytest.fixture
def crew(tiny_model, tmp_path):
    """Return settings for a number of workers, with the user's own code or without."""

    def make(workers, code=None, family="qwen2_vl", **how):
        path = None
        if code is not None:
            path = tmp_path / "mine.py"
            path.write_text(code)
        options = ModelOptions(model=str(tiny_model(family)), model_code=path)
        settings = PassSettings(dtype=torch.float32, **how)
        return load_encoder(options), WorkerSettings(workers, options, settings)

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
            found.append(Job(tuple(requests), media))
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


def test_workers_prepare_what_one_process_does_in_the_same_order(crew, jobs):
    given = jobs(6)
    expected, _ = run_jobs(given, crew(0))
    done = list(prepared_jobs(iter(given), *crew(2)))
    assert [job for job, _ in done] == given
    found, refused = rows_of(done)
    require_same(expected, found)
    assert refused == {}
    assert multiprocessing.active_children() == []


DEATHS = {  # by request, of which each job has one
    3: (KILL, "by SIGKILL, most likely for lack of memory"),
    5: ("os.kill(os.getpid(), signal.SIGSEGV)", "by SIGSEGV"),
    8: ("os._exit(3)", "with exit code 3"),
}


def test_a_row_that_ends_its_worker_is_named_and_the_others_are_prepared(crew, jobs):
    acts = ", ".join(f"{56 + 28 * number}: lambda: {act}" for number, (act, _) in DEATHS.items())
    act = f"[{{{acts}}}.get(piece.size[0], int)() for piece, _ in prompts]"
    given = jobs(3)
    expected, _ = run_jobs(given, crew(0))
    done = list(prepared_jobs(iter(given), *crew(2, DEADLY.format(when="True", act=act))))
    numbers = [request.number for job, _ in done for request in job.requests]
    assert numbers == list(range(12))
    found, refused = rows_of(done)
    assert sorted(refused) == [*DEATHS]
    for number, (_, how) in DEATHS.items():
        named = f"two worker processes ended while they prepared e{number}, the second {how};"
        assert named in refused[number]
    require_same({n: row for n, row in expected.items() if n not in refused}, found)
    assert multiprocessing.active_children() == []


def test_a_worker_that_dies_once_costs_no_row_and_no_other_worker(crew, jobs, tmp_path):
    flag, seen = tmp_path / "died", tmp_path / "seen"
    note = f"open({str(seen)!r}, 'a').write(f'{{os.getpid()}} ')"
    when = f"{note} and not os.path.exists({str(flag)!r}) and not open({str(flag)!r}, 'w').close()"
    found, refused = run_jobs(jobs(8), crew(2, DEADLY.format(when=when, act=KILL)))
    assert (len(found), refused) == (32, {})
    assert len(set(seen.read_text().split())) <= 3  # two workers, and one in place of the dead one


def test_workers_that_die_on_everything_end_the_run(crew, jobs):
    code = "import os, multiprocessing\nif multiprocessing.parent_process(): os._exit(9)\n"
    message = r"8 in a row, the last with exit code 9; give fewer .`workers`., or"
    with pytest.raises(ModelError, match=message):
        run_jobs(jobs(3), crew(2, code + DEADLY.format(when="False", act="pass")))
    assert multiprocessing.active_children() == []


def test_an_error_in_a_worker_is_raised_here_as_it_is(crew, jobs):
    code = "import multiprocessing\nif multiprocessing.parent_process(): 1 / 0\n"
    with pytest.raises(OwnCodeError, match="division by zero") as raised:
        run_jobs(jobs(3), crew(2, code + DEADLY.format(when="False", act="pass")))
    assert "in a worker process" in raised.value.__notes__[0]
    assert multiprocessing.active_children() == []


def test_a_run_that_is_left_ends_workers_that_are_in_the_middle_of_a_job(crew, jobs):
    when = "all(piece.size != (56, 56) for piece, _ in prompts)"  # all jobs but the first
    hold = DEADLY.format(when=when, act="time.sleep(3600)")
    done = prepared_jobs(iter(jobs(4)), *crew(2, hold))
    next(done)
    done.close()
    assert multiprocessing.active_children() == []
    assert not [t for t in threading.enumerate() if t.name.startswith("savs-prepare")]


def test_no_more_jobs_are_taken_than_workers_may_be_ahead(crew, jobs):
    taken = []
    given = (taken.append(job) or job for job in jobs(9))
    done = prepared_jobs(given, *crew(2))
    for count in range(1, 4):
        next(done)
        assert len(taken) == 2 * module.AHEAD + count
    done.close()


def test_a_planner_that_waits_gets_what_is_out(crew, jobs):
    given = jobs(2)
    done = prepared_jobs(iter([given[0], None, None, given[1], None]), *crew(2))
    assert [job for job, _ in done] == given


LIMIT, MOST_DESCRIPTORS = 128, 24
WAITING = """
import os, time
from savs.pipeline.prompts.chat import chat_inputs


def to_inputs(processor, prompts):
    images = [piece for piece in prompts[0] if not isinstance(piece, str)]
    if len(prompts) == 16 and images[0].size[0] > 80:
        open({folder!r} + f"/{{images[0].size[0]}}", "w").close()
    while images[0].size[0] == 80 and len(os.listdir({folder!r})) < 6:
        time.sleep(0.01)  # until the other workers have prepared all that they may
    return chat_inputs(processor, prompts)
"""


def count_descriptors():
    return len([*Path("/dev/fd").iterdir()])


def test_jobs_take_no_descriptors_whatever_they_hold(crew, inputs, tmp_path):
    """Each image has tensors of its own; all jobs but the first are back before the first."""
    (tmp_path / "ready").mkdir()
    given = []
    for job in range(9):
        names = [inputs.image(f"{job}-{n}.png", n, (120, 80 + job)) for n in range(16)]
        media = {name: Medium(name, (inputs.root / name).read_bytes()) for name in names}
        requests = [Request(16 * job + n, name, "?", (name,), 1, 9) for n, name in enumerate(names)]
        given.append(Job(tuple(requests), media, shared=True))
    code = WAITING.format(folder=str(tmp_path / "ready"))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = count_descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, limits[1]))
    try:
        open_files = []
        for _, done in prepared_jobs(iter(given), *crew(4, code, "llava_next", shared_images=1)):
            (part,) = done.parts
            assert len(part.vision) == 16
            open_files.append(count_descriptors() - before)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(open_files) == 9
    assert max(open_files) <= MOST_DESCRIPTORS


def test_for_a_gpu_inputs_are_page_locked_in_threads_of_that_gpu(crew, jobs, monkeypatch):
    threads, locked = {}, []
    empty = torch.empty
    monkeypatch.setattr(
        torch.cuda, "set_device", lambda gpu: threads.update({threading.current_thread(): gpu})
    )

    def make(*shape, pin_memory, **options):  # there is no GPU
        locked.append((pin_memory, threads.get(threading.current_thread())))
        return empty(*shape, **options)

    monkeypatch.setattr("savs.pipeline.extraction.line.transport.torch.empty", make)
    gpu = torch.device("cuda:3")
    encoder, settings = crew(2)
    done = list(prepared_jobs(iter(jobs(3)), encoder, replace(settings, gpu=gpu)))
    assert len(done) == 3
    assert locked
    assert set(locked) == {(True, gpu)}


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
    given = jobs(4)
    done = prepared_jobs(iter(given), encoder, alone)
    first = next(done)
    wait_for = time.monotonic() + 600
    while len(threads) < 2:  # the second begins before anybody asks for it
        assert time.monotonic() < wait_for
        time.sleep(0.001)
    done = chain([first], done)
    assert [job for job, _ in done] == given
    (thread,) = set(threads)
    assert thread is not threading.main_thread()
    assert not thread.is_alive()


def test_how_many_workers_there_are_by_default(monkeypatch):
    monkeypatch.setattr(module, "count_cores", lambda: 12)
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
    monkeypatch.setattr(module, "count_cores", lambda: 96)
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
