"""Ctrl-C and SIGTERM: asked once, heard for certain.

Python drops a KeyboardInterrupt that is raised inside a destructor or a weak reference's callback,
and the program would run on. So the wish is also noted, and long loops look at the note.
"""

import signal
from collections.abc import Callable
from types import FrameType

_asked = False
_explained = False


def listen() -> None:
    """Let Ctrl-C and SIGTERM interrupt this process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = True
    raise KeyboardInterrupt


def explain(say: Callable[[str], None], text: str) -> None:
    """Say what an interruption left; the command then says no more."""
    global _explained
    _explained = True
    say(f"interrupted: {text}")


def is_explained() -> bool:
    """Return whether somebody said what the interruption left."""
    return _explained


def raise_if_asked() -> None:
    """Raise KeyboardInterrupt if it was asked for and got lost."""
    if _asked:
        raise KeyboardInterrupt
