"""Features of the chosen heads in a temporary file, for prompts that recur later in a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import Self

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.errors import OutputError
from savs.stores import Head, LayerGrid, ShardSpec
from savs.stores.format.layout import STORED_DTYPES


class KeptHeads:
    """The chosen heads of all rows of a run: some kB per row on the disk, none in memory."""

    def __init__(
        self, grid: Sequence[LayerGrid], heads: Sequence[Head], dtype: str, folder: Path | None
    ) -> None:
        self._folder = folder
        self._dtype = STORED_DTYPES[dtype]
        self._grid = {
            layer.layer: layer for layer in grid if any(layer.layer == own for own, _ in heads)
        }
        self._places = {
            number: [place for place, head in enumerate(layer.heads) if (number, head) in heads]
            for number, layer in self._grid.items()
        }
        self._file = TemporaryFile(dir=folder, prefix="savs-")  # noqa: SIM115 - lives as this does
        self._starts: dict[tuple[ShardSpec, int], tuple[int, int]] = {}
        """Shard and layer -> where its heads begin, and how many rows they have."""

    def keep(self, spec: ShardSpec, layers: Mapping[int, Array]) -> None:
        """Append a shard's chosen heads, of `(heads, rows, d)` a layer.

        Raises
        ------
        OutputError
            The disk refuses.
        """
        try:
            for number, places in self._places.items():
                self._starts[spec, number] = (self._file.seek(0, 2), layers[number].shape[1])
                self._file.write(layers[number][places].tobytes())
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"a temporary file in {self._folder or gettempdir()} cannot be written:"
                f" {error.strerror}; free disk space, or pass --out FILE on another disk"
            ) from error

    def read(self, spec: ShardSpec, rows: Sequence[int]) -> dict[int, Array]:
        """Return layer -> `(heads, len(rows), d)` of some rows; heads not chosen are 0."""
        found = {}
        for number, places in self._places.items():
            start, count = self._starts[spec, number]
            grid = self._grid[number]
            shape = (len(places), count, grid.head_dim)
            self._file.seek(start)
            data = self._file.read(int(np.prod(shape)) * self._dtype.itemsize)
            kept = np.frombuffer(data, self._dtype).reshape(shape)
            found[number] = np.zeros((len(grid.heads), len(rows), grid.head_dim), self._dtype)
            found[number][places] = kept[:, rows]
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the file."""
        self._file.close()
