import json
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from savs.stores import StoreCorruptError
from savs.stores.files.raw_file import RawFile
from savs.stores.format.layout import TEXT_COLUMNS
from savs.stores.shard.hdf5_safety import Hdf5Header
from savs.stores.shard.hdf5_writing import Hdf5Writer
from savs.stores.shard.shard_file import ShardFile
from savs.stores.shard.text_columns import json_cell, read_columns, write_columns

SCRIPTS = [
    None,
    "",
    "ok",
    "Žluťoučký",
    "数据",
    "עברית",
    "क्षि",
    "👩🏽‍🚀",
    "a\r\nb\n",
    "\0",
    "a\0b\0",
    "\ufeff",
    "\u2028",
]
INDEXES = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.none() | st.text(max_size=9) | st.sampled_from(SCRIPTS)
THUMBNAILS = st.none() | st.binary(max_size=9)


class Written:
    """Columns as a shard's examples, in the HDF5 of a file."""

    def __init__(self, columns: dict[str, list]) -> None:
        self._held = tempfile.NamedTemporaryFile()  # noqa: SIM115, gone with this object
        self._file = h5py.File(self._held.name, "w", locking=False)
        write_columns(Hdf5Writer(self._file), "examples", columns)
        self.group = self._file["examples"]

    def read(self, rows: int) -> dict[str, list]:
        self._file.flush()
        with RawFile(Path(self._held.name)) as raw:
            raw.where = "here"
            return read_columns(ShardFile(raw, Hdf5Header(self._file, "here")), "examples", rows)


@st.composite
def all_columns(draw: st.DrawFn) -> dict[str, list]:
    rows = draw(st.integers(0, 4))
    kinds = {"index": INDEXES, **dict.fromkeys(TEXT_COLUMNS, TEXTS)}
    if draw(st.booleans()):
        kinds["reason"] = TEXTS
    if draw(st.booleans()):
        kinds["thumbnail"] = THUMBNAILS
    return {n: draw(st.lists(k, min_size=rows, max_size=rows)) for n, k in kinds.items()}


def plain(rows: int) -> dict[str, list]:
    return {"index": list(range(rows))} | {
        name: [f"{name}{row}" for row in range(rows)] for name in TEXT_COLUMNS
    }


@settings(deadline=None, max_examples=60)
@given(all_columns())
@example(plain(0))
@example(plain(0) | {"reason": [], "thumbnail": []})
@example(plain(len(SCRIPTS)) | {"label": SCRIPTS, "reason": SCRIPTS[::-1]})
@example(plain(2) | {"label": [None, ""], "thumbnail": [None, b""]})
def test_columns_come_back_as_written(columns: dict[str, list]) -> None:
    assert Written(columns).read(len(columns["index"])) == columns


def test_a_thumbnail_comes_back_as_bytes_even_where_they_are_text() -> None:
    columns = plain(2) | {"thumbnail": [b"text", b"\xff\xd8\xff\x00"]}
    assert Written(columns).read(2)["thumbnail"] == [b"text", b"\xff\xd8\xff\x00"]


def test_every_dataset_lies_plainly_in_the_file() -> None:
    kinds = {}
    written = Written(plain(3) | {"thumbnail": [b"x", None, b""]})
    written.group.visititems(
        lambda name, item: (
            kinds.update({name: (item.dtype, item.chunks)})
            if isinstance(item, h5py.Dataset)
            else None
        )
    )
    assert kinds.pop("index") == (np.int64, None)
    assert {name.rsplit("/")[-1] for name in kinds} == {"bytes", "offsets", "valid"}
    assert set(kinds.values()) == {(np.dtype(np.uint8), None), (np.dtype(np.int64), None)}


@pytest.fixture
def written() -> Written:
    return Written(plain(3) | {"reason": ["x", "y", "z"], "thumbnail": [b"x", None, b"z"]})


@pytest.mark.parametrize("part", ["bytes", "offsets", "valid"])
@pytest.mark.parametrize("column", [*TEXT_COLUMNS, "reason", "thumbnail"])
def test_a_flipped_bit_is_refused_naming_the_column(
    written: Written, column: str, part: str
) -> None:
    written.group[f"{column}/{part}"][1] ^= 1
    with pytest.raises(StoreCorruptError, match=f"^here:/examples/{column} fails its crc32"):
        written.read(3)


def test_a_flipped_bit_of_the_index_is_refused(written: Written) -> None:
    written.group["index"][2] ^= 1 << 40
    with pytest.raises(StoreCorruptError, match=r"^here:/examples/index fails its crc32"):
        written.read(3)


@pytest.mark.parametrize("column", ["index", "id", "label", "extra"])
def test_a_missing_column_is_refused_by_name(written: Written, column: str) -> None:
    del written.group[column]
    with pytest.raises(StoreCorruptError, match=f"^here:/examples/{column} is missing"):
        written.read(3)


def test_a_missing_part_or_checksum_is_refused_by_name(written: Written) -> None:
    del written.group["label"].attrs["crc32"]
    with pytest.raises(StoreCorruptError, match=r"^here:/examples/label is damaged: KeyError"):
        written.read(3)
    del written.group["label/offsets"]
    with pytest.raises(StoreCorruptError, match=r"^here:/examples/label/offsets is missing"):
        written.read(3)


def test_a_column_that_swapped_places_with_a_dataset_is_refused(written: Written) -> None:
    del written.group["label"]
    written.group["label"] = np.zeros(3)
    with pytest.raises(StoreCorruptError, match=r"^here:/examples/label is no group"):
        written.read(3)


@pytest.mark.parametrize("column", ["index", "label", "thumbnail"])
def test_columns_of_different_lengths_are_refused(column: str) -> None:
    columns = plain(3) | {"thumbnail": [None] * 3}
    written = Written(columns | {column: columns[column][:2]})
    message = rf"^here:/examples/{column}.* holds \[[23]\] \S+, expected \[[34]\]"
    with pytest.raises(StoreCorruptError, match=message):
        written.read(3)


@pytest.mark.parametrize(
    "value", [[], ["a.png", "数据 📷.jpg"], {"b": 1, "a": [None, 2.5]}], ids=repr
)
def test_a_json_cell_is_compact_and_readable(value) -> None:
    cell = json_cell(value)
    assert json.loads(cell) == value
    assert "\\u" not in cell
    assert ": " not in cell
