"""Where a store is: in a folder, or at a URL that fsspec can read."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from savs.foundation.errors import reason_of
from savs.foundation.imports import install_command
from savs.stores.errors import StoreReadError

BLOCK_BYTES = 2**16
"""Size of the pieces of a remote shard that are fetched; a head of 256 rows x 128 has as much."""
BLOCKS_KEPT = 64
WRITABLE = ("s3", "s3a", "gs", "gcs", "az", "abfs")
"""Protocols whose file systems may make an object on condition that it is not there."""


def find_place(store: str | Path) -> Any:
    """Return a store's folder, or its URL as a `UPath`; StoreReadError if a package is missing."""
    text = str(store)
    if "://" not in text:
        return Path(store)
    if find_spec("upath") is None:
        extra = "s3" if text.startswith("s3:") else "remote"
        raise StoreReadError(
            f"{text} is a URL, which needs an extra; install with: {install_command(extra)}"
        )
    from upath import UPath

    try:
        return UPath(text, **_options(text))
    except (ImportError, ValueError) as error:
        raise StoreReadError(f"{text} cannot be opened: {error}; check the URL") from error


def _options(url: str) -> dict[str, Any]:
    scheme = url.partition("://")[0].lower()
    if scheme in WRITABLE:
        return {"use_listings_cache": False}  # other processes write there
    if scheme not in ("http", "https"):
        return {}
    from savs.stores.files.web import web_options

    return web_options()


def is_remote(place: Any) -> bool:
    """Return whether a store is at a URL."""
    return not isinstance(place, Path)


def local_folder(store: str | Path) -> Path:
    """Return a store's folder; StoreReadError for a URL."""
    if "://" in str(store):
        raise StoreReadError(
            f"{store} is a URL, and files are verified in a folder of this machine: copy the store"
            " here first"
        )
    return Path(store)


def is_writable(place: Any) -> bool:
    """Return whether a store may be written where it is: a folder, or a bucket's objects."""
    return not is_remote(place) or place.protocol in WRITABLE


def open_bytes(place: Any) -> Any:
    """Open a shard's file for reading; a remote one is fetched, and cached, in pieces."""
    if not is_remote(place):
        return place.open("rb", buffering=0)
    return place.open(
        "rb",
        block_size=BLOCK_BYTES,
        cache_type="blockcache",
        cache_options={"maxblocks": BLOCKS_KEPT},
    )


def underlying(error: Exception, place: Any) -> Exception:
    """Return what a failure comes from: fsspec calls all of http a file that is not there.

    A `FileNotFoundError` that is returned is one: the server says so.
    """
    cause = error.__cause__
    is_http = isinstance(error, FileNotFoundError) and place.protocol in ("http", "https")
    if is_http and isinstance(cause, Exception) and getattr(cause, "status", 0) not in (404, 410):
        return cause
    return error


def reason(error: Exception) -> str:
    """Return one line that says what is wrong; a library's own may be empty, or a bare name."""
    status, message = getattr(error, "status", 0), getattr(error, "message", "")
    if isinstance(error, TimeoutError):
        return "it takes too long"
    if isinstance(error, KeyError):
        return f"the server's answer lacks {error}"
    if type(error).__name__ == "TooManyRedirects":
        return "the server leads from address to address without end"
    if status and message:  # aiohttp's, which would add the URL once more
        return f"the server says {status} {message:.200}".partition("\n")[0]
    return reason_of(error)[:500] or type(error).__name__
