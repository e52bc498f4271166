import json
import zlib

import h5py
import numpy as np
import pytest

from savs.stores import open_writer
from savs.stores.format.layout import SHARD_ATTRIBUTES, TEXT_COLUMNS

STORED = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}


@pytest.mark.parametrize("dtype", STORED)
def test_a_shard_is_what_format_1_says(tmp_path, toy, dtype) -> None:
    toy.dtype, toy.skip = dtype, {"train": {3: "no such image"}}
    toy.write(tmp_path)
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        spec = writer.manifest.plan.shards()[1]
    with h5py.File(tmp_path / spec.name) as file:
        attributes = dict(file.attrs)
        assert set(attributes) == set(SHARD_ATTRIBUTES)
        assert json.loads(attributes.pop("run")) == {"made": "by hand"}
        assert attributes == {
            "format": 1,
            "split": b"train",
            "number": 1,
            "plan": spec.digest.encode(),
            "identity": toy.identity().digest.encode(),
            "dtype": dtype.encode(),
        }
        assert set(file) == {"layers", "outputs", "examples", "skipped"}
        assert set(file["layers"]) == {"00000", "00002"}
        for grid in toy.grid:
            layer = file[f"layers/{grid.layer:05d}"]
            assert (layer.shape, layer.dtype) == ((len(grid.heads), 1, 4), STORED[dtype])
            assert layer.attrs["heads"].tolist() == list(grid.heads)
            data = (tmp_path / spec.name).read_bytes()[layer.id.get_offset() :]
            slab = 4 * layer.dtype.itemsize  # one row of four values
            expected = [zlib.crc32(data[n * slab : (n + 1) * slab]) for n in grid.heads]
            assert layer.attrs["crc32"].tolist() == expected


def test_text_lies_as_one_block_with_offsets_and_nulls(tmp_path, toy) -> None:
    toy.skip = {"train": {3: "née"}}
    toy.write(tmp_path)
    with h5py.File(tmp_path / "train-00000.h5") as file:
        examples = file["examples"]
        assert set(examples) == {"index", *TEXT_COLUMNS}
        assert examples["index"][:].tolist() == [0, 1]
        ids, groups = examples["id"], examples["group"]
        assert ids["bytes"][:].tobytes() == b"train:0train:1"
        assert ids["offsets"][:].tolist() == [0, 7, 14]
        assert (ids["valid"][:].tolist(), groups["valid"][:].tolist()) == ([1, 1], [0, 0])
        assert groups["offsets"][:].tolist() == [0, 0, 0]
        parts = b"train:0train:1" + np.array([0, 7, 14], "<i8").tobytes() + b"\1\1"
        assert ids.attrs["crc32"] == zlib.crc32(parts)
    with h5py.File(tmp_path / "train-00001.h5") as file:
        assert set(file["skipped"]) == {"index", "reason", *TEXT_COLUMNS}
        assert file["skipped/reason/bytes"][:].tobytes() == "née".encode()
        assert file["skipped/reason/offsets"][:].tolist() == [0, 4]
