"""Media at an http or https URL, fetched once and kept in a folder."""

import hashlib
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from savs.datasets.errors import MediaError
from savs.foundation.whole_files import whole_file

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

TIMEOUT_S = 20.0
"""How long a server may be silent."""
DEADLINE_S = 300.0
"""How long one medium may take."""
MAX_BYTES = 256 * 2**20
"""Largest medium."""
AT_ONCE = 8
"""Media that are fetched in parallel."""
_PIECE = 2**16


def is_address(name: str) -> bool:
    """Return whether a medium's name is an http or https URL.

    Examples
    --------
    >>> is_address("https://host/1.png"), is_address("photos/1.png")
    (True, False)
    """
    return name.lower().startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True)
class Fetching:
    """How media at a URL are fetched."""

    folder: Path | None = None
    """Folder for fetched files, named by the digest of the URL; None keeps none."""
    timeout_s: float = TIMEOUT_S
    max_bytes: int = MAX_BYTES
    failed: dict[str, str] = field(default_factory=dict, compare=False)
    """URL -> why it could not be fetched; it is not tried again."""

    def kept(self, address: str) -> Path | None:
        """Return the file of a medium that was fetched before, or None."""
        path = self._path_of(address)
        return path if path is not None and path.is_file() else None

    def fetch(self, address: str) -> bytes:
        """Return the bytes at a URL, from the folder if they are kept there.

        Raises
        ------
        MediaError
            The server refuses, is silent, or sends more than `max_bytes`.
        """
        kept = self.kept(address)
        if kept is not None:
            try:
                return kept.read_bytes()
            except OSError as error:
                raise MediaError(f"{kept} cannot be read: {error.strerror}; remove it") from error
        if address not in self.failed:
            from http.client import HTTPException  # no other command waits for this import

            try:
                data = self._download(address)
            except (OSError, HTTPException, ValueError) as error:  # URLError is an OSError
                reason = getattr(error, "reason", None) or error
                self.failed[address] = f"cannot be fetched: {reason}"
            else:
                self._keep(address, data)
                return data
        raise MediaError(f"{address} {self.failed[address]}")

    def fetch_all(self, names: Iterable[str]) -> list[str]:
        """Fetch all names that are URLs; return a line that counts them, if any.

        Without a folder nothing is fetched.
        """
        addresses = list(dict.fromkeys(filter(is_address, names)))
        if not addresses or self.folder is None:
            return []
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="savs-fetching") as pool:
            there = sum(pool.map(self._try, addresses))
        return [f"{there:,} of {len(addresses):,} URLs were fetched into {self.folder}"]

    def _try(self, address: str) -> bool:
        try:
            return bool(self.kept(address) or self.fetch(address))
        except MediaError:
            return False  # reported when the medium is read

    def _download(self, address: str) -> bytes:
        started, data = time.monotonic(), bytearray()
        with _opener().open(address, timeout=self.timeout_s) as answer:
            while piece := answer.read(_PIECE):
                data += piece
                if len(data) > self.max_bytes:
                    raise ValueError(f"it has more than {self.max_bytes:,} bytes")
                if time.monotonic() - started > DEADLINE_S:
                    raise ValueError(f"it takes more than {DEADLINE_S:.0f} s")
            if answer.length:  # bytes that were announced and did not arrive
                raise ValueError(f"the connection ended {answer.length:,} bytes early")
        return bytes(data)

    def _keep(self, address: str, data: bytes) -> None:
        path = self._path_of(address)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as partial:
                partial.write_bytes(data)
        except OSError as error:
            raise MediaError(
                f"{path} cannot be written: {error.strerror}; free disk space"
            ) from error

    def _path_of(self, address: str) -> Path | None:
        name = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()
        return None if self.folder is None else self.folder / name


@contextmanager
def temporary_fetching(*, wanted: bool) -> Iterator[Fetching | None]:
    """Yield a `Fetching` whose folder is removed when the block ends; None if not wanted."""
    if not wanted:
        yield None
        return
    with TemporaryDirectory(prefix="savs-fetched-") as folder:
        yield Fetching(Path(folder))


def _opener() -> "OpenerDirector":
    """Return an opener for http and https only, so that no redirect reaches another protocol."""
    from urllib import request

    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.UnknownHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPRedirectHandler(),
        request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "savs")]
    return opener
