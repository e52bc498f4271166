"""Features on the disk: each image is computed once, by whoever comes first."""

import errno
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import get_type_hints

import numpy as np
import pytest

from savs.pipeline.classifying.feature_cache import (
    FeatureCache,
    ImageHeads,
    MemoryCache,
    features_key,
    not_here,
    pinned,
)
from savs.pipeline.classifying.model_match import DECODING
from savs.pipeline.errors import OutputError
from savs.pipeline.extraction.effects import NOTHING, effects_of
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.sites import Site
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


def test_memory_keeps_what_was_used_last_and_of_each_key_its_own(monkeypatch) -> None:
    monkeypatch.setattr("savs.pipeline.classifying.feature_cache.MOST_IN_MEMORY", 3 * 7 * 4)
    memory, asked = MemoryCache(), list[str]()
    memory.get("a", NAMES[:3], noting(asked))  # as many as there is room for
    memory.get("a", NAMES[:1], noting(asked))
    memory.get("b", NAMES[:1], noting(asked))  # of another model or prompt; the second goes
    found = memory.get("a", [NAMES[2], NAMES[0]], noting(asked))
    assert asked == [*NAMES[:3], NAMES[0]]
    np.testing.assert_array_equal(found.values, heads([NAMES[2], NAMES[0]]).values)
    memory.get("a", NAMES[1:2], noting(asked))
    assert asked[4:] == [NAMES[1]]
    assert memory.bytes == 3 * 7 * 4


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


def key(
    folder,
    question: str = "Which?",
    decoding: dict[str, object] | None = None,
    sites: Sequence[str] = ("heads",),
    **options: object,
) -> str:
    named = {"model": folder / "model", "adapter": folder / "adapter", "dtype": "float32"}
    loading = ModelOptions(**named | options)
    return features_key(loading, question, decoding or {}, [Site(site) for site in sites])


@pytest.fixture
def checkpoint(tmp_path):
    """Return a folder with a model and an adapter of it, a file each."""
    for name in ("model", "adapter"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        {"question": "What?"},
        *({"decoding": {name: 1}} for name in DECODING),
        {"sites": ("residual",)},
        {"sites": ("heads", "residual")},
        {"model": "owner/name"},
        {"adapter": None},
    ],
    ids=str,
)
def test_features_of_other_inputs_have_another_key(checkpoint, change) -> None:
    assert key(checkpoint, **change) != key(checkpoint) == key(checkpoint, device="cpu")


OTHER = {
    "model": "owner/name",
    "dtype": "bfloat16",
    "prompt_template": "Q: {prompt}",
    "embedding": "gme",
    "placeholders": "keep",
    "engine": "vllm",
}
"""Option of the model -> a value that is not the default; any other takes one of its type."""


@pytest.mark.parametrize("field", fields(ModelOptions), ids=lambda field: field.name)
def test_every_option_of_the_model_that_changes_features_is_in_their_key(checkpoint, field) -> None:
    name, hint = field.name, str(get_type_hints(ModelOptions)[field.name])
    kinds = {"bool": True, "int": 9, "Mapping": {"a": 1}, "str": "x"}
    other = OTHER.get(name) or next(value for kind, value in kinds.items() if kind in hint)
    more = {"engine": "vllm"} if name in ("ranks", "compare_with") else {}
    changes = effects_of(ModelOptions)[name].features != NOTHING
    assert (key(checkpoint, **{name: other}, **more) != key(checkpoint)) == changes


@pytest.mark.parametrize("folder", ["model", "adapter", "model/extra_tokenizer"])
def test_features_of_a_changed_checkpoint_have_another_key(checkpoint, folder) -> None:
    (checkpoint / "model/extra_tokenizer").mkdir()
    before = key(checkpoint)
    (checkpoint / folder / "weights").write_text("changed")
    assert key(checkpoint) != before


@pytest.mark.parametrize("package", ["savs", "transformers", "torch"])
def test_features_of_another_version_have_another_key(checkpoint, monkeypatch, package) -> None:
    before = key(checkpoint)
    known = {package: "0.0.1"}
    monkeypatch.setattr(
        "savs.pipeline.classifying.feature_cache.version", lambda name: known.get(name, "1")
    )
    after = key(checkpoint)
    known.clear()
    assert len({before, after, key(checkpoint)}) == 3


def test_a_model_of_the_hub_is_pinned_to_the_commit_of_its_revision(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--owner--name"
    commits = {"main": "a" * 40, "v2": "b" * 40}
    (folder / "refs").mkdir(parents=True)
    for revision, commit in commits.items():
        (folder / "refs" / revision).write_text(commit)
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "snapshots" / commit / "config.json").write_text("{}")
    for revision, commit in [(None, commits["main"]), *commits.items()]:
        options = ModelOptions(model="owner/name", revision=revision)
        assert pinned(options) == replace(options, revision=commit)
        assert not_here("owner/name", revision) == ""
    absent = ModelOptions(model="owner/name", revision="v3")
    assert pinned(absent) == absent
    assert "the model owner/name at revision v3 is not on this machine" in not_here(
        "owner/name", "v3"
    )
    local = ModelOptions(model=tmp_path, revision=None)
    assert pinned(local) == local
    assert not_here(tmp_path, None) == not_here("demo", None) == ""
