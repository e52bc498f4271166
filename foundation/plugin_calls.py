"""Calls of other people's functions: what goes wrong in one is a line that names file and function.

Its author knows what to do by that; a traceback of savs names the wrong program. `SystemExit`, by
which a script ends, would end the run without a word, with exit code 0. Ctrl-C passes.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from traceback import extract_tb
from typing import Any

LONGEST = 400
"""Characters of a message that are quoted."""


def is_ours(function: Callable[..., Any]) -> bool:
    """Return whether a function, or the type of an object, is a part of savs."""
    return (getattr(_plain(function), "__module__", None) or "").startswith("savs.")


def place_of(function: Callable[..., Any], line: int | None = None) -> str:
    """Return file and name of a function, as in `mine.py line 3: fit`."""
    name = getattr(_plain(function), "__name__", type(function).__name__)
    return file_of(function) + (f" line {line}" if line else "") + f": {name}"


def file_of(function: Callable[..., Any]) -> str:
    """Return the file of a function, or of a class."""
    plain = _plain(function)
    if (code := getattr(plain, "__code__", None)) is not None:
        return code.co_filename
    module = sys.modules.get(getattr(plain, "__module__", None) or "")
    return getattr(module, "__file__", None) or repr(function)


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return _plain(function.func) if isinstance(function, partial) else function


@contextmanager
def calling(
    function: Callable[..., Any],
    fault: Callable[[str, str], Exception],
    passing: type[Exception],
) -> Iterator[None]:
    """Turn what a function raises into a `fault` of its place and of what it does.

    Errors of the type `passing` are meant for the user as they are.
    """
    try:
        yield
    except passing:
        raise
    except (Exception, SystemExit) as error:
        file = file_of(function)
        lines = [
            frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == file
        ]
        text = " ".join(str(error).split())[:LONGEST]
        what = f"raises {type(error).__name__}" + (f": {text}" if text else "")
        raise fault(place_of(function, lines[-1] if lines else None), what) from error
