import json
import zlib

import h5py
import numpy as np
import pytest
from shard_files import index

from savs.stores import open_writer
from savs.stores.format.layout import EXAMPLE_COLUMNS, SHARD_ATTRIBUTES

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
        assert set(file) == {"layers", "outputs", "examples", "skipped", "index"}
        assert set(file["layers"]) == {"00000", "00002"}
        arrays = index(tmp_path / spec.name)["arrays"]
        for grid in toy.grid:
            name = f"layers/{grid.layer:05d}"
            layer = file[name]
            assert (layer.shape, layer.dtype) == ((len(grid.heads), 1, 4), STORED[dtype])
            assert layer.attrs["heads"].tolist() == list(grid.heads)
            data = (tmp_path / spec.name).read_bytes()[layer.id.get_offset() :]
            slab = 4 * layer.dtype.itemsize  # one row of four values
            sums = [zlib.crc32(data[n * slab : (n + 1) * slab]) for n in grid.heads]
            assert arrays[name][3] == "".join(f"{value:08x}" for value in sums)


def test_text_lies_as_json_a_column(tmp_path, toy) -> None:
    toy.skip = {"train": {3: "née"}}
    toy.write(tmp_path)
    with h5py.File(tmp_path / "train-00000.h5") as file:
        examples = file["examples"]
        assert set(examples) == set(EXAMPLE_COLUMNS)
        assert examples["index"][()].tobytes() == b"[0,1]"
        assert examples["id"][()].tobytes() == b'["train:0","train:1"]'
        assert examples["group"][()].tobytes() == b"[null,null]"
        assert examples["media"][()].tobytes() == b"[[],[]]"
        entry = index(tmp_path / "train-00000.h5")["arrays"]["examples/id"]
        assert entry[1:] == ["|u1", [21], f"{zlib.crc32(examples['id'][()].tobytes()):08x}"]
    with h5py.File(tmp_path / "train-00001.h5") as file:
        assert set(file["skipped"]) == {"reason", *EXAMPLE_COLUMNS}
        assert file["skipped/reason"][()].tobytes() == '["née"]'.encode()
