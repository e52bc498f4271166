"""What can go wrong with a benchmark's files; each is also the builtin a caller would catch."""

from savs.foundation.errors import SavsError


class DatasetError(SavsError):
    """Root of the errors of this room."""


class BenchmarkNotFoundError(DatasetError, KeyError):
    """No benchmark bears this name."""

    __str__ = Exception.__str__  # KeyError would print the message as a quoted key


class SourceError(DatasetError, OSError):
    """An input file that cannot be read as what its name says."""


class RowError(DatasetError, ValueError):
    """A row that is not of the benchmark's form; the message names file, line and field."""


class MediaError(DatasetError, ValueError):
    """An image or a video that cannot be used: missing, damaged, too large, outside the root."""


class OptionError(DatasetError, ValueError):
    """An option that a benchmark does not have, or a value that fits none of its rows."""


class BenchmarkFaultError(DatasetError, RuntimeError):
    """A benchmark whose own code fails, or gives what is not of the form that it shall give."""
