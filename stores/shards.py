"""Write one shard, whole or not at all."""

import io
import json
import os
from pathlib import Path

import h5py
import numpy as np

from savs.stores.columns import write_columns
from savs.stores.content import ShardContent
from savs.stores.hdf5 import crc32
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
    image = _image(spec, identity, content)
    try:
        with partial.open("wb") as file:
            file.write(image)
            file.flush()
            os.fsync(file.fileno())
        publish(partial, path, replace_old=replace_old)
    finally:
        partial.unlink(missing_ok=True)


def _image(spec: ShardSpec, identity: Identity, content: ShardContent) -> bytes:
    """Return the bytes of a shard's file, made in memory: HDF5 does not survive a full disk."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        _fill(file, spec, identity, content)
    return buffer.getvalue()


def _fill(file: h5py.File, spec: ShardSpec, identity: Identity, content: ShardContent) -> None:
    file.attrs["format"] = np.int64(FORMAT)
    file.attrs["number"] = np.int64(spec.number)
    for name, text in (
        ("split", spec.split),
        ("plan", spec.digest),
        ("identity", identity.digest),
        ("dtype", identity.dtype),
        ("run", json.dumps(dict(content.run))),
    ):
        file.attrs[name] = np.bytes_(text.encode("utf-8"))  # fixed length: no object type
    layers = file.create_group(LAYERS)
    for grid in identity.grid:
        values = np.ascontiguousarray(content.layers[grid.layer])
        dataset = layers.create_dataset(layer_name(grid.layer), data=values)
        dataset.attrs["heads"] = np.asarray(grid.heads, dtype=np.uint32)
        dataset.attrs["crc32"] = np.array([crc32(head) for head in values], dtype=np.uint32)
    outputs = file.create_group(OUTPUTS)
    for name, values in content.outputs.items():
        outputs.create_dataset(name, data=values).attrs["crc32"] = np.uint32(crc32(values))
    write_columns(file.create_group(EXAMPLES), content.examples)
    write_columns(file.create_group(SKIPPED), content.skipped)


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
