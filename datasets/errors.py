"""Errors of a benchmark's files; each is also the builtin that a caller would catch."""

from savs.foundation.errors import SavsError


class DatasetError(SavsError):
    """Base class of the errors of data sets."""


class BenchmarkNotFoundError(DatasetError, KeyError):
    """No benchmark has this name."""

    __str__ = Exception.__str__  # KeyError would print the message as a quoted key


class SourceError(DatasetError, OSError):
    """An input file that is missing, damaged, or not in the format of its suffix."""


class RowError(DatasetError, ValueError):
    """A row that the benchmark cannot read; the message names file, line and field."""


class MediaError(DatasetError, ValueError):
    """A medium that cannot be used: missing, damaged, too large, outside the root."""


class OptionError(DatasetError, ValueError):
    """An option that a benchmark does not have, or a value that no row matches."""


class BenchmarkFaultError(DatasetError, RuntimeError):
    """A benchmark whose own code fails, or returns values of the wrong type."""
