"""Chosen heads of prompts that may recur lie in a temporary file."""

import io

import numpy as np
import pytest

from savs.pipeline.classifying.kept_heads import KeptHeads
from savs.pipeline.errors import OutputError
from savs.stores import LayerGrid, ShardSpec


def test_chosen_heads_are_kept_and_others_are_not() -> None:
    grid = (LayerGrid(0, (0, 1), 2), LayerGrid(3, (0, 2), 4))
    rng = np.random.default_rng(0)
    specs = [ShardSpec("test", n, 0, 5, "") for n in range(2)]
    layers = [
        {0: rng.normal(size=(2, 5, 2)).astype("f2"), 3: rng.normal(size=(2, 5, 4)).astype("f2")}
        for _ in specs
    ]
    with KeptHeads(grid, [(0, 1), (3, 2)], "float16", None) as kept:
        for spec, found in zip(specs, layers, strict=True):
            kept.keep(spec, found)
        for spec, found in zip(specs, layers, strict=True):
            again = kept.read(spec, [4, 1])
            for layer in (0, 3):
                np.testing.assert_array_equal(again[layer][1], found[layer][1][[4, 1]])
                assert not again[layer][0].any()  # not chosen


def test_a_full_disk_is_one_line(tmp_path) -> None:
    class Full(io.BytesIO):
        def write(self, data) -> int:
            raise OSError(28, "No space left on device")

    values = {0: np.zeros((1, 2, 2), np.float32)}
    with KeptHeads([LayerGrid(0, (0,), 2)], [(0, 0)], "float32", tmp_path) as kept:
        kept._file.close()
        kept._file = Full()
        with pytest.raises(OutputError, match=r"cannot be written: No space left .*; free"):
            kept.keep(ShardSpec("test", 0, 0, 2, ""), values)
