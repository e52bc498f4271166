"""The base class of all errors that the input causes, and commands in their messages."""

import shlex


class SavsError(Exception):
    """Base class of all errors that the input causes, not the program.

    The message says where, what was expected, what was found and what to do. Each subclass is also
    a builtin error: a `ValueError`, an `OSError`.
    """


def reason_of(error: BaseException) -> str:
    r"""Return one line that says why a file cannot be read or written.

    That is the system's own text, which has no path in it; else the first line of the message:
    polars adds its query plan.

    Examples
    --------
    >>> reason_of(FileNotFoundError(2, "No such file or directory", "a.csv"))
    'No such file or directory'
    >>> reason_of(ValueError("not JSON\nPLAN"))
    'not JSON'
    """
    return getattr(error, "strerror", None) or str(error).strip().partition("\n")[0]


def command(*words: object) -> str:
    """Return a command as a shell reads it: a hint that is pasted runs what it says, and no more.

    Examples
    --------
    >>> command("savs", "evaluate", "my photos;b")
    "savs evaluate 'my photos;b'"
    """
    return shlex.join(map(str, words))


class ParameterError(SavsError, ValueError):
    """An argument is out of its range or not one of the known names."""
