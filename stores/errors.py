"""Errors of the feature store. Each is also the builtin error that a caller would catch."""

from savs.foundation.errors import SavsError

REPAIR = "run `savs verify --repair`, then the same `savs extract` command again"
"""What to do about a damaged shard; repair renames it and does not delete it."""


class StoreError(SavsError):
    """Base class of the store's errors."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """The folder does not exist or holds no store."""


class StoreFormatError(StoreError, ValueError):
    """The store has a format version that this release does not read."""


class StoreCorruptError(StoreError, ValueError):
    """Bytes on disk differ from what the writer wrote."""


class StoreIncompleteError(StoreError, LookupError):
    """Planned shards are missing."""


class StoreMismatchError(StoreError, ValueError):
    """Models, settings or examples differ that must be equal to share a store."""


class StoreLockedError(StoreError, BlockingIOError):
    """Another live process writes to this store."""


class StoreWriteError(StoreError, OSError):
    """The disk cannot be written: full, read-only or gone."""


class StoreReadError(StoreError, OSError):
    """A file cannot be read because of the disk or its permissions; it may be intact."""


class FeatureValueError(StoreError, ValueError):
    """Features that cannot be stored: NaN, infinity, a wrong shape."""


class HeadNotFoundError(StoreError, KeyError):
    """The store does not hold a requested head."""

    __str__ = Exception.__str__  # KeyError would print the message as a quoted key


class ResultError(StoreError, ValueError):
    """A result file that cannot be read back."""


class AnswerError(ValueError):
    """A server answers as it must not, with too much or with the way to another server."""
