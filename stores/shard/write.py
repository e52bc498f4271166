"""Write one shard, whole or not at all."""

import io
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from savs.foundation.arrays import Array
from savs.foundation.whole_files import whole_file
from savs.stores.format.layout import (
    EXAMPLES,
    FORMAT,
    LAYERS,
    OUTPUTS,
    SKIPPED,
    LayerGrid,
    layer_name,
)
from savs.stores.format.manifest import Identity
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.content import ShardContent, check_finite
from savs.stores.shard.hdf5_writing import Hdf5Writer
from savs.stores.shard.header import block_bytes, write_header
from savs.stores.shard.sparse import SparseFile
from savs.stores.shard.text_columns import write_columns

ALIGNED_FROM_BYTES, ALIGNMENT_BYTES = 2**16, 4096
"""Layers of some size begin with a page of memory: the kernel then copies their heads faster."""
HEADER_BYTES, HEADER_LAYER_BYTES = 6_000, 50
"""What a header is likely to need beside its `run` and the checksums of its heads."""
LONGEST_FILE_BYTES = 2**60
"""Stands for the length of a file in its header, until it is known."""


def write_shard(
    path: Path,
    spec: ShardSpec,
    identity: Identity,
    content: ShardContent,
    rank: int,
    *,
    replace_old: bool = False,
) -> None:
    """Write a shard as `<name>.<rank>.partial`, make it durable, then give it its final name.

    The final name is given only where no file bears it yet, unless `replace_old` is set.

    Raises
    ------
    FileExistsError
        A shard of that name is there already.
    OSError
        The disk refused.
    """
    with (
        whole_file(path, replace=replace_old, owner=str(rank)) as partial,
        partial.open("wb") as file,
    ):
        block: int | None = _likely_block(identity, content)
        while block is not None:
            block = _write(file, block, spec, identity, content)


def _likely_block(identity: Identity, content: ShardContent) -> int:
    """Return the bytes of the user block that the header is likely to need."""
    heads = sum(len(grid.heads) for grid in identity.grid)
    layers, run = len(identity.grid), len(json.dumps(dict(content.run)))
    return block_bytes(HEADER_BYTES + HEADER_LAYER_BYTES * layers + 8 * heads + run)


def _write(
    file: BinaryIO, block: int, spec: ShardSpec, identity: Identity, content: ShardContent
) -> int | None:
    """Write a shard; where its header does not fit, write nothing and return the block it needs.

    HDF5 makes its part in memory, because it does not survive a full disk, and leaves room for the
    layers. Their values go to the disk by a thread, while they are checked here.
    """
    memory = SparseFile()
    with ThreadPoolExecutor(1) as disk:
        with h5py.File(
            memory,
            "w",
            userblock_size=block,
            alignment_threshold=ALIGNED_FROM_BYTES,
            alignment_interval=ALIGNMENT_BYTES,
        ) as hdf5:
            writer = Hdf5Writer(hdf5)
            _write_rest(writer, spec, identity, content)
            places = []
            for grid in identity.grid:
                values = content.layers[grid.layer]
                places.append((writer.room(_layer(grid), grid.heads, values), values))
            needed = len(write_header({"bytes": LONGEST_FILE_BYTES, **writer.table()}))
            if needed > block:
                return block_bytes(needed)
            writing = disk.submit(_write_values, file, places)
            for grid, (_, values) in zip(identity.grid, places, strict=True):
                check_finite(spec, identity, grid.layer, content.examples["id"], values)
                writer.checksums(_layer(grid), values)
        writing.result()
    header = write_header({"bytes": memory.seek(0, io.SEEK_END), **writer.table()})
    memory.seek(0)
    memory.write(header)
    _write_between(file, places, memory)
    return None


def _layer(grid: LayerGrid) -> str:
    return f"{LAYERS}/{layer_name(grid.layer)}"


def _write_values(file: BinaryIO, places: Sequence[tuple[int, Array]]) -> None:
    """Write the layers; the disk begins with each while the next one is written."""
    for place, values in places:
        file.seek(place)
        file.write(np.ascontiguousarray(values).data)
        file.flush()
        with suppress(AttributeError, OSError):  # Linux begins to write what is to be forgotten
            os.posix_fadvise(file.fileno(), place, values.nbytes, os.POSIX_FADV_DONTNEED)
    os.fsync(file.fileno())


def _write_between(file: BinaryIO, places: Sequence[tuple[int, Array]], memory: SparseFile) -> None:
    """Write what lies between the layers, and before and after them."""
    memory.seek(0)
    for place, nbytes in sorted((place, values.nbytes) for place, values in places):
        file.seek(memory.tell())
        file.write(memory.read(place - memory.tell()))
        memory.seek(nbytes, io.SEEK_CUR)
    file.seek(memory.tell())
    file.write(memory.read())
    file.flush()


def _write_rest(
    writer: Hdf5Writer, spec: ShardSpec, identity: Identity, content: ShardContent
) -> None:
    """Write all of a shard but its layers."""
    for name, value in (
        ("format", FORMAT),
        ("split", spec.split),
        ("number", spec.number),
        ("plan", spec.digest),
        ("identity", identity.digest),
        ("dtype", identity.dtype),
        ("run", json.dumps(dict(content.run))),
    ):
        writer.attribute(name, value)
    write_columns(writer, EXAMPLES, content.examples)
    write_columns(writer, SKIPPED, content.skipped)
    writer.group(OUTPUTS)
    for name, values in content.outputs.items():
        writer.checked(f"{OUTPUTS}/{name}", values)
