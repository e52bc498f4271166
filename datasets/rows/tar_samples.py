"""Members of tar files by their offset: headers alone are read, nothing is written to the disk."""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from savs.datasets.errors import SourceError
from savs.foundation.files import regular_size

MAX_MEMBERS = 2**20
"""Most members of a shard: each takes memory, however small it is."""
MAX_HEADER_BYTES = 2**20
"""Most bytes of a header that are read together: an extended one declares its size."""
_DAMAGE = (tarfile.TarError, ValueError, EOFError, RecursionError, OverflowError)
_KEY = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sample:
    """A row of a shard."""

    key: str
    """Path of its members up to the first point of the name."""
    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Name without its folder -> where its bytes begin in the shard, and how many there are."""


def read_samples(path: Path) -> list[Sample]:
    """Return the rows of a shard, from its headers alone.

    Folders, and members without a point in their name or with a name that begins with one, are left
    out.

    Raises
    ------
    SourceError
        It is no tar file, is compressed or truncated, has more members than `MAX_MEMBERS`, or one
        that is a link, a device or sparse.
    """
    samples: list[Sample] = []
    try:
        size = regular_size(path)
        with path.open("rb") as file:
            for member in _members(file, size):
                found = _KEY.fullmatch(member.name)
                if found is None:
                    continue
                if not samples or samples[-1].key != found[1]:
                    samples.append(Sample(found[1]))
                name = PurePosixPath(member.name).name
                if name in samples[-1].members:
                    raise ValueError(f"member {member.name!r} occurs twice")
                samples[-1].members[name] = (member.offset_data, member.size)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}; check the path") from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        raise SourceError(
            f"{path} cannot be read as a tar file: {reason}; write it again, without compression"
        ) from error
    return samples


def _members(file: BinaryIO, size: int) -> Iterator[tarfile.TarInfo]:
    """Yield the regular members of a tar file; ValueError for what it should not hold."""
    with tarfile.open(fileobj=_Headers(file), mode="r:") as tar:  # type: ignore[arg-type]
        before, count = -1, 0
        while (member := tar.next()) is not None:
            tar.members.clear()  # they would all be kept
            count += 1
            if count > MAX_MEMBERS:
                raise ValueError(f"it has more than {MAX_MEMBERS:,} members")
            if member.offset <= before or member.size < 0 or member.offset_data < 0:
                raise ValueError(f"member {member.name!r} has no place in it")
            before = member.offset
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise ValueError(f"member {member.name!r} is a link, a device or sparse")
            if member.offset_data + member.size > size:
                raise ValueError(f"it ends within member {member.name!r}")
            yield member
        file.seek(tar.offset)  # tarfile takes a damaged header for the end, and a cut file, too
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise ValueError(f"it is damaged, or ends, at byte {tar.offset:,}")


class _Headers:
    """A file of which only headers are read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        self.name = file.name

    def read(self, count: int) -> bytes:
        if not 0 <= count <= MAX_HEADER_BYTES:
            raise ValueError(f"a header has {count:,} bytes, more than {MAX_HEADER_BYTES:,}")
        return self._file.read(count)
