"""Files of features: every form gives the rows that were written."""

import json

import ml_dtypes
import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from savs.pipeline.errors import ImportFileError
from savs.pipeline.inputs import feature_files
from savs.pipeline.inputs.feature_files import open_features
from savs.stores import LayerGrid
from savs.stores.format.layout import to_float32

N, LAYERS, HEADS, WIDTH = 7, 2, 3, 4
VALUES = np.random.default_rng(0).standard_normal((N, LAYERS, HEADS, WIDTH)).astype(np.float32)


def by_head(values):
    return {f"L{m}.H{h}": values[:, m, h] for m in range(LAYERS) for h in range(HEADS)}


def write(path, values):
    if path.name.startswith("heads") and path.suffix == ".parquet":
        columns = {
            name: pl.Series(own, dtype=pl.Array(pl.Float32, WIDTH))
            for name, own in by_head(values).items()
        }
        pl.DataFrame({"label": ["a"] * N, **columns}).write_parquet(path)
    elif path.suffix == ".parquet":
        pl.DataFrame({"x": values[:, 0, 0].tolist()}).write_parquet(path)
    elif path.name.startswith("heads"):
        save_file({n: np.ascontiguousarray(own) for n, own in by_head(values).items()}, path)
    elif path.suffix == ".safetensors":
        save_file({"features": values}, path)
    else:
        np.save(path, values)
    return path


@pytest.mark.parametrize(
    "name", ["all.npy", "all.safetensors", "heads.safetensors", "heads.parquet"]
)
def test_every_form_gives_the_heads_that_were_written(tmp_path, name):
    file = open_features(write(tmp_path / name, VALUES))
    assert (file.rows, file.dtype) == (N, "float32")
    assert file.grid == (LayerGrid(0, (0, 1, 2), WIDTH), LayerGrid(1, (0, 1, 2), WIDTH))
    found = file.read(2, 5)
    for layer in range(LAYERS):
        np.testing.assert_array_equal(found[layer], VALUES[2:5, layer].swapaxes(0, 1))


@pytest.mark.parametrize("axes", [2, 3])
def test_an_array_without_layers_or_heads_has_one(tmp_path, axes):
    values = VALUES[:, 0] if axes == 3 else VALUES[:, 0, 0]
    np.save(tmp_path / "x.npy", values)
    file = open_features(tmp_path / "x.npy")
    assert file.grid == (LayerGrid(0, tuple(range(HEADS if axes == 3 else 1)), WIDTH),)
    np.testing.assert_array_equal(file.read(0, N)[0].swapaxes(0, 1).reshape(values.shape), values)


@pytest.mark.parametrize(
    ("found", "stored"),
    [("float16", "float16"), (">f4", "float32"), ("float64", "float32"), ("bfloat16", "bfloat16")],
)
def test_types_are_kept_or_become_float32(tmp_path, found, stored):
    dtype = ml_dtypes.bfloat16 if found == "bfloat16" else np.dtype(found)
    values = VALUES.astype(dtype)
    if found == "bfloat16":
        save_file({"x": values}, tmp_path / "x.safetensors")
    else:
        np.save(tmp_path / "x.npy", values)
    file = open_features(next(tmp_path.iterdir()))
    assert file.dtype == stored
    kept = to_float32(file.read(0, N)[1], stored)
    np.testing.assert_array_equal(kept, values[:, 1].swapaxes(0, 1).astype(np.float32))


def test_heads_of_two_types_are_stored_in_one_that_loses_no_digit(tmp_path):
    exact = np.ascontiguousarray(VALUES[:, 0, 0])
    rounded = exact.astype(ml_dtypes.bfloat16)
    save_file({"L0.H0": exact, "L0.H1": rounded}, tmp_path / "x.safetensors")
    file = open_features(tmp_path / "x.safetensors")
    assert file.dtype == "float32"
    np.testing.assert_array_equal(file.read(0, N)[0][0], exact)
    save_file({"L0.H0": exact.astype(np.float16), "L0.H1": rounded}, tmp_path / "y.safetensors")
    assert open_features(tmp_path / "y.safetensors").dtype == "float32"


def test_columns_of_other_names_are_heads_in_their_order(tmp_path):
    frame = {"id": [1, 2], "b": [[1.0, 2.0], [3.0, 4.0]], "a": [[5.0], [6.0]]}
    pl.DataFrame({"id": frame["id"], "b": frame["b"]}).write_parquet(tmp_path / "x.parquet")
    file = open_features(tmp_path / "x.parquet")
    assert (file.ids, file.others) == (("1", "2"), ("id",))
    np.testing.assert_array_equal(file.read(1, 2)[0], [[[3.0, 4.0]]])
    pl.DataFrame(frame).write_parquet(tmp_path / "y.parquet")
    with pytest.raises(ImportFileError, match=r"layer 0 have the widths \[1, 2\]"):
        open_features(tmp_path / "y.parquet")


BAD = {
    "one axis": (np.zeros(3, np.float32), "array of shape \\(3,\\); expected \\(examples"),
    "no width": (np.zeros((3, 0), np.float32), "without a 0"),
    "whole numbers": (np.zeros((3, 2), np.int64), "holds int64; expected float16"),
    "objects": (np.array([[{}]]), "cannot be read: Array can't be memory-mapped"),
    "lengths": ({"x": [[1.0], [2.0, 3.0]]}, "'x' has lists of 1 to 2 numbers"),
    "null": ({"x": [[1.0], None]}, "'x' has lists of 0 to 1 numbers"),
    "no vector": ({"x": [1.0]}, "no column of lists of floats"),
    "names": ({"L0.H0": [[1.0]], "x": [[1.0]]}, "expected a single one, or one a head"),
    "twice": ({"L0.H0": [[1.0]], "L00.H0": [[1.0]]}, "each once"),
    "null id": ({"x": [[1.0]], "id": [None]}, "an id is empty"),
    "empty id": ({"x": [[1.0]], "id": [""]}, "an id is empty"),
    "too wide": ({"x": [[1.0] * 9]}, "has 36 bytes of features per example; .* at most 32"),
}


@pytest.mark.parametrize(("values", "message"), BAD.values(), ids=BAD)
def test_other_arrays_and_tables_are_refused(tmp_path, monkeypatch, values, message):
    monkeypatch.setattr(feature_files, "MAX_ROW_BYTES", 32)
    path = tmp_path / ("x.parquet" if isinstance(values, dict) else "x.npy")
    pl.DataFrame(values).write_parquet(path) if isinstance(values, dict) else np.save(path, values)
    with pytest.raises(ImportFileError, match=message):
        open_features(path)


def test_damaged_and_missing_files_are_refused(tmp_path):
    for name in ("x.npy", "x.safetensors", "x.parquet"):
        with pytest.raises(ImportFileError, match="cannot be read: No such file"):
            open_features(tmp_path / name)
        (tmp_path / name).write_bytes(b"\x93NUMPY and more")
        with pytest.raises(ImportFileError, match="cannot be read"):
            open_features(tmp_path / name)
    with pytest.raises(ImportFileError, match=r"expected a name that ends in \.npy"):
        open_features(tmp_path / "x.csv")
    np.save(tmp_path / "x.npy", VALUES)
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-4])
    with pytest.raises(ImportFileError, match="cannot be read: mmap length"):
        open_features(tmp_path / "x.npy")


@pytest.mark.parametrize("shape", ["(3, ", "(1180591620717411303424, 3)", "(True, 3)", "(3, 3"])
def test_headers_of_arrays_that_are_no_shapes_are_refused(tmp_path, shape):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(118) + "\n"
    lead = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    (tmp_path / "x.npy").write_bytes(lead + header.encode() + bytes(36))
    with pytest.raises(ImportFileError, match="check the file"):
        open_features(tmp_path / "x.npy")


@pytest.mark.costly
def test_a_small_table_that_declares_too_much_is_refused(tmp_path):
    pl.DataFrame({"x": [[0.0]]}).select(
        pl.col("x").list.eval(pl.element().repeat_by(2**27).explode())
    ).write_parquet(tmp_path / "x.parquet", compression="zstd")
    with pytest.raises(ImportFileError, match="at most 268,435,456"):
        open_features(tmp_path / "x.parquet")


def test_ids_of_tensors_are_those_that_export_writes(tmp_path):
    parts = {n: np.ascontiguousarray(own) for n, own in by_head(VALUES).items()}
    names = [f"row {i}" for i in range(N)]
    save_file(parts, tmp_path / "x.safetensors", metadata={"id": json.dumps(names)})
    assert open_features(tmp_path / "x.safetensors").ids == tuple(names)


TENSORS = {
    "counts": ({"L0.H0": (3, 2), "L0.H1": (4, 2)}, None, "has tensors of the shapes .* expected"),
    "axes": ({"L0.H0": (3, 2), "L0.H1": (3, 2, 2)}, None, "has tensors of the shapes"),
    "no width": ({"L0.H0": (3, 0), "L0.H1": (3, 0)}, None, "has 0 bytes of .* one value or more"),
    "no list of ids": ({"x": (3, 2)}, '"abc"', "an id is empty or no text"),
    "numbers as ids": ({"x": (3, 2)}, "[1, 2, 3]", "an id is empty or no text"),
    "two ids": ({"x": (3, 2)}, '["a", "b"]', "has 3 rows of features and 2 ids; expected an id"),
}


@pytest.mark.parametrize(("shapes", "ids", "message"), TENSORS.values(), ids=TENSORS)
def test_other_tensors_are_refused(tmp_path, shapes, ids, message):
    parts = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    save_file(parts, tmp_path / "x.safetensors", metadata=ids and {"id": ids})
    with pytest.raises(ImportFileError, match=message):
        open_features(tmp_path / "x.safetensors")


def test_the_heads_of_many_layers_are_sorted_once(tmp_path, monkeypatch):
    looked_at = []

    def counting(items, **options):
        items = list(items)
        looked_at.append(len(items))
        return sorted(items, **options)

    monkeypatch.setattr(feature_files, "sorted", counting, raising=False)
    np.save(tmp_path / "deep.npy", np.zeros((2, 500, 1, 1), np.float32))
    assert len(open_features(tmp_path / "deep.npy").grid) == 500
    assert sum(looked_at) <= 3 * 500
