"""What a caller hears while extraction runs."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reporting:
    """What a caller hears while extraction runs; silent by default."""

    say: Callable[[str], None] = lambda text: None
    """Gets whole messages."""
    progress: Callable[[int], AbstractContextManager[Callable[[int], None]]] = lambda total: (
        nullcontext(lambda rows: None)
    )
    """Gets the number of rows to do; what it gives is told the rows done, batch by batch."""


SILENT = Reporting()
