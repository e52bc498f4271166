"""Ctrl-C and SIGTERM as KeyboardInterrupt that cannot get lost.

Python drops a KeyboardInterrupt that is raised inside a destructor or a weak reference's callback,
and the program would continue. So a flag is set as well, which long loops check.
"""

import signal
from collections.abc import Callable
from types import FrameType

_asked = False
_explained = False


def listen() -> None:
    """Let Ctrl-C and SIGTERM interrupt this process; forget earlier interruptions."""
    global _asked, _explained
    _asked = _explained = False
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = True
    raise KeyboardInterrupt


def explain(say: Callable[[str], None], text: str) -> None:
    """Print what an interruption left; the command then prints nothing more."""
    global _explained
    _explained = True
    say(f"interrupted: {text}")


def is_explained() -> bool:
    """Return whether `explain` was called."""
    return _explained


def raise_if_asked() -> None:
    """Raise KeyboardInterrupt if a signal came but its exception got lost."""
    if _asked:
        raise KeyboardInterrupt
