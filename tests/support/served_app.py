"""`savs app` as a process of its own, as a user starts it."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_S = 180
"""Longest wait for the server."""


@dataclass(frozen=True, slots=True)
class ServedApp:
    """A running server."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path

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
    environment = os.environ | {"PYTHONSAFEPATH": "1", "TMPDIR": str(folder)} | variables
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", port or str(free_port())],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield ServedApp(process, _address(process, log), log)
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
