"""`savs app` as a process of its own, as a user starts it, and by a thread of this one."""

import asyncio
import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

START_S = 180
"""Longest wait for the server."""


@dataclass(frozen=True, slots=True)
class AppHere:
    """A server that a thread of this process runs."""

    address: str
    log: Path


@dataclass(frozen=True, slots=True)
class ServedApp(AppHere):
    """A server that a process of its own runs."""

    process: subprocess.Popen[bytes]

    def stop(self, number: int) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def served_app(
    folder: Path, *arguments: Any, port: str | None = None, **variables: str
) -> Iterator[ServedApp]:
    """Start `savs app`, by default on a free port, and end it with the block.

    `folder` gets its log.
    """
    log = folder / "app.log"
    command = [sys.executable, "-m", "savs", "app", *map(str, arguments)]
    ours = {name: text for name, text in os.environ.items() if not name.startswith("GRADIO_")}
    environment = ours | {"PYTHONSAFEPATH": "1", "TMPDIR": str(folder)} | variables
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", port or str(free_port())],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield ServedApp(_address(process, log), log, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"savs app is at (http://\S+)", log.read_text("utf-8")):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"savs app did not start: {log.read_text('utf-8')}")


class _LeftError(Exception):
    """The block is left."""


@contextlib.contextmanager
def app_here(folder: Path, place: Path, **options: Any) -> Iterator[AppHere]:
    """Serve the app by a thread, and end it with the block: a process takes seconds to import.

    `folder` gets its log and its uploads.
    """
    from savs.pipeline.app.server import open_app

    told: queue.Queue[str | BaseException] = queue.Queue()
    is_left = threading.Event()

    def started(address: str) -> None:
        told.put(address)
        is_left.wait()
        raise _LeftError

    async def serve() -> None:
        """Serve; without a running loop Gradio makes two that it does not close."""
        try:
            open_app(place, port=free_port(), started=started, **options)
        except _LeftError:
            pass
        except BaseException as error:
            told.put(error)

    log, server = folder / "app.log", threading.Thread(target=lambda: asyncio.run(serve()))
    with (
        mock.patch.dict(os.environ),
        mock.patch.object(tempfile, "tempdir", str(folder)),
        log.open("w") as output,
        contextlib.redirect_stderr(output),
    ):
        server.start()
        try:
            address = told.get(timeout=START_S)
            if isinstance(address, BaseException):
                raise address
            yield AppHere(address, log)
        finally:
            is_left.set()
            server.join()
