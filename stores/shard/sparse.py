"""A file in memory of which only what was written takes room."""

import io
from collections import defaultdict
from typing import Any

PAGE_BYTES = 2**16


class SparseFile(io.RawIOBase):
    """Bytes that are zero until they are written, as far behind the others as may be."""

    def __init__(self) -> None:
        self._pages: defaultdict[int, bytearray] = defaultdict(lambda: bytearray(PAGE_BYTES))
        self._place = 0
        self._size = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the beginning, the place now, or the end; return the place."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = start + offset
        return self._place

    def truncate(self, size: int | None = None) -> int:
        """End the file after so many bytes, or at this place."""
        self._size = self._place if size is None else size
        kept = -(-self._size // PAGE_BYTES)
        for page in [page for page in self._pages if page >= kept]:
            del self._pages[page]
        if kept - 1 in self._pages:  # zeros behind the end, should it grow again
            last = self._size - (kept - 1) * PAGE_BYTES
            self._pages[kept - 1][last:] = bytes(PAGE_BYTES - last)
        return self._size

    def write(self, data: Any) -> int:
        """Put bytes at this place and move behind them."""
        view = memoryview(data).cast("B")
        for page, part, done in self._parts(len(view)):
            self._pages[page][part] = view[done : done + part.stop - part.start]
        self._place += len(view)
        self._size = max(self._size, self._place)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the bytes from this place on, as far as there are any."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._place))
        for page, part, done in self._parts(count):
            stop = done + part.stop - part.start
            view[done:stop] = self._pages[page][part] if page in self._pages else bytes(stop - done)
        self._place += count
        return count

    def _parts(self, count: int) -> list[tuple[int, slice, int]]:
        """Return `(page, slice of it, bytes before)` of the `count` bytes from this place on."""
        found, done = [], 0
        while done < count:
            page, start = divmod(self._place + done, PAGE_BYTES)
            stop = min(PAGE_BYTES, start + count - done)
            found.append((page, slice(start, stop), done))
            done += stop - start
        return found
