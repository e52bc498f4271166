"""One machine, a process a GPU: started together, watched, and ended together."""

import os
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import IO

from savs.foundation.bounds import whole_number
from savs.foundation.errors import ParameterError
from savs.pipeline.running import signals as interruption
from savs.pipeline.running.cores import count_cores
from savs.pipeline.running.launchers import Rank

TICK_S = 0.5
"""How often the display is renewed."""
DONE = (0, 4)
"""Exit codes of a process that has seen the end of the work; 4 says that examples were skipped."""
ALL, NONE = "all", "none"
Message = tuple[str, str]
"""A device, and what its process says."""


def parse_devices(text: str, count_gpus: Callable[[], int]) -> list[str]:
    """Return the device of each process.

    `text` is `all`, a number of GPUs, their numbers (`0,2`), or names of devices (`cpu,cpu`), as
    `--device` takes them. ParameterError for a GPU that is not there, none at all, or one twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if text == ALL:
        chosen = [f"cuda:{gpu}" for gpu in range(count_gpus())]
        if not chosen:
            raise ParameterError("`gpus` all: no GPU is visible; see `nvidia-smi`, or leave it out")
        return chosen
    if (gpus := whole_number(text)) is not None:
        chosen = [f"cuda:{gpu}" for gpu in range(min(gpus, count_gpus() + 1))]
    else:
        chosen = [f"cuda:{part}" if part.isascii() and part.isdecimal() else part for part in parts]
    named = [device for device in chosen if device.startswith("cuda:")]
    if not chosen or not all(chosen) or len(set(named)) < len(named):
        raise ParameterError(
            f"`gpus` is {text!r:.50}, expected all, a number of GPUs, their numbers such as 0,2, or"
            " devices such as cuda:0,cuda:2"
        )
    if named:
        count = count_gpus()
        there = {f"cuda:{gpu}" for gpu in range(count)}
        if absent := [device for device in named if device not in there]:
            raise ParameterError(
                f"`gpus` {text:.50}: {absent[0]:.50} is not there; {count} are visible"
            )
    return chosen


def require_own_devices(gpus: str, device: str, engine: str = "local") -> None:
    """Raise ParameterError where `gpus` and another option choose the devices."""
    if gpus != NONE and (engine == "ray" or device != "auto"):
        other = "`engine` ray" if engine == "ray" else f"`device` {device}"
        raise ParameterError(f"`gpus` chooses the devices, and so does {other}; give one")


@dataclass
class Node:
    """The processes of a command on this machine.

    A process that ends early is reported; the others claim what it leaves.
    """

    devices: Sequence[str]
    arguments: Sequence[str]
    """Of the command that each of them runs, without its device."""
    rank: Rank
    """Which process this one is, where a launcher started it on several machines."""
    say: Callable[[str], None]
    codes: dict[str, int] = field(default_factory=dict)
    """Process, such as `cuda:0`, or `1: cpu` where a device has several -> exit code."""

    def run(self, tick: Callable[[], None]) -> None:
        """Start all processes and wait until they have ended; `tick` is called meanwhile."""
        with self._started() as processes:
            messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
            readers = [
                Thread(target=_read, args=(name, process.stderr, messages), daemon=True)
                for name, process in processes.items()
                if process.stderr is not None
            ]
            for reader in readers:
                reader.start()
            seen: set[str] = set()
            while any(reader.is_alive() for reader in readers) or not messages.empty():
                interruption.raise_if_interrupted()
                self._show(messages, seen)
                tick()
                for name, process in processes.items():
                    self._note_end(name, process.poll())
            for name, process in processes.items():
                self._note_end(name, process.wait())
            tick()

    def _show(self, messages: "queue.SimpleQueue[Message]", seen: set[str]) -> None:
        """Show what processes say, once where several say the same."""
        try:
            name, text = messages.get(timeout=TICK_S)
            while True:
                if text not in seen:
                    seen.add(text)
                    self.say(f"[{name}] {text}")
                name, text = messages.get_nowait()
        except queue.Empty:
            return

    def _note_end(self, name: str, code: int | None) -> None:
        if code is None or name in self.codes:
            return
        self.codes[name] = code
        if code < 0:
            self.say(f"[{name}] was killed by {signal.Signals(-code).name}; others take its shards")
        elif code not in DONE:
            self.say(f"[{name}] ended with exit code {code}; others take its shards")

    @contextmanager
    def _started(self) -> Iterator[dict[str, "subprocess.Popen[str]"]]:
        """Start all processes; where the block is interrupted, end them in good order."""
        processes: dict[str, subprocess.Popen[str]] = {}
        try:
            for number, device in enumerate(self.devices):
                name = device if self.devices.count(device) == 1 else f"{number}: {device}"
                processes[name] = subprocess.Popen(
                    [
                        *(sys.executable, "-P", "-m", "savs"),
                        *with_options(self.arguments, ["--device", device]),
                    ],
                    env=self._environment(number),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                    errors="replace",
                    start_new_session=True,  # Ctrl-C comes here alone, and is passed on once
                )
            yield processes
        except BaseException:
            _end(processes.values())
            raise

    def _environment(self, number: int) -> Mapping[str, str]:
        """Return what tells a process which one it is, and its share of the cores."""
        count = len(self.devices)
        threads = {"OMP_NUM_THREADS": str(max(count_cores() // count, 1))}
        return (
            threads
            | os.environ
            | {
                "RANK": str(self.rank.rank * count + number),
                "WORLD_SIZE": str(self.rank.ranks * count),
                "LOCAL_RANK": str(number),
                "LOCAL_WORLD_SIZE": str(count),
            }
        )


def with_options(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return the arguments of a command with options after its own, before what follows `--`."""
    end = [*arguments, "--"].index("--")
    return [*arguments[:end], *options, *arguments[end:]]


def exit_code(codes: Sequence[int]) -> int:
    """Return the greatest of exit codes; one that a signal killed has 128 + its number."""
    return max(code if code >= 0 else 128 - code for code in codes)


def _end(processes: Collection["subprocess.Popen[str]"]) -> None:
    """End processes in good order, or, where that is interrupted too, at once."""
    try:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
    except BaseException:
        for process in processes:
            process.kill()
        raise


def _read(name: str, stream: IO[str], messages: "queue.SimpleQueue[Message]") -> None:
    with stream:
        for line in stream:
            messages.put((name, line.rstrip("\n")))


@contextmanager
def parts_progress(
    files: Callable[[], set[str]],
    planned: Callable[[], Mapping[str, int]],
    progress: Callable[[int], AbstractContextManager[Callable[[int], None]]],
) -> Iterator[tuple[Callable[[], None], frozenset[str]]]:
    """Show the rows that are done meanwhile, once a process has planned the parts.

    `files` returns the names of the files that are there, `planned` file -> rows of all parts, and
    nothing before they are planned; `progress` makes the display of a number of rows. Yields a
    function that looks at the files once more, and the files that were there before.
    """
    before = frozenset(files())
    left: dict[str, int] = {}
    show: Callable[[int], None] | None = None
    with ExitStack() as stack:

        def tick() -> None:
            nonlocal show
            if show is None:
                left.update((name, rows) for name, rows in planned().items() if name not in before)
                if not (total := sum(left.values())):
                    return
                show = stack.enter_context(progress(total))
            done = left.keys() & files()
            show(sum(left.pop(name) for name in done))

        yield tick, before
