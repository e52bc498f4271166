"""Where a store lies: in a folder, or behind an address that fsspec can read."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from savs.stores.errors import StoreReadError

BLOCK_BYTES = 2**16
"""Piece that is fetched at once of a remote shard; a head of 256 rows x 128 is as large."""
BLOCKS_KEPT = 64


def find_place(store: str | Path) -> Any:
    """Return a store's folder as a path, or as what behaves like one: `https://`, `s3://`, `hf://`.

    Raises
    ------
    StoreReadError
        It is an address, and the packages that read addresses are not installed.
    """
    text = str(store)
    if "://" not in text:
        return Path(store)
    if find_spec("upath") is None:
        raise StoreReadError(
            f"{text} is an address; to read it, install: pip install 'savs[remote]' (in a copy of"
            " the repository: pip install '.[remote]')"
        )
    from upath import UPath

    try:
        return UPath(text)
    except (ImportError, ValueError) as error:
        raise StoreReadError(f"{text} cannot be read: {error}") from error


def is_remote(place: Any) -> bool:
    """Return whether a store lies behind an address: it is read, and never written."""
    return not isinstance(place, Path)


def open_bytes(place: Any) -> Any:
    """Return a shard's file, open for reading; of a remote one, pieces are fetched and kept."""
    if not is_remote(place):
        return place.open("rb", buffering=0)
    return place.open(
        "rb",
        block_size=BLOCK_BYTES,
        cache_type="blockcache",
        cache_options={"maxblocks": BLOCKS_KEPT},
    )
