"""Open a store for reading."""

from pathlib import Path
from typing import Any

from savs.stores.files.paths import find_place
from savs.stores.format.manifest import Manifest, read_manifest
from savs.stores.read.shards import Shards
from savs.stores.read.store import FeatureStore
from savs.stores.read.tables import Tables


def open_store(path: str | Path, *, partial: bool = False) -> FeatureStore:
    """Open a store for reading; nothing but store.json is read.

    Parameters
    ----------
    path
        The store's folder, or its URL: `https://`, `s3://`, `hf://` or another that fsspec reads.
    partial
        Read the finished shards as if they were all, while an extraction still writes others.

    Raises
    ------
    StoreNotFoundError
        The folder does not exist or holds no store.
    StoreFormatError
        This release does not read its format version.
    StoreCorruptError
        store.json is damaged.
    """
    folder = find_place(path)
    return store_of(folder, read_manifest(folder), partial=partial)


def store_of(folder: Any, manifest: Manifest, *, partial: bool = False) -> FeatureStore:
    """Return the store in a folder, or at a URL, whose store.json was read.

    Parameters
    ----------
    folder
        Path of the folder, or of the URL.
    manifest
        What `store.json` says.
    partial
        Read a store with missing shards as if it were complete.
    """
    return FeatureStore(folder, manifest, Tables(Shards(folder, manifest)), partial=partial)
