"""A shard as an HDF5 file: written whole or not at all, and what its structure declares.

HDF5 files can point into other files (external links, external storage, virtual datasets), hold
objects, or ask for filters. Readers go by the index and never ask HDF5; other programs do, so
`savs verify` compares the two, and all that format 1 does not use is refused.
"""

import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import h5py
import numpy as np

from savs.foundation.arrays import Array
from savs.stores.errors import REPAIR, FeatureValueError, StoreCorruptError
from savs.stores.files.object_store import write_whole
from savs.stores.format.layout import (
    EXAMPLES,
    FORMAT,
    INDEX,
    LAYERS,
    OUTPUTS,
    SHARD_ATTRIBUTES,
    SKIPPED,
    layer_name,
)
from savs.stores.format.manifest import Identity
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.arrays import OF_FILE, extent, write_array
from savs.stores.shard.content import ShardContent, encode_column
from savs.stores.shard.index import write_index


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
    """Return the file."""
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
    with h5py.File(buffer, "w", **OF_FILE) as file:
        for name, value in attributes.items():  # text of fixed length: no object type
            text = isinstance(value, str)
            file.attrs[name] = np.bytes_(value.encode("utf-8")) if text else np.int64(value)
        for group in (LAYERS, EXAMPLES, OUTPUTS, SKIPPED):
            file.create_group(group)
        entries = {
            n: write_array(file, n, values) for n, values in _arrays(content, spec.name).items()
        }
        for grid in identity.grid:
            name = f"{LAYERS}/{layer_name(grid.layer)}"
            entries[name] = write_array(file, name, content.layers[grid.layer], each=True)
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
    arrays: dict[str, Array] = {}
    for group, group_columns in columns.items():
        for name, values in group_columns.items():
            try:
                arrays[f"{group}/{name}"] = encode_column(name, values)
            except ValueError as error:
                raise FeatureValueError(
                    f"{where}: {group} column {name} cannot be stored: {error}"
                ) from error
    return arrays | {f"{OUTPUTS}/{name}": values for name, values in content.outputs.items()}


def hdf5_table(source: Any, where: str) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Return what a shard, an open file of bytes, declares in HDF5.

    That is `attributes` and `arrays` (name -> offset, type, shape) as an index has them, and for
    each layer the numbers of its heads. StoreCorruptError if the file has what no shard has.
    """
    arrays: dict[str, list[Any]] = {}
    heads: dict[str, list[int]] = {}
    with h5py.File(source, "r") as file:
        _require_attributes(file, SHARD_ATTRIBUTES, where)
        for name, member in _walk(file, "", where, set()):
            is_layer = name.startswith(f"{LAYERS}/")
            _require_attributes(member, ["heads"] if is_layer else [], f"{where}:/{name}")
            if is_layer:
                heads[name] = np.asarray(member.attrs["heads"]).tolist()
            if isinstance(member, h5py.Dataset):
                arrays[name] = extent(member, f"{where}:/{name}")
        attributes = {name: _plain(file.attrs[name]) for name in SHARD_ATTRIBUTES}
    return {"attributes": attributes, "arrays": arrays}, heads


def _require_attributes(
    member: h5py.Group | h5py.Dataset, allowed: Collection[str], where: str
) -> None:
    if set(member.attrs) != set(allowed):
        raise StoreCorruptError(
            f"{where} has the attributes {sorted(member.attrs)}, expected {sorted(allowed)}; do not"
            " trust this file"
        )


def _plain(value: Any) -> int | str:
    item = np.asarray(value).item()
    return item.decode("utf-8") if isinstance(item, bytes) else item


def _walk(
    group: h5py.Group, way: str, where: str, seen: set[int]
) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """Yield everything in a group by name; what is linked otherwise, or twice, is refused.

    Several names of one thing can make loops, or paths without number.
    """
    for last in group:
        name = f"{way}/{last}" if way else str(last)
        link = group.get(last, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise StoreCorruptError(f"{where}:/{name} is a {type(link).__name__}; {REPAIR}")
        member: Any = group[last]
        address = h5py.h5o.get_info(member.id).addr  # type: ignore[attr-defined]
        if address in seen:
            raise StoreCorruptError(
                f"{where}:/{name} also has another name; do not trust this file"
            )
        seen.add(address)
        yield name, member
        if isinstance(member, h5py.Group):
            yield from _walk(member, name, where, seen)
