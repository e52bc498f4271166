"""A writer holds one shard in memory, however many it writes."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from savs.stores import LayerGrid, ShardContent, ShardSpec, open_writer
from stores import columns, identity, planned

ROWS = 64
GRID = (LayerGrid(0, tuple(range(32)), 512), LayerGrid(1, tuple(range(32)), 512))
SHARD_BYTES = 2 * 32 * ROWS * 512 * 4  # layers x heads x rows x width x float32: 8 MiB


def content(spec: ShardSpec) -> ShardContent:
    """Return new arrays for each shard, as an extraction makes them."""
    shape = (32, ROWS, 512)
    return ShardContent(
        layers={grid.layer: np.full(shape, spec.number, np.float32) for grid in GRID},
        examples=columns("train", [{"label": "a"}] * ROWS, spec.start),
        skipped=columns("train", []) | {"reason": []},
        run={},
    )


def peak_bytes(folder: Path, shards: int) -> int:
    """Return the most memory that Python and numpy hold while a store is written and sealed."""
    what, rows = replace(identity(), grid=GRID), {"train": planned("train", shards * ROWS)}
    tracemalloc.start()
    try:
        with open_writer(folder, what, rows, shard_rows=ROWS) as writer:
            for spec in writer.missing():
                writer.write(spec, content(spec))
            assert writer.seal()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_number_of_shards(tmp_path) -> None:
    few, many = (peak_bytes(tmp_path / str(shards), shards) for shards in (2, 12))
    assert few >= SHARD_BYTES  # the arrays are seen at all
    assert many < few + 3 * SHARD_BYTES
    sizes = [path.stat().st_size for path in (tmp_path / "12").glob("*.h5")]
    assert len(sizes) == 12
    assert min(sizes) >= SHARD_BYTES
