"""Write one shard, whole or not at all."""

import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from savs.stores.columns import write_columns
from savs.stores.content import ShardContent
from savs.stores.hdf5_writing import Hdf5Writer
from savs.stores.header import block_bytes, write_header
from savs.stores.integrity import Array
from savs.stores.layout import (
    EXAMPLES,
    FORMAT,
    LAYERS,
    OUTPUTS,
    SKIPPED,
    layer_name,
)
from savs.stores.manifest import Identity
from savs.stores.plan import ShardSpec
from savs.stores.sparse import SparseFile

ALIGNED_FROM_BYTES, ALIGNMENT_BYTES = 2**16, 4096
"""Layers of some size begin with a page of memory: the kernel then copies their heads faster."""
HEADER_BYTES = 5_000
"""Room for what a header holds beside the checksums of its heads; it gets more if it needs more."""


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
    partial = path.with_name(f"{path.name}.{rank}.partial")
    try:
        with partial.open("wb") as file:
            for piece in _pieces(spec, identity, content):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        publish(partial, path, replace_old=replace_old)
    finally:
        partial.unlink(missing_ok=True)


def _pieces(spec: ShardSpec, identity: Identity, content: ShardContent) -> Iterator[Any]:
    """Yield the bytes of a shard's file, from the first to the last.

    HDF5 makes its part in memory, because it does not survive a full disk, and leaves room for the
    layers, whose values go from where they are to the file.
    """
    layers = {g.layer: np.ascontiguousarray(content.layers[g.layer]) for g in identity.grid}
    heads = sum(len(grid.heads) for grid in identity.grid)
    block = block_bytes(HEADER_BYTES + 8 * heads)
    while True:
        file, header, places = _outline(block, spec, identity, content, layers)
        if len(header) <= block:
            break
        block = block_bytes(len(header))
    file.seek(0)
    file.write(header)
    file.seek(0)
    for number in sorted(places, key=places.__getitem__):
        yield file.read(places[number] - file.tell())
        yield layers[number].data
        file.seek(layers[number].nbytes, io.SEEK_CUR)
    yield file.read()


def _outline(
    block: int,
    spec: ShardSpec,
    identity: Identity,
    content: ShardContent,
    layers: Mapping[int, Array],
) -> tuple[SparseFile, bytes, dict[int, int]]:
    """Return a shard without header and layers, its header, and where each layer's values go."""
    file = SparseFile()
    with h5py.File(
        file,
        "w",
        userblock_size=block,
        alignment_threshold=ALIGNED_FROM_BYTES,
        alignment_interval=ALIGNMENT_BYTES,
    ) as hdf5:
        writer = Hdf5Writer(hdf5)
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
            writer.array(f"{OUTPUTS}/{name}", values)
            writer.checksum(f"{OUTPUTS}/{name}", values)
        places = {
            g.layer: writer.layer(f"{LAYERS}/{layer_name(g.layer)}", g.heads, layers[g.layer])
            for g in identity.grid
        }
    header = write_header({"bytes": file.seek(0, io.SEEK_END), **writer.table()})
    return file, header, places


def publish(partial: Path, path: Path, *, replace_old: bool = False) -> None:
    """Give a finished file its final name, and make the name durable.

    Raises
    ------
    FileExistsError
        A file bears the name already, and `replace_old` is not set.
    """
    try:
        if replace_old:
            os.replace(partial, path)
        else:
            os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(f"{path} is there already") from None
        partial.rename(path)
    else:
        partial.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
