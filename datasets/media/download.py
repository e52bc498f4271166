"""Media at an http or https URL, fetched once and kept in a folder."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from savs.datasets.errors import MediaError
from savs.datasets.parts import whole_name
from savs.datasets.rows.media_names import is_address
from savs.foundation.errors import reason_of
from savs.foundation.files import whole_file

TIMEOUT_S = 20.0
"""How long a server may be silent."""
DEADLINE_S = 300.0
"""How long one medium may take, from the first connection to the last byte."""
MAX_BYTES = 256 * 2**20
"""Largest medium."""
MAX_TOTAL_BYTES = 100 * 10**9
"""What a run fetches at most by default."""
AT_ONCE = 8
"""Media that are fetched in parallel."""
_COUNTING = Lock()
"""Held while bytes are counted; a `Fetching` travels to worker processes, a lock cannot."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """How media at a URL are fetched."""

    folder: Path | None = None
    """Folder for fetched files, named by the digest of the URL; None keeps none."""
    allow_private: bool = False
    """Whether to ask addresses of private networks, too."""
    max_total_bytes: int = MAX_TOTAL_BYTES
    """The most that a run fetches."""
    timeout_s: float = TIMEOUT_S
    deadline_s: float = DEADLINE_S
    max_bytes: int = MAX_BYTES
    spent: list[int] = field(default_factory=lambda: [0], compare=False)
    """Bytes that were fetched so far, in one item."""
    failed: dict[str, str] = field(default_factory=dict, compare=False)
    """URL -> why it could not be fetched; it is not tried again."""

    def cached_file(self, address: str) -> Path | None:
        """Return the file of a medium that was fetched before, or None."""
        path = self._path_of(address)
        return path if path is not None and path.is_file() else None

    def fetch(self, address: str) -> bytes:
        """Return the bytes at a URL, from the folder if they are there.

        MediaError if the server refuses, is silent or slow, sends more than `max_bytes`, or is
        in a private network, and where the run has fetched what it may.
        """
        path = self.cached_file(address)
        if path is not None:
            try:
                return path.read_bytes()
            except OSError as error:
                raise MediaError(f"{path} cannot be read: {reason_of(error)}; remove it") from error
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
        addresses = list(dict.fromkeys(filter(is_address, map(whole_name, names))))
        if not addresses or self.folder is None:
            return []
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="savs-fetching") as pool:
            fetched = sum(pool.map(self._try, addresses))
        return [
            f"{fetched:,} of {len(addresses):,} URLs are in {self.folder}; {self.spent[0]:,} bytes"
            f" were fetched, {self.max_total_bytes:,} are allowed (`fetch_gb`)"
        ]

    def _try(self, address: str) -> bool:
        try:
            return bool(self.cached_file(address) or self.fetch(address))
        except MediaError:
            return False  # reported when the medium is read

    def _download(self, address: str) -> bytes:
        from savs.datasets.media.http_requests import download  # no other command waits for it

        self._count(0)
        return download(
            address,
            timeout_s=self.timeout_s,
            deadline_s=self.deadline_s,
            max_bytes=self.max_bytes,
            allow_private=self.allow_private,
            count=self._count,
        )

    def _count(self, received: int) -> None:
        """Count bytes of this run; ValueError if they are more than it may fetch."""
        with _COUNTING:
            self.spent[0] += received
        if self.spent[0] > self.max_total_bytes:
            raise ValueError(
                f"this run has fetched {self.max_total_bytes:,} bytes, the most that it may; raise"
                " `fetch_gb`"
            )

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
                f"{path} cannot be written: {reason_of(error)}; free disk space"
            ) from error

    def _path_of(self, address: str) -> Path | None:
        name = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()
        return None if self.folder is None else self.folder / name
