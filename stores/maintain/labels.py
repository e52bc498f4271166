"""Labels that come after the features: they go into store.json, no shard is touched."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from savs.stores.errors import StoreMismatchError, StoreNotFoundError
from savs.stores.format.manifest import LateLabel, LateLabels, Manifest
from savs.stores.read.store import FeatureStore, store_of
from savs.stores.write.opening import reserve
from savs.stores.write.writer import change_manifest

Changes = Mapping[str, Mapping[str, LateLabel | None]]
"""Split that a row was planned in -> its id -> the label that it gets; None takes one back."""


def give_labels(store: FeatureStore, changes: Callable[[LateLabels], Changes]) -> FeatureStore:
    """Write labels into a store, whole or not at all, and return it as it is now.

    Others may do the same: `changes` are made of the labels as they are now, several times maybe,
    each time while this process holds store.json. StoreNotFoundError if the store is gone,
    StoreMismatchError if an example was added meanwhile under an id that gets a label,
    StoreWriteError if the folder cannot be written; then no label is changed.
    """

    def changed(now: Manifest) -> Manifest:
        labels = {split: dict(rows) for split, rows in now.labels.items()}
        for split, rows in changes(now.labels).items():
            of_split = labels.setdefault(split, {})
            for name, label in rows.items():
                of_split.pop(name, None)  # the newest label is the last
                if label is not None:
                    of_split[name] = label
        try:
            return replace(now, labels={split: rows for split, rows in labels.items() if rows})
        except ValueError as error:  # an extraction was faster
            raise StoreMismatchError(
                f"{store.path}: {error}: an example of that id was added meanwhile; leave it out"
            ) from error

    with reserve(store.path) as place:
        if place.manifest is None:
            raise StoreNotFoundError(f"{store.path} holds no store any more; restore it")
        manifest = change_manifest(store.path, place.claims, changed)
    return store_of(store.path, manifest, partial=store.partial)
