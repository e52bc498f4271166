"""Ctrl-C at the worst moments: in a program of its own, whose main thread gets it."""

import os
import subprocess
import sys

import pytest

from savs.pipeline.running import signals

PROGRAM = """
import os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from savs.pipeline.running import signals
signals.listen()

class Lock:  # of the pool, which Ctrl-C meets while it is taken
    def __init__(self): self.lock = threading.Lock()
    def __enter__(self):
        self.lock.acquire()
        if "submit" in sys.argv: os.kill(os.getpid(), signal.SIGINT)
    def __exit__(self, *error): self.lock.release()

pool = ThreadPoolExecutor(1)
pool._shutdown_lock = Lock()
try:
    task = pool.submit(int)
    print("submitted")
    if "thread" in sys.argv:
        def fail():
            try: raise ConnectionResetError
            except ConnectionResetError: sys.excepthook(*sys.exc_info())
        try: os.kill(os.getpid(), signal.SIGINT)
        finally:
            pool.submit(fail).result()
            fitting = threading.Thread(target=signals.raise_if_interrupted)
            fitting.start()
            fitting.join()
    while True: threading.Event().wait(1)
except KeyboardInterrupt:
    print("interrupted", task.result())
"""


def run(how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, how]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_a_task_is_given_to_a_pool_before_an_interruption_counts() -> None:
    done = run("submit")
    assert (done.stdout, done.stderr) == ("submitted\ninterrupted 0\n", "")


def test_other_threads_say_nothing_once_it_was_interrupted() -> None:
    done = run("thread")
    assert (done.stdout, done.stderr) == ("submitted\ninterrupted 0\n", "")


@pytest.mark.parametrize("is_over", [True, False])
def test_a_signal_is_sent_again_only_while_the_run_goes_on(monkeypatch, is_over) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(signals, "_explained", is_over)
    monkeypatch.setattr(signals.os, "kill", lambda *given: sent.append(given))
    signals._send_again(2)
    assert sent == ([] if is_over else [(os.getpid(), 2)])
