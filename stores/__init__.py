"""Feature stores: the only room that knows HDF5."""

from savs.foundation.imports import lazy_imports

with lazy_imports(globals()):
    from savs.stores.errors import (
        FeatureValueError as FeatureValueError,
        HeadNotFoundError as HeadNotFoundError,
        ResultError as ResultError,
        StoreCorruptError as StoreCorruptError,
        StoreError as StoreError,
        StoreFormatError as StoreFormatError,
        StoreIncompleteError as StoreIncompleteError,
        StoreLockedError as StoreLockedError,
        StoreMismatchError as StoreMismatchError,
        StoreNotFoundError as StoreNotFoundError,
        StoreReadError as StoreReadError,
        StoreWriteError as StoreWriteError,
    )
    from savs.stores.format.layout import (
        ANSWERS_HEAD as ANSWERS_HEAD,
        FORMAT as FORMAT,
        Head as Head,
        LayerGrid as LayerGrid,
        head_name as head_name,
    )
    from savs.stores.format.manifest import Identity as Identity, Manifest as Manifest
    from savs.stores.format.plan import (
        PlannedRow as PlannedRow,
        ShardSpec as ShardSpec,
        StorePlan as StorePlan,
    )
    from savs.stores.read.store import (
        AnswersHead as AnswersHead,
        FeatureStore as FeatureStore,
        open_store as open_store,
        store_of as store_of,
    )
    from savs.stores.shard.content import ShardContent as ShardContent
    from savs.stores.write.opening import open_writer as open_writer, reserve as reserve
    from savs.stores.write.writer import FeatureWriter as FeatureWriter
