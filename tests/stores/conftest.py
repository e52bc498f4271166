"""A small store whose every value can be computed again."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from savs.stores import Identity, PlannedRow, ShardContent, ShardSpec, open_writer
from stores import GRID, columns, identity, planned, to_stored

MAX_ROWS = 20


class Toy:
    """Features over `GRID`, seeded by split and layer; labels in turn; rows in `skip` skipped."""

    def __init__(self) -> None:
        self.grid = GRID
        self.dtype = "float32"
        self.shard_rows = 2
        self.skip: Mapping[str, Mapping[int, str]] = {}

    def identity(self, model: str = "toy") -> Identity:
        return identity(self.dtype, self.grid, model)

    def rows(self, train: int = 5, test: int = 3) -> dict[str, list[PlannedRow]]:
        return {"train": planned("train", train), "test": planned("test", test)}

    def values(self, split: str, layer: int) -> np.ndarray:
        """Return `(heads, MAX_ROWS, head_dim)` float32, exact in all three types."""
        (grid,) = [grid for grid in self.grid if grid.layer == layer]
        rng = np.random.default_rng([layer, split == "test"])
        shape = (len(grid.heads), MAX_ROWS, grid.head_dim)
        return rng.integers(-64, 64, shape).astype(np.float32) / 8

    def content(self, spec: ShardSpec) -> ShardContent:
        reasons = self.skip.get(spec.split, {})
        places = range(spec.start, spec.stop)
        kept = [place for place in places if place not in reasons]
        gone = [place for place in places if place in reasons]
        return ShardContent(
            layers={
                grid.layer: to_stored(self.values(spec.split, grid.layer)[:, kept], self.dtype)
                for grid in self.grid
            },
            examples=self._columns(spec.split, kept),
            skipped=self._columns(spec.split, gone) | {"reason": [reasons[p] for p in gone]},
            run={"made": "by hand"},
        )

    def _columns(self, split: str, places: list[int]) -> dict[str, list[Any]]:
        return columns(
            split,
            [{"index": p, "id": f"{split}:{p}", "label": "abc"[p % 3]} for p in places],
        )

    def write(
        self, folder: Path, *, only: int | None = None, model: str = "toy", **rows: int
    ) -> bool:
        """Write the missing shards, or the first `only` of them; say whether that sealed it."""
        with open_writer(
            folder, self.identity(model), self.rows(**rows), shard_rows=self.shard_rows
        ) as writer:
            for spec in writer.missing()[:only]:
                writer.write(spec, self.content(spec))
            return writer.seal()


@pytest.fixture
def toy() -> Toy:
    """Return a store to be; a test may change its grid, type or skips before it writes."""
    return Toy()


@pytest.fixture
def listing() -> Callable[[Path], dict[str, tuple[bytes, int]]]:
    """Return a function that gives a folder's files with their bytes and times."""

    def look(folder: Path) -> dict[str, tuple[bytes, int]]:
        return {
            str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns)
            for p in folder.rglob("*")
            if p.is_file()
        }

    return look
