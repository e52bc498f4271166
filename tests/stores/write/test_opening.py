"""Processes that open a new store at once: one makes it, none disturbs the others."""

from dataclasses import replace
from pathlib import Path

import pytest

import savs.foundation.files
import savs.stores.write.opening
from savs.foundation.files import publish
from savs.stores import StoreMismatchError, open_store, open_writer
from savs.stores.format.manifest import read_manifest
from savs.stores.write.opening import reserve, whole_store


def come_between(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Path]:
    """Let another process reserve the folder when store.json is written and has no name yet."""
    came: list[Path] = []

    def meanwhile(partial: Path, path: Path, *, replace: bool) -> None:
        monkeypatch.undo()
        came.append(partial)
        with reserve(folder):
            assert partial.exists()
        publish(partial, path, replace=replace)

    monkeypatch.setattr(savs.foundation.files, "publish", meanwhile)
    return came


def test_one_that_comes_leaves_the_unfinished_store_json_of_another_alone(
    tmp_path, toy, monkeypatch
) -> None:
    came = come_between(monkeypatch, tmp_path)
    assert toy.write(tmp_path)
    assert len(came) == 1
    assert {path.suffix for path in tmp_path.iterdir()} == {".h5", ".json"}


def test_an_extraction_does_not_join_a_store_that_is_copied(tmp_path, toy) -> None:
    toy.write(tmp_path / "a")
    manifest = replace(open_store(tmp_path / "a").manifest, runs=(), shards=())
    with whole_store(tmp_path / "b", manifest) as writer:
        first, *others = writer.missing()
        writer.write(first, toy.content(first))
        with pytest.raises(StoreMismatchError, match=r"holds .*h5 but no store\.json"):
            toy.write(tmp_path / "b")
        for spec in others:
            writer.write(spec, toy.content(spec))
    assert read_manifest(tmp_path / "b").sealed


def test_a_store_that_is_made_between_two_looks_is_found(tmp_path, toy, monkeypatch) -> None:
    reads: list[Path] = []

    def read(path: Path):
        reads.append(path)
        if len(reads) > 1:
            return read_manifest(path)
        try:
            return read_manifest(path)
        finally:
            toy.write(tmp_path / "s", only=1)  # another process

    monkeypatch.setattr(savs.stores.write.opening, "read_manifest", read)
    with open_writer(tmp_path / "s", toy.identity(), toy.rows(), shard_rows=2) as writer:
        assert len(writer.missing()) == 4
