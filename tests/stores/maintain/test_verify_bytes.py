"""Whatever byte of a finished store changes, `verify` says in which file."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from savs.stores import StoreCorruptError, StoreFormatError
from savs.stores.maintain.verify import verify

SHARDS = st.sampled_from(["train-00000.h5", "test-00000.h5"])
PLACE = st.floats(0, 1, exclude_max=True)
"""Where in a file, as a share of its length."""
USED = st.booleans()
"""Whether zeros are passed over: most of a small HDF5 file is room that nothing uses."""
CHANGE = st.integers(1, 255)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def folder(tmp_path, toy) -> Path:
    """Return a sealed store of two shards, one with a skipped example."""
    toy.skip = {"test": {1: "no image"}}
    assert toy.write(tmp_path / "store", train=2, test=2)
    return tmp_path / "store"


def changed(before: bytes, place: float, used: bool, by: int) -> bytes:
    """Return a file's bytes with one of them changed to another value."""
    places = [at for at, byte in enumerate(before) if byte or not used]
    at, data = places[int(place * len(places))], bytearray(before)
    data[at] = (data[at] + by) % 256
    return bytes(data)


@pytest.mark.parametrize("times", [25, pytest.param(100, marks=pytest.mark.thorough)])
def test_any_changed_byte_of_a_shard_is_found(folder, times) -> None:
    @settings(unhurried, max_examples=times)
    @given(SHARDS, PLACE, USED, CHANGE)
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
