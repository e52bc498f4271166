"""Features on the disk: each image is computed once, by whoever comes first."""

import errno
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from savs.pipeline.classifying.feature_cache import FeatureCache, ImageHeads
from savs.pipeline.errors import OutputError
from savs.stores import LayerGrid
from savs.stores.format.manifest import FeatureSource

GRID = (LayerGrid(0, (0, 1), 2), LayerGrid(1, (0,), 3))
SOURCE = FeatureSource(model={"name": "m"}, processor={}, dtype="float32", prompt="p", grid=GRID)
NAMES = [f"{n:064x}" for n in range(6)]


def heads(digests: Sequence[str]) -> ImageHeads:
    """Return seven values an image, which tell the images apart."""
    rows = [np.arange(7, dtype=np.float32) + 10 * int(digest, 16) for digest in digests]
    return ImageHeads(SOURCE, GRID, np.stack(rows))


def noting(asked: list[str]) -> Callable[[Sequence[str]], ImageHeads]:
    def compute(digests: Sequence[str]) -> ImageHeads:
        asked.extend(digests)
        return heads(digests)

    return compute


def test_only_what_is_missing_is_computed(tmp_path) -> None:
    asked: list[str] = []
    first = FeatureCache(tmp_path / "cache").get(NAMES[:3], noting(asked))
    again = FeatureCache(tmp_path / "cache").get([NAMES[4], NAMES[1], NAMES[4]], noting(asked))
    assert asked == [*NAMES[:3], NAMES[4]]
    np.testing.assert_array_equal(first.values, heads(NAMES[:3]).values)
    expected = heads([NAMES[4], NAMES[1], NAMES[4]]).values
    np.testing.assert_array_equal(again.values, expected)
    assert again.source == SOURCE


def test_heads_of_different_widths_are_padded() -> None:
    names, features = heads(NAMES[:2]).features()
    assert names == [(0, 0), (0, 1), (1, 0)]
    np.testing.assert_array_equal(features[:, 0], [[0, 1, 0], [2, 3, 0], [4, 5, 6]])


@pytest.mark.parametrize("damage", [b"", b"\0" * 32, None], ids=["cut", "zeros", "flipped"])
def test_a_damaged_file_is_made_again(tmp_path, damage) -> None:
    asked: list[str] = []
    cache = FeatureCache(tmp_path)
    cache.get(NAMES[:1], noting(asked))
    (path,) = tmp_path.rglob("*.heads")
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(bytes(data) if damage is None else damage)
    found = cache.get(NAMES[:1], noting(asked))
    assert asked == [NAMES[0]] * 2
    np.testing.assert_array_equal(found.values, heads(NAMES[:1]).values)


def test_those_who_share_a_folder_take_turns(tmp_path) -> None:
    asked: list[str] = []
    inside, go = threading.Event(), threading.Event()

    def slow(digests: Sequence[str]) -> ImageHeads:
        inside.set()
        assert go.wait(600)
        return noting(asked)(digests)

    first = threading.Thread(target=lambda: FeatureCache(tmp_path).get(NAMES[:4], slow))
    second = threading.Thread(target=lambda: FeatureCache(tmp_path).get(NAMES[2:], noting(asked)))
    first.start()
    assert inside.wait(600)
    second.start()
    go.set()
    first.join()
    second.join()
    assert asked == NAMES  # the second computes what is left, after the first


def test_features_of_another_model_are_not_mixed(tmp_path) -> None:
    cache = FeatureCache(tmp_path)
    cache.get(NAMES[:1], heads)
    other = replace(SOURCE, model={"name": "other"})
    with pytest.raises(OutputError, match="holds features of another model"):
        cache.get(NAMES[:2], lambda digests: replace(heads(digests), source=other))


def test_a_folder_that_cannot_be_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="pass another cache"):
        FeatureCache(tmp_path / "file" / "cache").get(NAMES[:1], heads)
    cache = FeatureCache(tmp_path)
    cache.get(NAMES[:1], heads)
    for damaged in ("{}", "[" * 100_000):
        (tmp_path / "source.json").write_text(damaged)
        with pytest.raises(OutputError, match=r"source\.json cannot be read"):
            cache.get(NAMES[:1], heads)


def test_a_link_in_place_of_its_claims_is_named(tmp_path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "claims").symlink_to(tmp_path / "else")
    with pytest.raises(OutputError, match=r"cache .*claims is a link to .*; pass another cache"):
        FeatureCache(tmp_path / "cache").get(NAMES[:1], heads)


def test_a_file_system_without_locks_is_enough(tmp_path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))  # Lustre without -o flock

    monkeypatch.setattr("fcntl.flock", refuse)
    found = FeatureCache(tmp_path / "cache").get(NAMES[:1], heads)
    np.testing.assert_array_equal(found.values, heads(NAMES[:1]).values)
    assert not (tmp_path / "cache/claims").exists()
