"""Rows of tar shards (WebDataset, CLIP_benchmark): members `KEY.jpg`, `KEY.cls`, `KEY.json` ...

Consecutive members of one key are a row. Only headers and texts are read here, media when they
are needed; nothing is written to the disk.
"""

import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from savs.datasets.errors import RowError, SourceError
from savs.datasets.media_kinds.catalogue import COLUMNS, KIND_OF_SUFFIX
from savs.datasets.media_kinds.medium import list_column
from savs.datasets.row import MAX_ROW_BYTES, PackedMedium, json_object
from savs.foundation.bounds import whole_number
from savs.foundation.errors import reason_of
from savs.foundation.files import is_utf8, read_regular_text, regular_size

TAR = ".tar"
CLASS_NAMES = "classnames.txt"
"""File next to the shards, or in the folder above: the class of each number, one per line."""
SHARD_COUNT = "nshards.txt"
"""File next to the shards: how many there are."""
MAX_NAMES_BYTES = 2**24
"""Largest size of these two files, in bytes."""
MAX_MEMBERS = 2**20
"""Most members of a shard: each takes memory, however small it is."""
MAX_HEADER_BYTES = 2**20
"""Most bytes of a header that are read together: an extended one declares its size."""
_DAMAGE = (tarfile.TarError, ValueError, EOFError, RecursionError, OverflowError)
_KEY = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TarRow:
    """A row of a shard."""

    key: str
    """Path of its members up to the first point of the name."""
    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Name without its folder -> where its bytes begin in the shard, and how many there are."""


def shard_values(path: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where each row of a shard is, and its fields.

    These are the fields of `KEY.json`; each text (`cls`, `txt`) and medium (`jpg`, `left.png`) by
    its suffix; media by the column of their kind, such as `image`, or `images` of several;
    `__key__`; and `label`, the class of `cls` in `classnames.txt`, or `cls` itself if there is no
    such file.

    Raises
    ------
    SourceError
        The shard or the names of the classes cannot be read.
    RowError
        A text is too large, not UTF-8 or not JSON, or a number has no class.
    """
    classes = _class_names(path)
    samples = read_shard(path)
    with path.open("rb") as file:
        for number, sample in enumerate(samples):
            where = f"{path} sample {sample.key!r}"
            if not all(map(is_utf8, (sample.key, *sample.members))):
                raise RowError(f"{where}: its name is not UTF-8; rename its members")
            yield where, _values(file, sample, f"{name}#{number}", where, classes)


def _values(
    file: BinaryIO, sample: TarRow, name: str, where: str, classes: Mapping[str, str] | None
) -> dict[str, Any]:
    json_fields: dict[str, Any] = {}
    member_fields: dict[str, Any] = {}
    media: dict[str, list[PackedMedium]] = {column: [] for column in COLUMNS}
    for member, place in sample.members.items():
        suffix = member.partition(".")[2].lower()
        kind = KIND_OF_SUFFIX.get(PurePosixPath(member).suffix.lower())
        if kind is not None:
            member_fields[suffix] = PackedMedium(f"{name}/{member}")
            media[kind.column].append(member_fields[suffix])
        elif suffix == "json":
            at = f"{where}: {member}"
            json_fields = json_object(_text(file, place, at), at, "write an object")
        elif suffix in ("cls", "txt"):
            member_fields[suffix] = _text(file, place, f"{where}: {member}").strip()
    if "cls" in member_fields:
        member_fields["label"] = _label(member_fields["cls"], classes, where)
    for column, members in media.items():
        if len(members) == 1:
            member_fields[column] = members[0]
        elif members:
            member_fields[list_column(column)] = members
    return json_fields | member_fields | {"__key__": sample.key}


def _text(file: BinaryIO, place: tuple[int, int], where: str) -> str:
    offset, size = place
    if size > MAX_ROW_BYTES:
        raise RowError(f"{where} has more than {MAX_ROW_BYTES:,} bytes; shorten it")
    file.seek(offset)
    try:
        return file.read(size).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RowError(f"{where} is not UTF-8 ({error.reason}); save it as UTF-8") from error


def _label(number: str, classes: Mapping[str, str] | None, where: str) -> str:
    if classes is None:
        return number
    if not classes.get(number):
        raise RowError(
            f"{where}: cls is {number[:60]!r}, expected a number of one of the {len(classes)}"
            f" classes in {CLASS_NAMES}, from 0; correct one of the two"
        )
    return classes[number]


def read_shard(path: Path) -> list[TarRow]:
    """Return the rows of a shard, from its headers alone.

    Folders, and members without a point in their name or with a name that begins with one, are left
    out.

    Raises
    ------
    SourceError
        It is no tar file, is compressed or truncated, has more members than `MAX_MEMBERS`, or one
        that is a link, a device or sparse.
    """
    samples: list[TarRow] = []
    try:
        size = regular_size(path)
        with path.open("rb") as file:
            for member in _members(file, size):
                match = _KEY.fullmatch(member.name)
                if match is None:
                    continue
                if not samples or samples[-1].key != match[1]:
                    samples.append(TarRow(match[1]))
                name = PurePosixPath(member.name).name
                if name in samples[-1].members:
                    raise ValueError(f"member {member.name!r} occurs twice")
                samples[-1].members[name] = (member.offset_data, member.size)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {reason_of(error)}; check the path") from error
    except _DAMAGE as error:
        raise SourceError(
            f"{path} cannot be read as a tar file: {reason_of(error)}; write it again, without"
            " compression"
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
    """A file whose headers alone are read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        self.name = file.name

    def read(self, count: int) -> bytes:
        if not 0 <= count <= MAX_HEADER_BYTES:
            raise ValueError(f"a header has {count:,} bytes, more than {MAX_HEADER_BYTES:,}")
        return self._file.read(count)


def _class_names(path: Path) -> dict[str, str] | None:
    """Return number -> class of a shard, None if no file names them."""
    near = [folder / CLASS_NAMES for folder in (path.parent, path.parent.parent)]
    names_file = next((file for file in near if file.is_file()), None)
    if names_file is None:
        return None
    lines = _small_text(names_file).rstrip().splitlines()
    return {str(number): line.strip() for number, line in enumerate(lines)}


def require_all(paths: Sequence[Path]) -> None:
    """Check shards against the number in the `nshards.txt` next to them; SourceError otherwise."""
    for folder in dict.fromkeys(path.parent for path in paths):
        if not (folder / SHARD_COUNT).is_file():
            continue
        count = _small_text(folder / SHARD_COUNT).strip()
        shards = [path for path in paths if path.parent == folder]
        if whole_number(count) != len(shards):
            raise SourceError(
                f"{folder} has {len(shards)} tar files, expected {count[:20]!r} as {SHARD_COUNT}"
                " says; fetch the others, or name the files with a pattern such as 'DIR/*.tar'"
            )


def _small_text(path: Path) -> str:
    try:
        return read_regular_text(path, MAX_NAMES_BYTES)
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{path} cannot be read: {reason_of(error)}; correct it, or remove it"
        ) from error
