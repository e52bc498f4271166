from pathlib import Path

import h5py
import numpy as np
import pytest
from shard_files import cut_header

from savs.stores import StoreCorruptError, open_store
from stores import planned

pytestmark = pytest.mark.thorough

SHARD = "train-00001.h5"
LAYER = "layers/00002"


@pytest.fixture
def folder(tmp_path, toy) -> Path:
    toy.write(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def plain(folder) -> Path:
    """Return the folder of a store whose shards are HDF5 alone, and found through it."""
    for path in folder.glob("*.h5"):
        cut_header(path)
    return folder


def other_number(folder: Path, toy) -> None:
    (folder / SHARD).write_bytes((folder / "train-00000.h5").read_bytes())


def other_split(folder: Path, toy) -> None:
    (folder / "test-00001.h5").rename(folder / SHARD)


def other_model(folder: Path, toy) -> None:
    toy.write(folder.parent / "other", model="other")
    (folder.parent / "other" / SHARD).rename(folder / SHARD)


def other_examples(folder: Path, toy) -> None:
    rows = {"train": planned("train", 7), "test": planned("test", 3)}
    toy.rows = lambda: rows
    toy.write(folder.parent / "other")
    (folder.parent / "other" / SHARD).rename(folder / SHARD)


def make_folder(folder: Path, toy) -> None:
    (folder / SHARD).unlink()
    (folder / SHARD).mkdir()


def truncate(folder: Path, toy) -> None:
    (folder / SHARD).write_bytes((folder / SHARD).read_bytes()[:-1])


def truncate_hdf5(folder: Path, toy) -> None:
    cut_header(folder / SHARD)
    truncate(folder, toy)


def no_identity(folder: Path, toy) -> None:
    cut_header(folder / SHARD)
    with h5py.File(folder / SHARD, "r+") as file:
        del file.attrs["identity"]


def next_format(folder: Path, toy) -> None:
    cut_header(folder / SHARD)
    with h5py.File(folder / SHARD, "r+") as file:
        file.attrs["format"] = np.int64(2)


SHARDS = {
    "text": (lambda folder, toy: (folder / SHARD).write_text("hello"), "cannot be opened as HDF5"),
    "empty": (lambda folder, toy: (folder / SHARD).write_bytes(b""), "cannot be opened as HDF5"),
    "folder": (make_folder, "is a folder, not a shard"),
    "truncated": (truncate, r"is truncated: it has"),
    "truncated HDF5": (truncate_hdf5, r"cannot be opened as HDF5 .*truncated"),
    "another number": (other_number, "number is 0, expected 1"),
    "another split": (other_split, "split is 'test', expected 'train'"),
    "another store": (other_model, "identity is "),
    "other examples": (other_examples, "plan is "),
    "no identity": (no_identity, "attribute identity is damaged"),
    "another format": (next_format, "format is 2, expected 1"),
}


@pytest.mark.parametrize(("damage", "message"), SHARDS.values(), ids=SHARDS.keys())
def test_a_file_that_is_not_the_planned_shard_is_refused(folder, toy, damage, message) -> None:
    damage(folder, toy)
    store = open_store(folder)
    for read in (lambda: store.features("train"), lambda: store.examples("train")):
        with pytest.raises(StoreCorruptError, match=rf"{SHARD} .*{message}"):
            read()


@pytest.mark.parametrize(
    "byte", [0, 13, 31]
)  # first, some and last byte of a head of 2 x 4 float32
@pytest.mark.parametrize("kind", ["folder", "plain"])
def test_a_flipped_byte_is_found_where_its_head_is_read(request, toy, kind, byte) -> None:
    folder = request.getfixturevalue(kind)
    with h5py.File(folder / SHARD) as file:
        start = file[LAYER].id.get_offset() + 32  # head 1 follows the 32 bytes of head 0
    data = bytearray((folder / SHARD).read_bytes())
    data[start + byte] ^= 0x10
    (folder / SHARD).write_bytes(data)
    store = open_store(folder)
    with pytest.raises(
        StoreCorruptError, match=f"{SHARD}.*00002 head 1 fails its crc32.*`savs repair`"
    ):
        store.features("train")
    others = store.features("train", [(2, 0), (2, 2)])  # heads that are whole can be read
    np.testing.assert_array_equal(others, toy.values("train", 2)[[0, 2], :5])


def external_link(file: h5py.File, good: Path) -> None:
    file[LAYER] = h5py.ExternalLink(good, LAYER)


def soft_link(file: h5py.File, good: Path) -> None:
    with h5py.File(good) as whole:
        whole.copy(LAYER, file, "elsewhere")
    file[LAYER] = h5py.SoftLink("/elsewhere")


def virtual(file: h5py.File, good: Path) -> None:
    layout = h5py.VirtualLayout((3, 2, 4), np.float32)
    layout[...] = h5py.VirtualSource(good, LAYER, (3, 2, 4))
    file.create_virtual_dataset(LAYER, layout)


def external_storage(file: h5py.File, good: Path) -> None:
    with h5py.File(good) as whole:
        whole[LAYER][...].tofile(good.with_suffix(".bin"))
    place = [(good.with_suffix(".bin"), 0, 96)]
    file.create_dataset(LAYER, (3, 2, 4), np.float32, external=place)


def chunked(file: h5py.File, good: Path) -> None:
    with h5py.File(good) as whole:
        file.create_dataset(LAYER, data=whole[LAYER][...], chunks=(1, 2, 4))


def compressed(file: h5py.File, good: Path) -> None:
    with h5py.File(good) as whole:
        file.create_dataset(LAYER, data=whole[LAYER][...], compression="gzip")


def objects(file: h5py.File, good: Path) -> None:
    file.create_dataset(LAYER, (3, 2, 4), h5py.string_dtype())


def transposed(file: h5py.File, good: Path) -> None:
    with h5py.File(good) as whole:
        file[LAYER] = whole[LAYER][...].transpose(1, 0, 2)


def big_endian(file: h5py.File, good: Path) -> None:
    with h5py.File(good) as whole:
        file[LAYER] = whole[LAYER][...].view(">f4")


LAYERS = {
    "external link": (external_link, "is a ExternalLink"),
    "soft link": (soft_link, "is a SoftLink"),
    "virtual dataset": (virtual, "is virtual, external, chunked or of objects"),
    "external storage": (external_storage, "is virtual, external, chunked or of objects"),
    "chunked dataset": (chunked, "is virtual, external, chunked or of objects"),
    "compressed dataset": (compressed, "is virtual, external, chunked or of objects"),
    "objects": (objects, "is virtual, external, chunked or of objects"),
    "group": (lambda file, good: file.create_group(LAYER), "is no dataset"),
    "nothing": (lambda file, good: None, "is missing"),
    "another shape": (transposed, r"holds \[2, 3, 4\] <f4, expected \[3, 2, 4\] <f4"),
    "another byte order": (big_endian, r"holds \[3, 2, 4\] >f4, expected \[3, 2, 4\] <f4"),
}


@pytest.mark.parametrize(("put", "message"), LAYERS.values(), ids=LAYERS.keys())
def test_what_is_no_plain_layer_is_refused(plain, tmp_path, put, message) -> None:
    folder = plain
    good = tmp_path / "good.h5"  # whatever points there would read values that pass the crc32
    good.write_bytes((folder / SHARD).read_bytes())
    with h5py.File(folder / SHARD, "r+") as file:
        checksums = file[LAYER].attrs["crc32"]
        del file[LAYER]
        put(file, good)
        if isinstance(file.get(LAYER, getlink=True), h5py.HardLink):
            file[LAYER].attrs["crc32"] = checksums
    store = open_store(folder)
    with pytest.raises(StoreCorruptError, match=rf"{SHARD}:?/layers/00002 {message}"):
        store.features("train", [(2, 1)])


@pytest.mark.parametrize("name", ["layers", "examples", "examples/label", "skipped/reason/bytes"])
def test_a_soft_link_on_the_way_is_refused(plain, name) -> None:
    with h5py.File(plain / SHARD, "r+") as file:
        file.move(name, "elsewhere")
        file[name] = h5py.SoftLink("/elsewhere")
    store = open_store(plain)
    with pytest.raises(StoreCorruptError, match=f"{SHARD}:?/?/{name} is a SoftLink"):
        (store.features("train"), store.examples("train"), store.skipped("train"))
