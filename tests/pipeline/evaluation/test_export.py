"""`export`: features in Parquet, npz and safetensors, whole or not at all."""

import io
import json

import numpy as np
import polars as pl
import pytest
import safetensors
from doc_pages import ROOT, blocks
from PIL import Image
from polars.testing import assert_frame_equal

from savs import import_features
from savs.datasets.media.media import sha256
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import ExportError
from savs.pipeline.evaluation.export import EXAMPLE_COLUMNS, FORMS, export_features
from savs.stores import (
    HeadNotFoundError,
    LayerGrid,
    StoreCorruptError,
    StoreIncompleteError,
    StoreWriteError,
    open_store,
)
from stores import identity, write_store

pytestmark = pytest.mark.thorough

BOTH = ("train", "test")
WIDTHS = (LayerGrid(1, (0, 2), 4), LayerGrid(3, (4,), 6))
HEADS = [(3, 4), (1, 0)]
COUNTS = {"train": 5, "test": 3}


@pytest.fixture
def store(tmp_path):
    """Return a bfloat16 store of two widths whose labels and groups are of many kinds."""
    rng = np.random.default_rng(1)
    features, rows = {}, {}
    for split, count in COUNTS.items():
        rows[split] = [
            {"label": "кот" if i % 2 else "a, b", "group": "g" if i % 2 else None, "subtask": "t"}
            for i in range(count)
        ]
        features[split] = {
            g.layer: rng.normal(size=(len(g.heads), count, g.head_dim)) for g in WIDTHS
        }
    what = identity("bfloat16", WIDTHS)
    return write_store(tmp_path / "s", what, features, rows, shard_rows=2)


def values(store, head: tuple[int, int], splits=BOTH) -> np.ndarray:
    return np.concatenate([store.features(split, [head])[0] for split in splits])


@pytest.mark.parametrize("splits", [BOTH, ("test",), ("train",)], ids="+".join)
def test_parquet_has_a_row_an_example_and_a_list_a_head(store, tmp_path, splits) -> None:
    path = export_features(store, tmp_path / "out.parquet", HEADS, splits, "parquet")
    found = pl.read_parquet(path)
    assert found.columns == [*EXAMPLE_COLUMNS, "L3.H4", "L1.H0"]
    assert found.schema["L3.H4"] == pl.Array(pl.Float32, 6)
    assert found.schema["L1.H0"] == pl.Array(pl.Float32, 4)
    assert_frame_equal(
        found.select(EXAMPLE_COLUMNS),
        pl.concat(store.examples(split) for split in splits).select(EXAMPLE_COLUMNS),
    )
    np.testing.assert_array_equal(found["L3.H4"].to_numpy(), values(store, (3, 4), splits))
    np.testing.assert_array_equal(found["L1.H0"].to_numpy(), values(store, (1, 0), splits))


def read_npz(path):
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return arrays, {name: arrays.pop(name).tolist() for name in ("id", "label", "split")}


def read_safetensors(path):
    with safetensors.safe_open(path, framework="numpy") as file:
        texts = {name: json.loads(text) for name, text in file.metadata().items()}
        return {name: file.get_tensor(name) for name in file.keys()}, texts  # noqa: SIM118


@pytest.mark.parametrize("splits", [BOTH, ("test",)], ids="+".join)
@pytest.mark.parametrize(
    ("form", "read"), [("npz", read_npz), ("safetensors", read_safetensors)], ids=["npz", "safe"]
)
def test_array_files_have_an_array_a_head_and_the_ids(store, tmp_path, splits, form, read) -> None:
    arrays, texts = read(export_features(store, tmp_path / f"out.{form}", HEADS, splits, form))
    examples = pl.concat(store.examples(split) for split in splits)
    assert texts == {name: examples[name].to_list() for name in ("id", "label", "split")}
    assert set(arrays) == {"L3.H4", "L1.H0"}
    for name, head in (("L3.H4", (3, 4)), ("L1.H0", (1, 0))):
        np.testing.assert_array_equal(arrays[name], values(store, head, splits), strict=True)


def test_a_file_that_is_named_like_another_form_is_refused(store, tmp_path) -> None:
    for form, name in (
        ("parquet", "a.npz"),
        ("parquet", "a.csv"),
        ("npz", "a.safetensors"),
        ("safetensors", "a.parquet"),
    ):
        with pytest.raises(
            ExportError, match=rf"{name} would be a {form} file; (use `to`|end its name)"
        ):
            export_features(store, tmp_path / name, HEADS, BOTH, form)
    assert list(tmp_path.glob("a.*")) == []


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_is_there_is_replaced_and_its_folder_made(store, tmp_path, form) -> None:
    path = tmp_path / "deep" / "er" / "out"
    first = export_features(store, path, HEADS, ("test",), form).stat().st_size
    export_features(store, path, HEADS[:1], BOTH, form)
    assert path.stat().st_size != first
    assert export_features(store, path, HEADS, ("test",), form) == path
    assert path.stat().st_size == first
    assert [p.name for p in path.parent.iterdir()] == ["out"]


ABSENT = {
    "form": (HEADS, BOTH, "csv", ExportError, "no format is called 'csv'; expected one of: parq"),
    "split": (HEADS, ("val",), "npz", ExportError, r"splits are \['val'\], expected some of \['tr"),
    "no split": (HEADS, (), "npz", ExportError, r"splits are \[\], expected some of"),
    "head": ([(1, 1)], BOTH, "npz", HeadNotFoundError, r"holds no head L1\.H1; it has 3 heads"),
    "no head": ([], BOTH, "npz", HeadNotFoundError, "holds nothing for an empty list"),
}


@pytest.mark.parametrize(
    ("heads", "splits", "form", "error", "message"), ABSENT.values(), ids=ABSENT
)
def test_what_is_not_there_is_refused(store, tmp_path, heads, splits, form, error, message) -> None:
    with pytest.raises(error, match=message):
        export_features(store, tmp_path / "new" / "out", heads, splits, form)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_left_of_a_file_that_could_not_be_finished(store, tmp_path, form) -> None:
    path = tmp_path / "out"
    path.write_text("of another day")
    shard = store.path / "test-00000.h5"
    data = shard.read_bytes()
    place = data.index(store.features("test", [(1, 0)], raw=True)[0, :2].tobytes())
    shard.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    with pytest.raises(StoreCorruptError, match=r"test-00000\.h5:/layers/00001 head 0 fails its"):
        export_features(store, path, HEADS, BOTH, form)
    assert path.read_text() == "of another day"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "s"]
    export_features(store, path, [(1, 2)], BOTH, form)  # no part of that head's values


@pytest.mark.parametrize("form", FORMS)
def test_a_path_that_cannot_be_written_is_named(store, tmp_path, form) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for path in ("folder", "file/x", "n" * 250):
        with pytest.raises(StoreWriteError, match=rf"{path} cannot be written: "):
            export_features(store, tmp_path / path, HEADS, BOTH, form)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder", "s"]


def test_a_store_that_is_not_whole_is_refused_unless_it_is_opened_so(store, tmp_path) -> None:
    (store.path / "train-00002.h5").unlink()
    with pytest.raises(StoreIncompleteError, match=r"train-00002\.h5 first"):
        export_features(open_store(store.path), tmp_path / "out", HEADS, BOTH, "npz")
    path = export_features(
        open_store(store.path, partial=True), tmp_path / "out", HEADS, BOTH, "parquet"
    )
    assert pl.read_parquet(path)["split"].to_list() == ["train"] * 4 + ["test"] * 3


def test_a_file_of_a_store_is_not_replaced(store) -> None:
    for name in ("store.json", "test-00000.h5"):
        before = (store.path / name).read_bytes()
        with pytest.raises(StoreWriteError, match=f"{name} is a part of a store"):
            export_features(store, store.path / name, HEADS, BOTH, "parquet")
        assert (store.path / name).read_bytes() == before


def test_a_file_of_a_result_is_not_replaced(store, tmp_path) -> None:
    units = tmp_path / "units.parquet"
    for name in ("metrics.json", "units.parquet"):
        (tmp_path / name).write_bytes(b"of a result")
    with pytest.raises(StoreWriteError, match="is a part of a store or of a result"):
        export_features(store, units, HEADS, BOTH, "parquet")
    assert units.read_bytes() == b"of a result"


def test_a_head_named_twice_is_exported_once(store, tmp_path) -> None:
    path = export_features(store, tmp_path / "o.parquet", [(1, 0), (1, 0)], BOTH, "parquet")
    assert pl.read_parquet(path).columns.count("L1.H0") == 1


@pytest.fixture
def pictured(tmp_path):
    """Return a store of images below `photos`: one is gone since, one changed, one is no image."""
    root = tmp_path / "photos"
    root.mkdir()
    rng = np.random.default_rng(0)
    names = [f"{n}.png" for n in range(6)]
    for name in names:
        pixels = rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((900, 600)).save(root / name)
    (root / "3.png").write_bytes(b"no image")
    rows = []
    for place, name in enumerate(names):
        media, digests = [name], [sha256((root / name).read_bytes())]
        rows.append(
            {
                "label": "ab"[place % 2],
                "media": json.dumps(media),
                "media_sha256": json.dumps(digests),
            }
        )
    (root / "1.png").unlink()
    (root / "2.png").write_bytes((root / "0.png").read_bytes())
    features = {g.layer: rng.normal(size=(len(g.heads), 6, g.head_dim)) for g in WIDTHS}
    features[3][:, 4] = 0  # a head of zeros
    splits = {"train": features, "test": features}
    rows = {"train": rows, "test": rows}
    return write_store(tmp_path / "s", identity("float32", WIDTHS), splits, rows, shard_rows=2)


def test_with_a_media_root_viewers_get_a_file_a_picture_and_one_vector(
    pictured, tmp_path, monkeypatch
) -> None:
    root = tmp_path / "photos"
    plain = export_features(pictured, tmp_path / "plain.parquet", HEADS, BOTH, "parquet")
    path = export_features(
        pictured, tmp_path / "a.parquet", HEADS, BOTH, "parquet", media_root=root
    )
    found = pl.read_parquet(path)
    monkeypatch.chdir(tmp_path)  # the path of a picture does not depend on where one stands
    given = (pictured, tmp_path / "b.parquet", HEADS, BOTH, "parquet")
    assert pl.read_parquet(export_features(*given, media_root=root.name)).equals(found)
    assert found.columns == [*EXAMPLE_COLUMNS, "L3.H4", "L1.H0", "filepath", "image", "vector"]
    assert_frame_equal(found.drop("filepath", "image", "vector"), pl.read_parquet(plain))
    shown = found["filepath"].head(6).to_list()
    assert shown == [str(root / f"{n}.png") if n in (0, 3, 4, 5) else None for n in range(6)]
    images = found["image"].head(6).to_list()
    assert [image is not None for image in images] == [True, False, False, False, True, True]
    with Image.open(io.BytesIO(images[0]["bytes"])) as small:
        assert (small.format, small.size) == ("JPEG", (256, 171))
    # the mean cosine of the heads, a head of zeros left out
    vectors = found["vector"].head(6).to_numpy().astype(float)
    parts = [found[name].head(6).to_numpy().astype(float) for name in ("L3.H4", "L1.H0")]
    a, b = (part[0] @ part[1] / np.linalg.norm(part[0]) / np.linalg.norm(part[1]) for part in parts)
    lengths = np.linalg.norm(vectors, axis=1)
    assert vectors[0] @ vectors[1] / lengths[0] / lengths[1] == pytest.approx((a + b) / 2)
    assert lengths[4] == pytest.approx(1)
    assert (vectors[4, :6] == 0).all()


def test_the_line_of_the_docs_names_columns_that_embedding_atlas_can_read(pictured, tmp_path):
    """It wants one list of equally many finite numbers a row, and `{bytes, path}` of a picture."""
    lines = [
        line
        for block in blocks(ROOT / "docs/guide/reports.md", "bash")
        for line in block.split("\n")
    ]
    (line,) = (line.split() for line in lines if line.startswith("embedding-atlas "))
    program, file, *options = line
    assert (program, file) == ("embedding-atlas", "heads.parquet")
    asked = dict(zip(options[::2], options[1::2], strict=True))
    assert asked.keys() == {"--vector", "--image"}
    root = tmp_path / "photos"
    path = export_features(pictured, tmp_path / file, HEADS, BOTH, "parquet", media_root=root)
    found = pl.read_parquet(path)
    vectors = found[asked["--vector"]]
    assert isinstance(vectors.dtype, pl.Array)
    assert vectors.null_count() == 0
    assert np.isfinite(vectors.to_numpy()).all()
    pictures = found[asked["--image"]]
    assert pictures.dtype == pl.Struct({"bytes": pl.Binary, "path": pl.String})
    shown = [row["bytes"] for row in pictures.drop_nulls().to_list()]
    assert len(shown) == 6
    assert all(data.startswith(b"\xff\xd8") for data in shown)


def test_an_export_with_pictures_is_imported_without_what_viewers_need(pictured, tmp_path) -> None:
    root = tmp_path / "photos"
    path = export_features(
        pictured, tmp_path / "a.parquet", HEADS, BOTH, "parquet", media_root=root
    )
    store = import_features(path, out=tmp_path / "again").store
    assert sorted(store.heads) == sorted(HEADS)
    columns = ["id", "label", "group", "media", "media_sha256", "extra"]
    for split in BOTH:
        assert_frame_equal(
            store.examples(split).select(columns), pictured.examples(split).select(columns)
        )


def test_a_media_root_that_cannot_be_is_refused(store, tmp_path) -> None:
    given = (store, tmp_path / "a.npz", HEADS, BOTH)
    with pytest.raises(ExportError, match="`media_root` has no meaning with npz"):
        export_features(*given, "npz", media_root=tmp_path)
    with pytest.raises(ParameterError, match="none', which is not a folder"):
        export_features(
            store, tmp_path / "a.parquet", HEADS, BOTH, "parquet", media_root=tmp_path / "none"
        )
