"""Callbacks for the messages and the progress of a run."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reporting:
    """Callbacks for the messages and the progress of an extraction; silent by default."""

    say: Callable[[str], None] = lambda text: None
    """Called with each message."""
    progress: Callable[[int], AbstractContextManager[Callable[[int], None]]] = lambda total: (
        nullcontext(lambda rows: None)
    )
    """Called with the number of rows to do. Its context gives a function that is called with
    the number of finished rows after each batch."""
    detail: Callable[[str], None] = lambda text: None
    """Called with messages that ask the user to do nothing: how batches are made, for example."""


SILENT = Reporting()
