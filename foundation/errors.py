"""The root of all errors that are the input's fault, not the program's."""


class SavsError(Exception):
    """What `except SavsError` catches; the message says where, expected, got, and what to do.

    Each error below it is also the builtin that a caller would catch: a `ValueError`, an `OSError`.
    """


class ParameterError(SavsError, ValueError):
    """An argument that cannot be: out of its range, or not one of the known names."""
