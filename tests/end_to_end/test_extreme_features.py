"""Features that other writers may leave: NaN and infinity are refused, tiny and huge ones work."""

from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import polars as pl
import pytest
from shard_files import rewrite
from zlib_ng import zlib_ng

from savs import evaluate, select, sweep
from savs.pipeline.readouts import READOUTS
from savs.stores import FeatureStore
from stores import make_store

pytestmark = pytest.mark.costly

LABELS = list("abcabcabc")
HEADS, WIDTH = 6, 8
VALUES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def store_of(folder: Path, scale: float = 1.0, dtype: str = "float32") -> FeatureStore:
    """Write a store whose features are multiplied by a number."""
    rng = np.random.default_rng(11)
    pull = rng.normal(size=(HEADS, 3, WIDTH))[:, [0, 1, 2] * 3]
    train, test = (
        ((pull + rng.normal(size=pull.shape)) * scale).astype(np.float32) for _ in range(2)
    )
    return make_store(folder, train, LABELS, test, LABELS, dtype=dtype)


def poison(path: Path, head: int, row: int, value: float, dtype: str) -> None:
    """Put a value into a feature, with the checksum that it needs."""
    with h5py.File(path) as file:
        layer = file["layers/00000"]
        offset, rows = layer.id.get_offset(), layer.shape[1]
    data = bytearray(path.read_bytes())
    size = np.dtype(VALUES[dtype]).itemsize
    start, length = offset + head * rows * WIDTH * size, rows * WIDTH * size
    place = start + (row * WIDTH + 3) * size
    data[place : place + size] = np.array([value], VALUES[dtype]).tobytes()
    path.write_bytes(data)
    check = f"{zlib_ng.crc32(bytes(data[start : start + length])):08x}"

    def change(table):
        sums = table["arrays"]["layers/00000"][3]
        table["arrays"]["layers/00000"][3] = sums[: 8 * head] + check + sums[8 * head + 8 :]

    rewrite(path, change)


@pytest.mark.parametrize("dtype", VALUES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_feature_that_is_not_finite_is_named_by_all_that_read_it(savs, tmp_path, dtype, value):
    store = store_of(tmp_path / "s", dtype=dtype)
    assert savs("select", store.path, "--heads", "all").returncode == 0
    poison(store.path / "test-00001.h5", 4, 2, value, dtype)
    what = "test-00001.h5:/layers/00000 head 4 of example 'test:5' holds NaN or infinity"
    for command in (
        ("evaluate", store.path),
        ("sweep", store.path),
        ("query", store.path, 'SELECT "L0.H4" FROM examples'),
        ("export", store.path, "--heads", "all", "--to", "npz", "--out", tmp_path / "out.npz"),
    ):
        done = savs(*command)
        assert done.returncode == 3, done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert what in done.stderr.splitlines()[-1]
    (store.path / "store.json").write_text(unsealed((store.path / "store.json"), store))
    found = savs("verify", store.path)
    assert found.returncode == 3
    assert "head 4 of example 'test:5' holds NaN or infinity" in found.stderr
    assert savs("verify", store.path, "--repair").returncode == 0
    assert not (store.path / "test-00001.h5").exists()


def unsealed(path: Path, store: FeatureStore) -> str:
    """Return the text of a store.json that does not know the shards' digests."""
    from dataclasses import replace

    return replace(store.manifest, shards=()).to_text()


@pytest.mark.parametrize("scale", [1e-30, 1e-24, 1e19, 1e30, 1e37])
@pytest.mark.parametrize("readout", READOUTS)
def test_tiny_and_huge_features_are_classified_as_others_are(tmp_path, scale, readout) -> None:
    plain, scaled = (
        store_of(tmp_path / name, by) for name, by in (("plain", 1.0), ("scaled", scale))
    )
    for scoring in ("resubstitution", "loo"):
        ours, theirs = (
            select(store, heads=4, readout=readout, scoring=scoring) for store in (scaled, plain)
        )
        assert ours.tasks[0].heads == theirs.tasks[0].heads
        np.testing.assert_allclose(ours.tasks[0].margins, theirs.tasks[0].margins, atol=1e-6)
        found, expected = (evaluate(*pair) for pair in ((scaled, ours), (plain, theirs)))
        assert found.predictions["prediction"].equals(expected.predictions["prediction"])


@pytest.mark.parametrize("scale", [1e-30, 1e19])
def test_a_sweep_of_tiny_and_huge_features_is_as_others(tmp_path, scale) -> None:
    found, expected = (
        sweep({"s": store_of(tmp_path / str(by), by)}, heads=[1, 4], shots=[1, 2], draws=3).values
        for by in (scale, 1.0)
    )
    assert found.equals(expected)
    assert found["value"].n_unique() > 1


def test_heads_of_other_scales_vote_with_equal_weight(tmp_path) -> None:
    rng = np.random.default_rng(2)
    pull = rng.normal(size=(3, 3, WIDTH))[:, [0, 1, 2] * 3]
    train, test = ((pull + rng.normal(size=pull.shape)).astype(np.float32) for _ in range(2))
    scales = np.float32([1e-30, 1, 1e30])[:, None, None]
    found = [
        evaluate(make_store(tmp_path / str(n), train * by, LABELS, test * by, LABELS))
        for n, by in enumerate((np.float32(1), scales))
    ]
    margins = [one.predictions.select("prediction", pl.col("margin")) for one in found]
    assert margins[0].equals(margins[1])
