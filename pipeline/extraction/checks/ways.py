"""How a run chooses among ways to run, by trying them on the user's first prompts.

A run could share images, or use FlashAttention, or put examples into batches. Each of these is a
way. It is taken if it gives what the plain run gives.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from savs.pipeline.errors import ModelError

NOTHING_COMPARED = "nothing was compared"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of a comparison."""

    same: bool
    seen: str
    """What was compared and found, for the user."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The way that is taken, and why; a store records it."""

    name: str
    seen: str
    """What the comparison saw, or why there was none."""


@dataclass(frozen=True, slots=True)
class Way:
    """One of the ways to choose from."""

    name: str
    attempt: Callable[[], Verdict]
    """Sets the model to run so, runs it, and compares."""
    undo: Callable[[], object] = lambda: None
    """Sets the model back after an attempt that failed."""
    refusal: str = ""
    """Begins the reason where the way is not taken. Of ways with one refusal the last is named."""


class UntriedError(Exception):
    """No way can be tried; the text says why."""


def choose(default: str, ways: Iterable[Way], *, untried: str | None = None) -> Choice:
    """Return the first way that gives the same, which stays set; else `default`.

    Where nothing can be compared, that is `untried`, or else the default, too.
    """
    refused: dict[str, str] = {}
    try:
        for way in ways:
            verdict = _try(way)
            if verdict.same:
                refused.pop(way.refusal, None)
                return Choice(way.name, "; ".join([verdict.seen, *refused.values()]))
            reason = f"{way.refusal}: {verdict.seen}" if way.refusal else verdict.seen
            refused[way.refusal] = reason
        if not refused:
            raise UntriedError(NOTHING_COMPARED)
    except UntriedError as error:
        return Choice(default if untried is None else untried, str(error))
    return Choice(default, "; ".join(refused.values()))


def _try(way: Way) -> Verdict:
    try:
        verdict = way.attempt()
    except UntriedError:
        way.undo()
        raise
    except Exception as error:  # whatever it is, the plain way has not failed by it
        verdict = Verdict(False, error_line(error))
    if not verdict.same:
        way.undo()
    return verdict


@contextmanager
def plain_runs() -> Iterator[None]:
    """Turn what examples raise in the plain way into UntriedError.

    It is no fault of another way; the run itself skips such examples, or fails, and says so.
    """
    try:
        yield
    except Exception as error:
        raise UntriedError(f"no prompt could be tried: {error_line(error)}") from error


def error_line(error: Exception) -> str:
    """Return what was raised, as the result of a comparison.

    Of a ModelError that is the fault alone, without what the user could do.
    """
    text = str(error).partition("\n")[0]
    return (
        text.partition(";")[0]
        if isinstance(error, ModelError)
        else f"{type(error).__name__}: {text}"
    )
