"""Extractions that are ended from outside: a warm process forks one for each, so that it is cheap.

Run as a script it reads one `Order` a line as JSON and answers with one `End` a line.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

FORK_TIMEOUT_S = 600
DTYPE = "bfloat16"
"""That of the weights: others are converted by threads, whose pool does not survive a fork."""


@dataclass(frozen=True, slots=True)
class Order:
    """One extraction and how it is to end."""

    extraction: dict[str, Any]
    """Arguments of `savs.pipeline.extract`, paths as text; of `savs.train` if `source` is one."""
    delay_s: float | None = None
    """When the signal comes, from the fork on; None lets the extraction end by itself."""
    signal: int = signal.SIGKILL
    step: int | None = None
    """Before which change of its folder, counted from 0, it sends itself the signal."""
    shards: int = 0
    """How many shards it publishes before `step` counts."""


@dataclass(frozen=True, slots=True)
class End:
    """How an extraction ended."""

    code: int
    """0 done, 130 interrupted in good order, 1 failed, -9 killed."""
    seconds: float


class Victims:
    """The warm process, seen from a test."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, order: Order) -> End:
        """Run one extraction to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        return End(**json.loads(self._process.stdout.readline()))


@contextmanager
def warm_victims() -> Iterator[Victims]:
    """Start the warm process; it ends with the block."""
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    ) as process:
        yield Victims(process)


def _serve() -> None:
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    from savs.pipeline.extraction.entry_points import load_model

    import_module("savs.pipeline.extraction.run_extraction")
    import_module("savs.pipeline.classifying.training")
    load_model("demo", dtype=DTYPE)  # imports all that loading needs; each victim loads it again
    for line in sys.stdin:
        order = Order(**json.loads(line))
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _extract(order)
        child = os.pidfd_open(pid)
        wait_s = FORK_TIMEOUT_S if order.delay_s is None else order.delay_s
        if not select.select([child], [], [], wait_s)[0]:
            os.kill(pid, signal.SIGKILL if order.delay_s is None else order.signal)
        _, status = os.waitpid(pid, 0)
        os.close(child)
        end = End(os.waitstatus_to_exitcode(status), time.monotonic() - started)
        print(json.dumps(asdict(end)), flush=True)


def _extract(order: Order) -> None:
    """Extract in the forked child, which never returns."""
    from savs import extract, train

    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command does
        if order.step is not None:
            _end_at(order, order.step)
        if "source" in order.extraction:
            train(model="demo", dtype=DTYPE, **order.extraction)
        else:
            extract("general", model="demo", dtype=DTYPE, **order.extraction)
        code = 0
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _end_at(order: Order, step: int) -> None:
    """Send this process a signal before the change of its folder that has a number."""
    left, unpublished, folder = step, order.shards, order.extraction["out"]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left, unpublished
        if not _changes(event, arguments, folder):
            return
        if unpublished:
            unpublished -= event == "os.link" and str(arguments[1]).endswith(".h5")
            return
        left -= 1
        if left == -1:
            os.kill(os.getpid(), order.signal)

    sys.addaudithook(watch)


def _changes(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    if event not in ("open", "os.link", "os.rename", "os.remove", "os.mkdir"):
        return False
    return isinstance(arguments[0], str | os.PathLike) and os.fspath(arguments[0]).startswith(
        folder
    )


if __name__ == "__main__":
    _serve()
