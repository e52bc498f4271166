"""Where media lie in tar shards and in JSON Lines files: an index of each, kept while memory lasts.

Without it each medium would cost a pass over its whole file.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from savs.datasets.rows.tar_samples import read_samples

MAX_BYTES = 2**27
"""Most bytes of the indexes of each kind that a process keeps, unless one alone is larger: those of
5 million members of tar shards, or of 16 million lines."""
_LONG_LINE = 512
"""A line of more bytes than this is not blank."""
Index = tuple["array[int]", ...]
"""Columns of integers."""


class IndexCache:
    """The indexes of files that were used last; an older one is made again."""

    def __init__(self, make: Callable[[Path], Index], limit: int) -> None:
        """Keep what `make` returns of files: so many bytes of it, but at least one index."""
        self._make, self._limit = make, limit
        self._kept: OrderedDict[tuple[Path, int], Index] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def of(self, path: Path, changed: int) -> Index:
        """Return the index of a file; `changed` is another number after the file was rewritten."""
        with self._lock:
            if (path, changed) not in self._kept:
                self._add(path, changed)
            self._kept.move_to_end((path, changed))
            return self._kept[path, changed]

    def _add(self, path: Path, changed: int) -> None:
        index = self._make(path)
        self._bytes += _bytes(index)
        while self._kept and self._bytes > self._limit:
            self._bytes -= _bytes(self._kept.popitem(last=False)[1])
        self._kept[path, changed] = index


def _bytes(index: Index) -> int:
    return sum(len(column) * column.itemsize for column in index)


def _members(path: Path) -> Index:
    """Return the first member of each row, and each member's hash of its name, place and size."""
    firsts, names, places, sizes = (array("q") for _ in range(4))
    for sample in read_samples(path):
        firsts.append(len(names))
        for name, (place, size) in sample.members.items():
            names.append(hash(name))
            places.append(place)
            sizes.append(size)
    firsts.append(len(names))
    return firsts, names, places, sizes


def _lines(path: Path) -> Index:
    """Return the place of each line that is not blank to the reader of rows."""
    places, place = array("q"), 0
    with path.open("rb") as file:
        for line in file:
            text = line.strip()
            if len(text) > _LONG_LINE or text.decode("utf-8-sig", "replace").strip():
                places.append(place)
            place += len(line)
    return (places,)


_MEMBERS, _LINES = IndexCache(_members, MAX_BYTES), IndexCache(_lines, MAX_BYTES)


def member_place(path: Path, changed: int, row: int, name: str) -> tuple[int, int]:
    """Return where the bytes of a row's member begin in a tar shard, and how many there are.

    `changed` is another number after the file was rewritten.

    Raises
    ------
    LookupError
        There is no such row or member.
    SourceError
        As `read_samples`.
    """
    firsts, names, places, sizes = _MEMBERS.of(path, changed)
    for member in range(firsts[row], firsts[row + 1]):
        if names[member] == hash(name):
            return places[member], sizes[member]
    raise LookupError(f"row {row} has no member {name!r}")


def line_place(path: Path, changed: int, row: int) -> int:
    """Return where the line of a row begins; LookupError where there is no such row."""
    return _LINES.of(path, changed)[0][row]
