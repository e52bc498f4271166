"""Examples in memory give the features that the same examples in files give."""

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image

from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from datasets import Image as ImageFeature
from savs import extract
from savs.datasets import MediaError, RowError, SourceError
from savs.datasets.rows.file_formats import read_rows
from savs.datasets.rows.packed_media import read_packed
from savs.foundation.errors import ParameterError
from savs.pipeline.inputs.in_memory import files_of

PIXELS = np.random.default_rng(3).integers(0, 255, (4, 6, 8, 3), dtype=np.uint8)


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for pixels, path in zip(PIXELS, paths, strict=True):
        Image.fromarray(pixels).save(path)
    return paths


def written(rows: Any, name: str = "test") -> list[dict[str, Any]]:
    """Return the fields of rows as a run reads them, images as their pixels."""
    with files_of({name: rows}) as given:
        assert given["media_root"] == Path.cwd()
        found = []
        for row in read_rows(given[name]):
            assert row.id == f"{name}:{len(found)}"
            found.append({n: _pixels(v, Path(given[name])) for n, v in row.values.items()})
        path = Path(given[name])
    assert not path.exists()
    return found


def _pixels(value: Any, path: Path) -> Any:
    if isinstance(value, list):
        return [_pixels(item, path) for item in value]
    if not hasattr(value, "name"):
        return value
    return np.asarray(Image.open(io.BytesIO(read_packed(path, value.name)))).tolist()


EXPECTED = [
    {"image": PIXELS[n].tolist(), "question": "Which?", "label": "ab"[n % 2], "n": n}
    for n in range(4)
]


def plain(images: list[Any]) -> list[dict[str, Any]]:
    return [
        {"image": image, "question": "Which?", "label": "ab"[n % 2], "n": n}
        for n, image in enumerate(images)
    ]


def of_data_set(photos: list[Path]) -> Dataset:
    features = Features(
        image=ImageFeature(),
        question=Value("string"),
        label=ClassLabel(names=["a", "b"]),
        n=Value("int64"),
    )
    rows = [{**row, "label": n % 2} for n, row in enumerate(plain([str(p) for p in photos]))]
    return Dataset.from_list(rows, features=features)


KINDS = {
    "bytes": lambda photos: plain([path.read_bytes() for path in photos]),
    "pil": lambda photos: plain([Image.open(path) for path in photos]),
    "arrays": lambda photos: plain(list(PIXELS)),
    "polars": lambda photos: pl.DataFrame(plain([path.read_bytes() for path in photos])),
    "lazy": lambda photos: pl.LazyFrame(plain([path.read_bytes() for path in photos])),
    "pandas": lambda photos: pd.DataFrame(plain([Image.open(path) for path in photos])),
    "generator": lambda photos: (row for row in plain(list(PIXELS))),
}


@pytest.mark.parametrize("made", KINDS.values(), ids=KINDS)
def test_every_kind_of_rows_is_the_same_file(photos, made) -> None:
    assert written(made(photos)) == EXPECTED
    assert written(made(photos), "train") == EXPECTED


def test_a_data_set_is_not_decoded_and_names_its_classes(photos, monkeypatch) -> None:
    def decode(*_: Any) -> None:
        raise AssertionError("an image was decoded")

    monkeypatch.setattr(ImageFeature, "decode_example", decode)
    assert written(of_data_set(photos)) == EXPECTED
    packed = Dataset.from_list(
        [{"images": [{"bytes": path.read_bytes(), "path": None}]} for path in photos],
        features=Features(images=List(ImageFeature())),
    )
    assert [row["images"][0] for row in written(packed)] == PIXELS.tolist()
    gone = {"path": str(photos[0]) + ".gone", "bytes": None}
    plain = [{"box": {"path": str(photos[0]), "n": 1}, "gone": gone}]
    assert written(Dataset.from_list(plain)) == [plain[0] | {"gone": gone["path"]}]


def test_a_class_that_a_data_set_does_not_know_is_missing() -> None:
    names = Features(label=ClassLabel(names=["a", "b"]), extra=List(Value("int64")))
    rows = [{"label": label, "extra": [-1]} for label in (1, -1, None)]  # -1: no label is known
    found = written(Dataset.from_list(rows, features=names))
    assert found == [{"label": label, "extra": [-1]} for label in ("b", None, None)]


def test_values_that_json_lacks() -> None:
    values = {
        "label": (np.int64(3), 3),
        "score": (float("nan"), None),
        "seen": (np.bool_(True), True),
        "tags": (("a", np.float32(0.5)), ["a", 0.5]),
        "day": (pd.Timestamp("2026-01-02"), "2026-01-02 00:00:00"),
        "path": (Path("a/b.png"), "a/b.png"),
        "price": (Decimal("0.10"), "0.10"),
        "none": (None, None),
        "codes": (np.array([7, 8], np.uint8), [7, 8]),
    }
    (found,) = written([{name: value for name, (value, _) in values.items()}])
    assert found == {name: expected for name, (_, expected) in values.items()}


@pytest.mark.parametrize("kinds", ["of numpy", "of pandas"])
def test_empty_cells_of_pandas_are_missing(kinds) -> None:
    rows = pd.DataFrame(
        {
            "label": ["a", None],
            "group": [None, 3],
            "day": [pd.Timestamp("2026-01-02"), None],
            "tags": [["x"], None],
        }
    )
    rows = rows.convert_dtypes() if kinds == "of pandas" else rows
    assert written(rows) == [
        {"label": "a", "group": None, "day": "2026-01-02 00:00:00", "tags": ["x"]},
        {"label": None, "group": 3, "day": None, "tags": None},
    ]


WRONG = {
    "empty": ([], SourceError, "test holds no rows"),
    "not a dictionary": ([{"a": 1}, 3], RowError, "test row 1 is a int, expected a dictionary"),
    "parts": (
        DatasetDict({"train": Dataset.from_list([{"a": 1}])}),
        ParameterError,
        "test is a DatasetDict with the keys train; pass one of its parts",
    ),
    "set": ([{"label": {"a"}}], RowError, "test row 0: label is a set, expected text, a number"),
    "number": (3, ParameterError, "test is a int, expected a path, a frame"),
    "image": (
        [{"image": PIXELS[0][..., :2]}],
        MediaError,
        "test row 0: image is an array of uint8",
    ),
}


@pytest.mark.parametrize(("rows", "error", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_named(rows, error, message) -> None:
    with pytest.raises(error, match=message), files_of({"test": rows}):
        pass


def test_an_error_names_rows_and_no_file_of_a_run() -> None:
    rows = [{"question": "?", "label": "a"}, {"question": "?"}]
    with (
        pytest.raises(RowError, match=r"^train row 1: broken; see train$"),
        files_of({"train": rows}) as given,
    ):
        raise RowError(f"{given['train']} line 2: broken; see {given['train']}")


def test_paths_are_left_as_they_are(tmp_path) -> None:
    given = {"train": tmp_path / "a.jsonl", "test": "b.jsonl", "media_root": None, "limit": 3}
    with files_of(given) as found:
        assert found == given
    with files_of({"test": [{"a": 1}], "media_root": tmp_path}) as found:
        assert found["media_root"] == tmp_path


@pytest.mark.costly
def test_images_may_be_anywhere_and_broken_ones_are_skipped(scenes, tmp_path) -> None:
    good = [
        scenes.root / json.loads(line)["images"][0]
        for line in scenes.train.read_text().splitlines()[:4]
    ]
    (tmp_path / "empty.png").touch()
    (tmp_path / "half.png").write_bytes(good[0].read_bytes()[:300])
    bad = [tmp_path / "empty.png", tmp_path / "half.png"]
    kinds = {
        "frame": pl.DataFrame({"image": [str(path) for path in (*good, *bad)]}),
        "bytes": pl.DataFrame({"image": [path.read_bytes() for path in (*good, *bad)]}),
        "PIL": [{"image": Image.open(io.BytesIO(p.read_bytes()))} for p in (*good, bad[1])],
        "data set": Dataset.from_list(
            [{"image": str(path)} for path in (*good, *bad)],
            features=Features(image=ImageFeature()),
        ),
    }
    file = tmp_path / "hf" / "data.parquet"
    file.parent.mkdir()
    labels = ["a", "b"] * 3
    packed = [{"bytes": path.read_bytes(), "path": path.name} for path in (*good, *bad)]
    pl.DataFrame({"image": packed, "label": labels}).write_parquet(file)  # as the hub has it
    for kind, rows in {**kinds, "parquet": file.parent}.items():
        if isinstance(rows, list):
            rows = [{**row, "label": n} for row, n in zip(rows, labels, strict=False)]
        elif isinstance(rows, pl.DataFrame):
            rows = rows.with_columns(label=pl.Series(labels))
        elif isinstance(rows, Dataset):
            rows = rows.add_column("label", labels)
        done = extract(
            "general", train=rows, question="Which?", model="demo", out=tmp_path / f"store {kind}"
        )
        reasons = [reason for _, _, reason in done.skipped]
        assert done.store.examples("train").height == 4, reasons
        assert len(reasons) == (1 if kind == "PIL" else 2)
        assert kind == "PIL" or "is empty (0 bytes)" in reasons[0]


@pytest.mark.thorough
def test_features_are_those_of_the_files(scenes, tmp_path, monkeypatch) -> None:
    lines = [json.loads(line) for line in scenes.train.read_text().splitlines()]
    rows = [
        {"image": row["images"][0], "question": row["question"], "label": row["label"]}
        for row in lines
        if row["subtask"] == "animal"
    ][::3]
    file = scenes.root / "few.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = {"model": "demo", "dtype": "float32"}
    expected = extract("general", train=file, test=file, out=tmp_path / "files", **common).store
    monkeypatch.chdir(scenes.root)
    opened = [{**row, "image": Image.open(row["image"])} for row in rows]
    common |= {"train": pl.DataFrame(rows), "test": opened, "out": tmp_path / "memory"}
    found = extract("general", **common).store
    for split in ("train", "test"):
        np.testing.assert_allclose(found.features(split), expected.features(split), atol=1e-5)
        labels = found.examples(split)["label"].to_list()
        assert labels == expected.examples(split)["label"].to_list()
    assert extract("general", **common).rows == 0
