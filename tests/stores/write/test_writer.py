import hashlib
import json
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from savs.stores import (
    FeatureValueError,
    ShardContent,
    StoreCorruptError,
    open_store,
    open_writer,
)
from savs.stores.write.signs_of_life import Signs
from stores import GRID, columns, identity, planned

DTYPES = ["float32", "float16", "bfloat16"]


def finite_bits(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return random bit patterns of a type, all exponents alike, without NaN and infinity."""
    unsigned, exponent = {
        "float32": (np.uint32, 0x7F800000),
        "float16": (np.uint16, 0x7C00),
        "bfloat16": (np.uint16, 0x7F80),
    }[dtype]
    rng = np.random.default_rng(5)
    bits = rng.integers(0, np.iinfo(unsigned).max, shape, dtype=unsigned, endpoint=True)
    bits[(bits & exponent) == exponent] = 0
    bits.flat[:4] = [0, 1, bits.flat[-1] ^ 1, 1 << (8 * bits.itemsize - 1)]  # 0, subnormal, any, -0
    return bits


def slow_float32(bits: np.ndarray, dtype: str) -> np.ndarray:
    """Widen bit patterns without ml_dtypes: bfloat16 is the upper half of a float32."""
    if dtype == "bfloat16":
        return (bits.astype(np.uint32) << 16).view(np.float32)
    return bits.view(dtype).astype(np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_features_come_back_bit_for_bit(tmp_path, toy, dtype) -> None:
    toy.dtype, toy.shard_rows = dtype, 300
    bits = {grid.layer: finite_bits(dtype, (len(grid.heads), 300, 4)) for grid in toy.grid}
    stored = {n: b.view(np.uint16 if dtype == "bfloat16" else dtype) for n, b in bits.items()}
    rows = {"train": planned("train", 300)}
    with open_writer(tmp_path, toy.identity(), rows, shard_rows=300) as writer:
        (spec,) = writer.missing()
        toy.values = lambda split, layer: np.zeros((len(bits[layer]), 300, 4), np.float32)
        writer.write(spec, replace(toy.content(spec), layers=stored))
    store, expected = open_store(tmp_path), np.concatenate([bits[0], bits[2]])
    raw, wide = store.features("train", raw=True), store.features("train")
    np.testing.assert_array_equal(raw.view(expected.dtype), expected, strict=True)
    np.testing.assert_array_equal(
        wide.view(np.uint32), slow_float32(expected, dtype).view(np.uint32), strict=True
    )


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("float32", np.nan),
        ("float32", -np.inf),
        ("bfloat16", np.nan),
        ("float16", 65520.0),  # halfway between the largest float16, 65504, and 2**16: rounds up
        ("bfloat16", 3.4e38),  # the largest bfloat16 is 3.39e38
    ],
)
def test_values_that_are_not_finite_are_refused(
    tmp_path, toy, listing, monkeypatch, dtype, value
) -> None:
    toy.dtype = dtype
    toy.write(tmp_path, only=1)
    before, good = listing(tmp_path), toy.values
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        spec = writer.missing()[0]  # rows 2 and 3
        toy.values = lambda split, layer: good(split, layer).copy()
        with np.errstate(over="ignore"):
            content = toy.content(spec)
            bad = np.float32(value).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        content.layers[2][1, 1, 3] = bad.view(np.uint16) if dtype == "bfloat16" else bad
        message = rf"train-00001\.h5: layer 2 of example 'train:3' holds NaN or infinity in {dtype}"
        with pytest.raises(FeatureValueError, match=message):
            writer.write(spec, content)
        assert writer.missing()[0] == spec
    assert listing(tmp_path) == before
    monkeypatch.setattr("savs.stores.shard.content.endless_row", lambda *_: None)
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        assert writer.write(spec, content)  # as another program might
    message = r"00002 head 1 of example 'train:3' holds NaN or infinity, expected finite numbers"
    with pytest.raises(StoreCorruptError, match=message):
        open_store(tmp_path, partial=True).features("train", [(2, 1)])


WRONG = {
    "a row less": (lambda v: v[:, :1], r"layer 2 is \(3, 1, 4\) float32, expected \(3, 2, 4\)"),
    "a head less": (lambda v: v[:2], r"\(2, 2, 4\) float32, expected \(3, 2, 4\) float32"),
    "narrower": (lambda v: v[..., :3], r"\(3, 2, 3\)"),
    "row-major": (lambda v: v.transpose(1, 0, 2), r"\(2, 3, 4\)"),
    "another type": (lambda v: v.astype(np.float64), "float64, expected .* float32"),
    "bfloat16 values": (lambda v: v.astype(ml_dtypes.bfloat16), "bfloat16, expected .* float32"),
    "bfloat16 not as bits": (lambda v: v.view(ml_dtypes.bfloat16), "bfloat16, expected .* uint16"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_shapes_and_types_are_refused(tmp_path, toy, name) -> None:
    change, message = WRONG[name]
    toy.dtype = "bfloat16" if "bits" in name else "float32"
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        spec = writer.missing()[0]
        content = toy.content(spec)
        layers = {0: content.layers[0], 2: change(content.layers[2])}
        with pytest.raises(FeatureValueError, match=message):
            writer.write(spec, replace(content, layers=layers))
    assert [path.name for path in tmp_path.iterdir()] == ["store.json"]


def test_another_number_of_rows_than_planned_is_refused(tmp_path, toy) -> None:
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        spec = writer.missing()[0]
        short = toy.content(replace(spec, stop=spec.start + 1))
        with pytest.raises(FeatureValueError, match=r"1 examples from .* expected 2 from"):
            writer.write(spec, short)


def test_sealing_lists_every_shard_once_all_are_there(tmp_path, toy) -> None:
    toy.skip = {"train": {3: "unreadable"}}
    assert not toy.write(tmp_path, only=4)
    assert json.loads((tmp_path / "store.json").read_text("utf-8"))["shards"] == []
    assert toy.write(tmp_path)
    sealed = json.loads((tmp_path / "store.json").read_text("utf-8"))
    rows = {"train-00000": 2, "train-00001": 1, "train-00002": 1, "test-00000": 2, "test-00001": 1}
    assert sealed["shards"] == [
        {
            "name": f"{name}.h5",
            "rows": count,
            "bytes": len(data := (tmp_path / f"{name}.h5").read_bytes()),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for name, count in rows.items()
    ]
    assert sealed["runs"] == [{"made": "by hand"}]  # once, though it stands in five shards
    assert {path.suffix for path in tmp_path.iterdir()} == {".h5", ".json"}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("answers", np.zeros((5, 2), np.float64)),
        ("ranks", np.zeros((5, 4), np.int64)),
        ("ranks", np.zeros((5, 4), ">i4")),
    ],
)
def test_an_output_that_would_not_be_read_is_not_written(tmp_path, name, values) -> None:
    kinds = {"answers": {"a": 1, "b": 2}, "ranks": {}}
    plan = {"train": planned("train", 5)}
    outputs = {
        "answers": np.zeros((5, 2), np.float32),
        "ranks": np.zeros((5, 4, 3), np.int32),
    }
    layers = {g.layer: np.zeros((len(g.heads), 5, g.head_dim), np.float32) for g in GRID}
    nothing = columns("train", []) | {"reason": []}
    with open_writer(tmp_path, replace(identity(), outputs=kinds), plan) as writer:
        (spec,) = writer.missing()
        content = ShardContent(layers, columns("train", [{}] * 5), nothing, {}, outputs)
        wrong = replace(content, outputs=outputs | {name: values})
        with pytest.raises(
            FeatureValueError, match=rf"output {name} is .*, expected float32 or int32"
        ):
            writer.write(spec, wrong)
        writer.write(spec, content)


def test_each_writer_of_skipped_shards_is_waited_for_once(tmp_path, toy, monkeypatch) -> None:
    toy.skip = {"train": dict.fromkeys((0, 2, 4), "no image")}
    waits: list[str | None] = []
    monkeypatch.setattr(Signs, "lives", lambda signs, process_id: waits.append(process_id))
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        for spec, made_by in zip(writer.missing(), "aabcc", strict=True):
            writer.write(spec, replace(toy.content(spec), run={"writer": made_by}))
        assert len(writer.reopen_skipped()) == 3
    assert waits == ["a", "b"]
