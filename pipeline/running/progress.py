"""Callbacks for the messages and the progress of a run."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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


def bars() -> Reporting:
    """Return a reporting that shows bars of tqdm: in a terminal, or as a widget of a notebook."""
    from tqdm.auto import tqdm

    @contextmanager
    def progress(total: int) -> Iterator[Callable[[int], None]]:
        with tqdm(total=total, unit="example") as bar:

            def on_rows(rows: int) -> None:
                bar.update(rows)

            yield on_rows

    return Reporting(tqdm.write, progress)
