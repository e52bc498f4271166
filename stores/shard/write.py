"""Write one shard, whole or not at all."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from savs.foundation.arrays import Array
from savs.stores.errors import FeatureValueError
from savs.stores.files.object_store import write_whole
from savs.stores.format.layout import (
    EXAMPLES,
    FORMAT,
    INDEX,
    LAYERS,
    OUTPUTS,
    SKIPPED,
    layer_name,
)
from savs.stores.format.manifest import Identity
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.content import ShardContent, encode_column
from savs.stores.shard.index import PAGE_BYTES, Entry, crc32, write_index


def write_shard(
    path: Any,
    spec: ShardSpec,
    identity: Identity,
    content: ShardContent,
    *,
    replace_old: bool = False,
    before_naming: Callable[[], None] = lambda: None,
) -> None:
    """Write a shard under a temporary name, make it durable, then give it its final name.

    HDF5 makes the file in memory, because it does not survive a full disk. `before_naming` is
    called and errors are raised as by `write_whole`; FeatureValueError if a column has a value
    of a wrong type.
    """
    buffer = _in_memory(spec, identity, content)
    write_whole(path, buffer.getbuffer(), replace=replace_old, before_naming=before_naming)


def _in_memory(spec: ShardSpec, identity: Identity, content: ShardContent) -> io.BytesIO:
    """Return the file; its datasets begin with pages, which the kernel copies faster."""
    buffer = io.BytesIO()
    attributes = {
        "format": FORMAT,
        "split": spec.split,
        "number": spec.number,
        "plan": spec.digest,
        "identity": identity.digest,
        "dtype": identity.dtype,
        "run": json.dumps(dict(content.run)),
    }
    with h5py.File(
        buffer, "w", alignment_threshold=PAGE_BYTES, alignment_interval=PAGE_BYTES
    ) as file:
        for name, value in attributes.items():  # text of fixed length: no object type
            text = isinstance(value, str)
            file.attrs[name] = np.bytes_(value.encode("utf-8")) if text else np.int64(value)
        for group in (LAYERS, EXAMPLES, OUTPUTS, SKIPPED):
            file.create_group(group)
        entries = {n: _write(file, n, values) for n, values in _arrays(content, spec.name).items()}
        for grid in identity.grid:
            name = f"{LAYERS}/{layer_name(grid.layer)}"
            entries[name] = _write(file, name, content.layers[grid.layer], each=True)
            file[name].attrs["heads"] = np.asarray(grid.heads, dtype=np.uint32)
        index = write_index(attributes, entries)
        file.create_dataset(INDEX, data=index)
    if not buffer.getbuffer()[-len(index) :] == index.data:
        raise RuntimeError(f"HDF5 wrote bytes after the index of {spec.name}")
    return buffer


def _arrays(content: ShardContent, where: str) -> dict[str, Array]:
    """Return all of a shard but its layers: name -> array."""
    columns: Mapping[str, Mapping[str, Any]] = {
        EXAMPLES: content.examples,
        SKIPPED: content.skipped,
    }
    texts = {
        f"{group}/{name}": _encoded(name, values, f"{where}: {group} column {name}")
        for group, group_columns in columns.items()
        for name, values in group_columns.items()
    }
    return texts | {f"{OUTPUTS}/{name}": values for name, values in content.outputs.items()}


def _encoded(name: str, values: Sequence[Any], where: str) -> Array:
    try:
        return encode_column(name, values)
    except ValueError as error:
        raise FeatureValueError(f"{where} cannot be stored: {error}") from error


def _write(file: h5py.File, name: str, values: Array, *, each: bool = False) -> Entry:
    """Write an array and return its entry: with one checksum, or one for each head."""
    dataset = file.create_dataset(name, data=values)
    offset = dataset.id.get_offset() if values.nbytes else 0  # no bytes lie nowhere
    sums = [crc32(head) for head in values] if each else [crc32(values)]
    checksums = "".join(f"{value:08x}" for value in sums)
    return Entry(offset, values.dtype.str, values.shape, checksums)
