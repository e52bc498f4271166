"""Feature stores: the only room that knows HDF5."""

from savs.foundation.imports import lazy_imports

with lazy_imports(globals()):
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
    from savs.stores.read.store import FeatureStore, open_store, store_of
    from savs.stores.shard.content import ShardContent
    from savs.stores.write.opening import open_writer, reserve
    from savs.stores.write.writer import FeatureWriter
