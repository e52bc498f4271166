"""Feature stores: the only rooms that know HDF5 and result files."""

from savs.stores.errors import (
    FeatureValueError,
    HeadNotFoundError,
    ResultError,
    StoreCorruptError,
    StoreError,
    StoreFormatError,
    StoreIncompleteError,
    StoreLockedError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreReadError,
    StoreWriteError,
)
from savs.stores.format.layout import FORMAT, Head, LayerGrid, head_name
from savs.stores.format.manifest import Identity, Manifest
from savs.stores.format.plan import PlannedRow, ShardSpec, StorePlan
from savs.stores.read.store import FeatureStore, open_store
from savs.stores.shard.content import ShardContent
from savs.stores.write.writer import FeatureWriter, open_writer

__all__ = [
    "FORMAT",
    "FeatureStore",
    "FeatureValueError",
    "FeatureWriter",
    "Head",
    "HeadNotFoundError",
    "Identity",
    "LayerGrid",
    "Manifest",
    "PlannedRow",
    "ResultError",
    "ShardContent",
    "ShardSpec",
    "StoreCorruptError",
    "StoreError",
    "StoreFormatError",
    "StoreIncompleteError",
    "StoreLockedError",
    "StoreMismatchError",
    "StoreNotFoundError",
    "StorePlan",
    "StoreReadError",
    "StoreWriteError",
    "head_name",
    "open_store",
    "open_writer",
]
