"""The base class of all errors that the input causes."""


class SavsError(Exception):
    """Base class of all errors that the input causes, not the program.

    The message says where, what was expected, what was found and what to do. Each subclass is also
    a builtin error: a `ValueError`, an `OSError`.
    """


class ParameterError(SavsError, ValueError):
    """An argument is out of its range or not one of the known names."""
