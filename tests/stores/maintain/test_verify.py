import os
import re
import shutil
from pathlib import Path

import h5py
import pytest
from claimants import elsewhere, ended, leave_claim, leave_unfinished, show_sign
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from savs.stores import StoreCorruptError, StoreFormatError, StoreReadError, open_writer
from savs.stores.maintain.repair import repair
from savs.stores.maintain.verify import verify

SHARDS = [f"train-0000{n}.h5" for n in range(3)] + ["test-00000.h5", "test-00001.h5"]
SHARD = "train-00001.h5"


@pytest.fixture
def folder(tmp_path, toy) -> Path:
    toy.skip = {"test": {1: "no image"}}
    assert toy.write(tmp_path / "store")
    return tmp_path / "store"


def found(folder: Path, *, quick: bool = False) -> list[tuple[str, str]]:
    return [(problem.file, problem.kind) for problem in verify(folder, quick=quick).problems]


def flip_feature(path: Path) -> None:
    with h5py.File(path) as file:
        place = file["layers/00002"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[place + 17] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("check", [verify, repair])
def test_a_url_is_refused_by_its_name(check) -> None:
    with pytest.raises(StoreReadError, match=r"s3://bucket/store is a URL, .* copy the store here"):
        check("s3://bucket/store")


@pytest.mark.thorough
def test_a_whole_store_has_no_problems_whatever_its_results(folder) -> None:
    shutil.copytree(folder, folder / "results" / "vote")
    (folder / "results" / "vote" / "x.h5").write_text("no HDF5")
    (folder / "results" / "train-00000.h5.0.partial").write_text("")
    sizes = sum((folder / name).stat().st_size for name in SHARDS)
    report = verify(folder)
    assert (report.problems, report.shards, report.bytes, report.sealed) == ((), 5, sizes, True)
    quick = verify(folder, quick=True)
    assert (quick.problems, quick.bytes) == ((), 0)


def truncate(folder: Path) -> None:
    os.truncate(folder / SHARD, (folder / SHARD).stat().st_size - 1)


def lengthen(folder: Path) -> None:
    with (folder / SHARD).open("ab") as file:
        file.write(b"\0")


def swap(folder: Path) -> None:
    (folder / SHARD).rename(folder / "aside")
    (folder / "train-00000.h5").rename(folder / SHARD)
    (folder / "aside").rename(folder / "train-00000.h5")


def copy_of_another(folder: Path) -> None:
    shutil.copyfile(folder / "train-00000.h5", folder / SHARD)


def make_folder(folder: Path) -> None:
    (folder / SHARD).unlink()
    (folder / SHARD).mkdir()


def left_behind(folder: Path) -> None:
    leave_claim(folder, "train-00001.h5", ended())
    for name in ("train-00001.h5", "store.json"):
        leave_unfinished(folder, name)


DAMAGES = {
    "truncated": (truncate, [(SHARD, "damaged")], r"it has [\d,]+ bytes, expected"),
    "longer": (lengthen, [(SHARD, "damaged")], r"it has [\d,]+ bytes, expected"),
    "empty": (
        lambda folder: (folder / SHARD).write_bytes(b""),
        [(SHARD, "damaged")],
        "it has 0 bytes",
    ),
    "folder": (make_folder, [(SHARD, "damaged")], "bytes|HDF5"),
    "missing": (
        lambda folder: (folder / SHARD).unlink(),
        [(SHARD, "missing")],
        "it existed when the store was finished",
    ),
    "renamed": (
        lambda folder: (folder / SHARD).rename(folder / "mine.h5"),
        [(SHARD, "missing"), ("mine.h5", "foreign")],
        "it existed when the store was finished",
    ),
    "foreign": (
        lambda folder: (folder / "train-00003.h5").write_text("hello"),
        [("train-00003.h5", "foreign")],
        "it is not in the plan",
    ),
    "duplicate": (
        lambda folder: shutil.copyfile(folder / SHARD, folder / "copy.h5"),
        [("copy.h5", "foreign")],
        "it is not in the plan",
    ),
    "swapped": (
        swap,
        [("train-00000.h5", "damaged"), (SHARD, "damaged")],
        r"number is 1, expected 0|bytes, expected",
    ),
    "a copy": (copy_of_another, [(SHARD, "damaged")], "number is 0, expected 1"),
    "left over": (
        left_behind,
        [
            ("claims/train-00001.h5.0", "left-over"),
            ("store.json.host_1-7-0a1b2c3d.partial", "left-over"),
            ("train-00001.h5.host_1-7-0a1b2c3d.partial", "left-over"),
        ],
        "a process that no longer runs left it",
    ),
}


@pytest.mark.parametrize(("damage", "problems", "what"), DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.thorough
def test_what_is_wrong_is_named_even_by_a_quick_look(folder, damage, problems, what) -> None:
    damage(folder)
    for quick in (False, True):
        report = verify(folder, quick=quick)
        assert [(problem.file, problem.kind) for problem in report.problems] == problems
        assert re.search(what, report.problems[0].what)
        assert all(problem.remedy for problem in report.problems)


@pytest.mark.thorough
def test_a_header_of_another_store_is_found(tmp_path, folder, toy) -> None:
    toy.write(tmp_path / "other", model="other")
    shutil.copyfile(tmp_path / "other" / SHARD, folder / SHARD)
    for quick in (False, True):
        (problem,) = verify(folder, quick=quick).problems
        assert (problem.file, problem.kind) == (SHARD, "damaged")
        assert "identity is " in problem.what


@pytest.mark.thorough
def test_quick_reads_no_feature(folder) -> None:
    flip_feature(folder / SHARD)
    assert found(folder, quick=True) == []
    assert found(folder) == [(SHARD, "damaged")]


@pytest.mark.thorough
def test_a_changed_feature_of_an_unsealed_store_is_found(tmp_path, toy) -> None:
    assert not toy.write(tmp_path, only=2)
    unfinished = [(name, "missing") for name in SHARDS[2:]]
    assert found(tmp_path) == unfinished
    assert not verify(tmp_path).sealed
    flip_feature(tmp_path / SHARD)
    assert found(tmp_path) == [(SHARD, "damaged"), *unfinished]
    damaged, missing, *_ = verify(tmp_path).problems
    assert "/layers/00002 head 0 fails its crc32" in damaged.what
    assert (missing.what, missing.remedy) == (
        "it was not extracted yet",
        "run the same `savs extract` command again",
    )


@pytest.mark.thorough
def test_what_may_be_of_a_live_writer_is_no_problem(folder, toy) -> None:
    with open_writer(folder, toy.identity(), toy.rows(), shard_rows=2) as writer:
        writer.claims.require("train-00001.h5")
        leave_unfinished(folder, "train-00001.h5")
        left = leave_unfinished(folder, "train-00002.h5")
        show_sign(folder, far := elsewhere())
        leave_claim(folder, "train-00000.h5", far)
        leave_unfinished(folder, "train-00000.h5")
        assert found(folder) == [(left.name, "left-over")]


NAMES = st.sampled_from(["train-00000.h5", "test-00000.h5"])
PLACE = st.floats(0, 1, exclude_max=True)
"""Where in a file, as a share of its length."""
USED = st.booleans()
"""Whether zeros are passed over: most of a small HDF5 file is room that nothing uses."""
CHANGE = st.integers(1, 255)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def changed(before: bytes, place: float, used: bool, by: int) -> bytes:
    """Return a file's bytes with one of them changed to another value."""
    places = [at for at, byte in enumerate(before) if byte or not used]
    at, data = places[int(place * len(places))], bytearray(before)
    data[at] = (data[at] + by) % 256
    return bytes(data)


@pytest.mark.thorough
@pytest.mark.parametrize("times", [25, pytest.param(50, marks=pytest.mark.costly)])
def test_any_changed_byte_of_a_shard_is_found(folder, times) -> None:
    @settings(unhurried, max_examples=times)
    @given(NAMES, PLACE, USED, CHANGE)
    def check(name, place, used, by) -> None:
        path = folder / name
        before = path.read_bytes()
        try:
            path.write_bytes(changed(before, place, used, by))
            assert [(p.file, p.kind) for p in verify(folder).problems] == [(name, "damaged")]
        finally:
            path.write_bytes(before)

    check()


def store_json_is_named(folder: Path) -> bool:
    """Say whether a quick look reports store.json, or refuses the store by it."""
    try:
        first = verify(folder, quick=True).problems[0]
    except (StoreCorruptError, StoreFormatError) as error:
        return str(error).startswith(str(folder / "store.json"))
    return (first.file, first.kind) == ("store.json", "manifest")


@settings(unhurried, max_examples=100)
@given(PLACE, CHANGE)
def test_any_changed_byte_of_store_json_is_found(folder, place, by) -> None:
    path = folder / "store.json"
    before = path.read_bytes()
    after = changed(before, place, False, by)
    try:
        path.write_bytes(after)
        assert store_json_is_named(folder)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"toy"', '"toz"'), ('"rows": 2', '"rows": 3'), ("  ", " \t"), ('"check": "', '"chuck": "')],
)
def test_an_edit_that_still_reads_is_found(folder, old, new) -> None:
    path = folder / "store.json"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    assert store_json_is_named(folder)
