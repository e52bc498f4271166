"""What can go wrong with a store. Each error is also the builtin that a caller would catch."""

from savs.foundation.errors import SavsError

REPAIR = "run `savs repair` and then the same `savs extract` command again"
"""What to do about a damaged shard; what is left of it is set aside, not deleted."""


class StoreError(SavsError):
    """Root of the store's errors."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """The folder is not there, or holds no store."""


class StoreFormatError(StoreError, ValueError):
    """The store is of a format version that this release does not read."""


class StoreCorruptError(StoreError, ValueError):
    """Bytes on disk are not what the writer left there."""


class StoreIncompleteError(StoreError, LookupError):
    """Planned shards are missing."""


class StoreMismatchError(StoreError, ValueError):
    """Two things that must agree to share a store do not: models, settings or examples."""


class StoreLockedError(StoreError, BlockingIOError):
    """Another live process writes to this store."""


class StoreWriteError(StoreError, OSError):
    """The disk refused: full, read-only or gone."""


class StoreReadError(StoreError, OSError):
    """The disk or its permissions keep a file from being read; the file may be whole."""


class FeatureValueError(StoreError, ValueError):
    """Features that must not be stored: NaN, infinity, a wrong shape."""


class HeadNotFoundError(StoreError, KeyError):
    """A head was asked for that the store does not hold."""

    __str__ = Exception.__str__  # KeyError would print the message as a quoted key


class ResultError(StoreError, ValueError):
    """A result file that cannot be read back."""
