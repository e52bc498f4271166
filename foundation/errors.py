"""The base class of all errors that the input causes, and commands in their messages."""

import shlex


class SavsError(Exception):
    """Base class of all errors that the input causes, not the program.

    The message says where, what was expected, what was found and what to do. Each subclass is also
    a builtin error: a `ValueError`, an `OSError`.
    """


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
