"""Media of a run: files below one folder, rows of files, or URLs; found, read and decoded."""

import hashlib
import ntpath
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from PIL import Image, ImageDraw

from savs.datasets.errors import MediaError
from savs.datasets.media.download import Fetching
from savs.datasets.media_kinds.catalogue import (
    KIND_OF_COLUMN,
    SUFFIXES,
    Decoded,
    kind_of_content,
)
from savs.datasets.media_kinds.decoders.images import decode_image
from savs.datasets.media_kinds.decoding import Decoding
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import IMAGE_COLUMN
from savs.datasets.media_kinds.videos import VIDEOS
from savs.datasets.parts import is_window, split_part, split_window, whole_name
from savs.datasets.rows.boxes import MARGIN, box_and_crop, box_of
from savs.datasets.rows.media_names import is_address, is_packed, kind_of_name, packed_parts
from savs.datasets.rows.packed_media import read_packed
from savs.foundation.errors import reason_of
from savs.foundation.files import regular_size

MAX_FILE_BYTES = 2**31
"""Largest file that is read as a medium."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRules(Decoding):
    """How media are found and decoded."""

    allow_outside: bool = False
    """Allow names that lead out of the media root."""
    fetching: Fetching | None = None
    """How media at a URL are fetched; None refuses them."""
    box_margin: int = MARGIN
    """Per cent of a box's size that is kept around it on each side."""
    outlines: bool = False
    """Draw the outline of each box, for a person."""


DEFAULT_RULES = MediaRules()
OUTLINE = (255, 0, 144)
"""Colour of the outline of a box."""


@dataclass(frozen=True, slots=True)
class MediaFolder:
    """The folder that holds the media of a run."""

    root: Path
    """The folder that names are relative to."""
    packed: Path | None = None
    """Folder of the files whose rows store media; `root` by default."""
    rules: MediaRules = DEFAULT_RULES
    """How they are found and decoded."""

    def path(self, name: str) -> Path:
        """Return the path of a medium, see `locate`; MediaError if its name leads out of the root.

        Links in the folder may lead anywhere.
        """
        path = locate(self.root, whole_name(name), outside=self.rules.allow_outside)
        if path is None and self.rules.allow_outside:
            raise MediaError(f"{name} does not exist")
        if path is None:
            raise MediaError(
                f"{name} is outside the media root {self.root}; set `media_root` to the folder that"
                " holds it, or pass `allow_outside`"
            )
        return path

    def has(self, name: str) -> bool:
        """Return whether a medium exists, or may be fetched; its content is not read."""
        if is_address(name):
            return self.rules.fetching is not None
        try:
            path = self._file(name)
            return path is not None and path.is_file()
        except (OSError, ValueError):
            return False

    def absence(self, name: str) -> str:
        """Return where a missing medium was expected, and what to do."""
        if is_address(name):
            return f"{name} is a URL; to download it, pass `fetch_urls`"
        try:
            self.path(name)
        except MediaError as error:
            return str(error)
        folder = self.root.absolute()
        return f"{name} is not in {folder}; set `media_root` to the folder of the media"

    def size(self, name: str) -> int | None:
        """Return a medium's size in bytes, or None if it is missing or not fetched yet."""
        try:
            if is_packed(name) and not is_address(name):
                return len(self.read(name))
            path = self._file(name)
            return None if path is None else path.stat().st_size
        except (MediaError, OSError, ValueError):
            return None

    def _file(self, name: str) -> Path | None:
        """Return the file that a medium is, or is stored in, if that is known; nothing is read."""
        name = whole_name(name)
        if is_address(name):
            return None if self.rules.fetching is None else self.rules.fetching.cached_file(name)
        if is_packed(name):
            return locate(self.packed or self.root, packed_parts(name)[0])
        return locate(self.root, name, outside=self.rules.allow_outside)

    def read(self, name: str) -> bytes:
        """Return a medium's bytes; of a part those of the whole file.

        Raises
        ------
        MediaError
            Missing, unreadable, empty, not a regular file, outside the folder, or a URL that is not
            fetched.
        """
        name = whole_name(name)
        if is_address(name):
            if self.rules.fetching is None:
                raise MediaError(f"{name} is a URL and was read without `fetch_urls`")
            data = self.rules.fetching.fetch(name)
        elif is_packed(name):
            file = packed_parts(name)[0]
            data = read_packed(MediaFolder(self.packed or self.root).path(file), name)
        else:
            data = self._read_file(name)
        if not data:
            raise MediaError(f"{name} is empty (0 bytes)")
        return data

    def _read_file(self, name: str) -> bytes:
        path = self.path(name)
        try:
            regular_size(path, MAX_FILE_BYTES)
            return path.read_bytes()
        except FileNotFoundError as error:
            raise MediaError(
                f"{name} is not in the media root {self.root.absolute()} (`media_root`)"
            ) from error
        except (OSError, ValueError) as error:
            printable = name if name.isprintable() else ascii(name)
            raise MediaError(f"{printable} cannot be read: {reason_of(error)}") from error

    def digest(self, name: str) -> str:
        """Return what a medium is known by, see `digest_of`; MediaError if it cannot be read."""
        return digest_of(self.read(name), name)

    def decode(
        self, name: str, column: str = IMAGE_COLUMN, rules: MediaRules | None = None
    ) -> list[Decoded]:
        """Return what stands in a prompt for a medium, see `decode_medium`."""
        return decode_medium(self.read(name), name, rules or self.rules, column)

    def rerooted(self, names: Iterable[str]) -> list[str]:
        """Return a line that counts the absolute paths that were matched by their end, if any.

        MediaError if two different names of the split match the same file.
        """
        names_by_path: dict[Path, str] = {}
        for name in dict.fromkeys(map(whole_name, names)):
            if is_address(name) or is_packed(name) or not is_foreign(self.root, name):
                continue
            path = self._file(name)
            if path is None or path == absolute(Path(name)):  # missing, or taken as it is
                continue
            if path in names_by_path:
                raise MediaError(
                    f"{names_by_path[path]} and {name} both match {path} in the media root; set"
                    " `media_root` to a folder that holds more of their paths"
                )
            names_by_path[path] = name
        if not names_by_path:
            return []
        path, name = next(iter(names_by_path.items()))
        count = f"{len(names_by_path):,} paths of another machine were"
        return [f"{count} matched below {self.root}, such as {name} by {path}"]


def sha256(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of a medium's bytes: equal content, equal digest."""
    return hashlib.sha256(data).hexdigest()


def digest_of(data: bytes, name: str) -> str:
    """Return what a medium is known by, see `part_digest`, from its bytes."""
    return part_digest(sha256(data), name)


def part_digest(whole: str, name: str) -> str:
    """Return the SHA-256 of a file, followed by the part of it that a name has.

    Equal parts of equal files have equal digests.
    """
    window = split_window(name)[1]
    return whole + (split_part(name)[1] if window is None else f"@{window}")


def decode_medium(
    data: bytes, name: str, rules: MediaRules = DEFAULT_RULES, column: str = IMAGE_COLUMN
) -> list[Decoded]:
    """Decode a medium as what its column says; from the column of images, as what its content is.

    Of a video the window that its name has. Returns what stands in a prompt for it, in reading
    order: an image, a video, or its frames; the sound of a sound file or of a video. MediaError if
    it cannot be decoded.
    """
    kind = kind_of_content(data) if column == IMAGE_COLUMN else KIND_OF_COLUMN[column]
    if is_window(name) and kind is not VIDEOS:
        raise MediaError(f"{name} is a window, and {whole_name(name)} is not read as a video")
    if column == IMAGE_COLUMN and box_of(name):
        return [_boxed_part(data, name, rules)]
    if kind.column != column:
        raise MediaError(
            f"{name} is {kind.a_noun} and no image: name it in a column `{kind.column}`, or mark"
            f" its place in the prompt by {kind.mark}"
        )
    try:
        return kind.decode(data, name, rules)
    except MediaError:
        named = kind_of_name(name) or kind
        if kind is not IMAGES or named is IMAGES or named.column != column:
            raise
        return named.decode(data, name, rules)  # its error lists the known formats


def decode_file(data: bytes, name: str, rules: MediaRules) -> list[Decoded]:
    """Decode a file as what it is by its content; MediaError as in `decode_medium`.

    A video without pictures becomes a sound.
    """
    *columns, last = kind_of_content(data).columns
    for column in columns:
        with suppress(MediaError):
            return decode_medium(data, name, rules, column)
    return decode_medium(data, name, rules, last)


def _boxed_part(data: bytes, name: str, rules: MediaRules) -> Image.Image:
    """Return what the box in a name shows of an image, with its margin."""
    image = _whole_image(data, whole_name(name), rules.max_pixels)
    try:
        box, crop = box_and_crop(name, image.size, rules.box_margin)
    except ValueError as error:
        raise MediaError(f"{whole_name(name)}: {error}") from error
    part = image.crop(crop)
    if rules.outlines:
        left, top = crop[:2]
        inner = (box[0] - left, box[1] - top, box[2] - left - 1, box[3] - top - 1)
        ImageDraw.Draw(part).rectangle(inner, outline=OUTLINE, width=max(1, max(part.size) // 90))
    return part


@lru_cache(maxsize=1)  # the boxes of an image follow each other
def _whole_image(data: bytes, name: str, max_pixels: int) -> Image.Image:
    return decode_image(data, name, max_pixels=max_pixels)


def part_sizes(sizes: Iterable[tuple[int, int]], name: str, margin: int) -> list[tuple[int, int]]:
    """Return the size of the box in a name, from that of the whole image."""
    parts = []
    for size in sizes:
        try:
            left, top, right, bottom = box_and_crop(name, size, margin)[1]
        except ValueError:
            left, top, right, bottom = 0, 0, 0, 0
        parts.append((right - left, bottom - top))
    return parts


def locate(root: Path, name: str, *, outside: bool = False) -> Path | None:
    """Return the path of a medium, or None if its name leads out of the root.

    An absolute path that is not below the root stands for the longest end of it that exists
    directly below the root; it may come from another machine, Windows too. A relative name need
    not exist; unless a file is called so, its backslashes separate folders, and without a suffix it
    stands for the first of `SUFFIXES` with which there is a file. With `outside` names may lead out
    of the root, and an absolute path that exists is taken as it is.
    """
    if not is_foreign(root, name):
        path = absolute(root / name)
        if "\\" in name and not _exists(str(path)):
            path = absolute(root / name.replace("\\", "/"))
        if not path.suffix and not _exists(str(path)):
            named = (f"{path}{suffix}" for suffix in SUFFIXES)
            path = next((Path(file) for file in named if _exists(file)), path)
        return path if outside or _below(path, absolute(root)) else None
    if outside and _exists(name):
        return absolute(Path(name))
    base, parts = str(absolute(root)), _parts(name)
    ends = ("/".join((base, *parts[start:])) for start in range(len(parts)))
    return next((Path(end) for end in ends if _exists(end)), None)


def is_foreign(root: Path, name: str) -> bool:
    """Return whether a name is an absolute path that is not below the root."""
    if name.startswith("/"):
        return not _below(absolute(Path(name)), absolute(root))
    return _is_of_windows(name)


def absolute(path: Path) -> Path:
    """Return the absolute path without `..`; links are not resolved."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def _below(path: Path, base: Path) -> bool:
    return f"{path}/".startswith(f"{str(base).rstrip('/')}/")


def _is_of_windows(name: str) -> bool:
    has_drive = name[1:3] in (":\\", ":/") and name[0].isalpha()
    return has_drive or name.startswith("\\")


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of an absolute path after its root, `..` resolved."""
    path = ntpath.splitdrive(name)[1].replace("\\", "/") if _is_of_windows(name) else name
    return PurePosixPath(os.path.normpath(path)).parts[1:]


def _exists(path: str) -> bool:
    try:
        return os.path.exists(path)  # noqa: PTH110 - called for a hundred thousand paths
    except (OSError, ValueError):  # too long, or refused by the system
        return False
