"""Features of images on the disk by their content: no image goes through a model twice.

A folder belongs to one model and prompt. A file `SHA-256.heads` holds the heads of the image of
that content in the model's type, and a checksum. Processes that share a folder take turns at the
model: one that waited finds what the other computed.
"""

import fcntl
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from savs.datasets.errors import MediaError
from savs.foundation.arrays import Array
from savs.foundation.files import whole_file
from savs.pipeline.errors import OutputError
from savs.stores import LayerGrid
from savs.stores.format.layout import STORED_DTYPES, decode_json, to_float32
from savs.stores.format.manifest import FeatureSource

SOURCE = "source.json"
"""What the features of a folder are of."""
HEADS = ".heads"
CRC_BYTES = 4


@dataclass(frozen=True, slots=True)
class ImageHeads:
    """Heads of some images at the last token of one prompt."""

    source: FeatureSource
    """The model, with the layers that were loaded."""
    grid: tuple[LayerGrid, ...]
    """The heads that were read."""
    values: Array
    """`(images, values)` in the stored type: heads side by side, in the order of the grid."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Name -> reason of the images that have no values."""

    def whole(self) -> "ImageHeads":
        """Return these heads; MediaError where an image was skipped."""
        for name, reason in self.skipped.items():
            raise MediaError(reason if name in reason else f"{name}: {reason}")
        return self

    def features(self) -> tuple[list[tuple[int, int]], list[int], Array]:
        """Return the heads, their widths, and `(heads, images, d)` float32.

        Narrow heads are padded with zeros.
        """
        heads = [(layer.layer, head) for layer in self.grid for head in layer.heads]
        widths = [layer.head_dim for layer in self.grid for _ in layer.heads]
        found = np.zeros((len(heads), len(self.values), max(widths)), np.float32)
        starts = np.cumsum([0, *widths])
        for place, width in enumerate(widths):
            own = self.values[:, starts[place] : starts[place] + width]
            found[place, :, :width] = to_float32(np.ascontiguousarray(own), self.source.dtype)
        return heads, widths, found


Compute = Callable[[Sequence[str]], ImageHeads]
"""SHA-256 of images -> all their heads."""


@dataclass(frozen=True, slots=True)
class FeatureCache:
    """A folder of features of one model and prompt."""

    folder: Path

    def get(self, digests: Sequence[str], compute: Compute) -> ImageHeads:
        """Return the heads of images by their SHA-256; what is not there is computed and kept.

        Raises
        ------
        OutputError
            The folder cannot be written, or holds features of another model.
        """
        wanted = list(dict.fromkeys(digests))
        source = self._source()
        rows = self._read(wanted, source) if source is not None else {}
        if len(rows) < len(wanted):
            with self._turn():
                source = self._source()
                rows = self._read(wanted, source) if source is not None else {}
                missing = [digest for digest in wanted if digest not in rows]
                if missing:
                    made = compute(missing)
                    source = self._keep(missing, made, source)
                    rows |= dict(zip(missing, made.values, strict=True))
        assert source is not None
        return ImageHeads(source, source.grid, np.stack([rows[digest] for digest in digests]))

    def _read(self, digests: Sequence[str], source: FeatureSource) -> dict[str, Array]:
        """Return the rows that are there and whole."""
        dtype = STORED_DTYPES[source.dtype]
        size = sum(len(grid.heads) * grid.head_dim for grid in source.grid) * dtype.itemsize
        found = {}
        for digest in digests:
            try:
                data = self._path(digest).read_bytes()
            except FileNotFoundError:
                continue
            if len(data) == size + CRC_BYTES and data[size:] == _crc(data[:size]):
                found[digest] = np.frombuffer(data[:size], dtype)
        return found

    def _keep(
        self, digests: Sequence[str], made: ImageHeads, source: FeatureSource | None
    ) -> FeatureSource:
        if source is not None and source.to_json() != made.source.to_json():
            raise OutputError(
                f"{self.folder} holds features of another model than the one that runs; remove it,"
                " or pass another cache"
            )
        with _disk(self.folder):
            for digest, row in zip(digests, made.values, strict=True):
                self._path(digest).parent.mkdir(exist_ok=True)
                data = row.tobytes()
                with whole_file(self._path(digest)) as partial:
                    partial.write_bytes(data + _crc(data))
            if source is None:
                with whole_file(self.folder / SOURCE) as partial:
                    partial.write_bytes(msgspec.json.encode(made.source.to_json()))
        return made.source

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / f"{digest}{HEADS}"

    def _source(self) -> FeatureSource | None:
        try:
            data = (self.folder / SOURCE).read_bytes()
            return msgspec.convert(decode_json(data), FeatureSource)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{self.folder / SOURCE} cannot be read ({error}); remove {self.folder}"
            ) from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until no other process or thread computes for this folder."""
        with _disk(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / "lock").open("w")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(CRC_BYTES, "little")


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the cache {folder} cannot be written: {error.strerror or error}; pass another cache,"
            " or False for none"
        ) from error
