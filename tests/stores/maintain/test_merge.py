"""`merge`: the halves of one plan put together, or parts of a test file in a row."""

import shutil
from contextvars import Context
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from text_stores import make_text_store

from savs.foundation.errors import ParameterError
from savs.stores import (
    FeatureStore,
    PlannedRow,
    StoreCorruptError,
    StoreIncompleteError,
    StoreMismatchError,
    StoreWriteError,
    open_store,
    open_writer,
)
from savs.stores.format.layout import CLASSES, digest
from savs.stores.format.revision import Revision
from savs.stores.maintain.copy import merge
from savs.stores.maintain.verify import verify
from savs.stores.write import opening
from savs.stores.write.opening import reserve
from stores import planned


@pytest.fixture
def halves(tmp_path, toy) -> list[FeatureStore]:
    """Return what two ranks have written of the store in `tmp_path / "whole"`."""
    toy.write(tmp_path / "whole")
    for rank in (0, 1):
        shutil.copytree(tmp_path / "whole", tmp_path / f"rank{rank}")
        for path in sorted((tmp_path / f"rank{rank}").glob("*.h5"))[1 - rank :: 2]:
            path.unlink()
    return [open_store(tmp_path / f"rank{rank}", partial=True) for rank in (0, 1)]


@pytest.fixture
def part(tmp_path, toy):
    """Return a function that writes a store of test examples of its own, `name:0` and so on."""

    def write(
        name: str,
        rows: int = 3,
        shift: float = 0,
        train: int = 5,
        model: str = "toy",
        texts: int = 0,
    ):
        names = {f"test:{i}": f"{name}:{i}" for i in range(rows)}
        plan = {
            "train": planned("train", train),
            "test": [PlannedRow(new, digest([name, i])) for i, new in enumerate(names.values())],
        } | ({CLASSES: planned(CLASSES, texts)} if texts else {})
        folder = tmp_path / f"{name}-{model}-{train}"
        identity = toy.identity(model)
        with open_writer(folder, identity, plan, shard_rows=toy.shard_rows) as writer:
            for spec in writer.missing():
                made = toy.content(spec)
                if spec.split == "test":
                    layers = {layer: values + shift for layer, values in made.layers.items()}
                    columns = [
                        dict(c) | {"id": [names[i] for i in c["id"]]}
                        for c in (made.examples, made.skipped)
                    ]
                    made = replace(made, layers=layers, examples=columns[0], skipped=columns[1])
                writer.write(spec, made)
            assert writer.seal()
        return open_store(folder)

    return write


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.h5")}


def test_two_halves_of_one_plan_are_the_whole_store_again(tmp_path, halves) -> None:
    before = [shards(half.path) for half in halves]
    assert before[0].keys().isdisjoint(before[1])
    merged = merge(halves, tmp_path / "merged")
    assert shards(merged.path) == shards(tmp_path / "whole")
    report = verify(merged.path)
    assert (report.problems, report.sealed) == ((), True)
    assert merged.manifest == open_store(tmp_path / "whole").manifest
    assert [shards(half.path) for half in halves] == before


def test_a_shard_that_both_have_is_taken_from_the_one_that_has_it_whole(tmp_path, halves) -> None:
    name = "test-00001.h5"
    even = (tmp_path / "whole" / name).read_bytes()
    odd = even.replace(b"TREE", b"TREf", 1)  # HDF5's structure, which a seal's SHA-256 covers
    for place, order in enumerate([(even, odd), (odd, even)]):
        for half, data in zip(halves, order, strict=True):
            (half.path / name).write_bytes(data)
        assert shards(merge(halves, tmp_path / str(place)).path)[name] == even


def test_a_shard_that_is_damaged_everywhere_is_named_and_nothing_is_left(tmp_path, halves) -> None:
    name = "test-00001.h5"
    (halves[0].path / name).write_text("no HDF5")
    (halves[1].path / name).unlink(missing_ok=True)
    (halves[1].path / name).mkdir()
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "merged", tmp_path / "empty"):
        with pytest.raises(StoreCorruptError) as caught:
            merge(halves, out)
        first, second = str(caught.value).splitlines()
        assert first.startswith(f"{halves[0].path / name}: it has 7 bytes, expected")
        assert second.startswith(f"{halves[1].path / name}: ")
    assert not (tmp_path / "merged").exists()
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_merge_that_ends_early_leaves_nothing(tmp_path, halves, monkeypatch, error) -> None:
    copies = []

    def copy(source: Path, target: Path) -> None:
        if len(copies) == 2:
            raise error
        copies.append(target.write_bytes(source.read_bytes()))

    monkeypatch.setattr("savs.stores.maintain.copy.shutil.copyfile", copy)
    with pytest.raises((KeyboardInterrupt, StoreWriteError)):
        merge(halves, tmp_path / "merged")
    assert len(copies) == 2
    assert not (tmp_path / "merged").exists()


def test_a_shard_that_none_has_is_named(tmp_path, halves) -> None:
    with pytest.raises(
        StoreIncompleteError,
        match=r"^2 planned shards are in none of the stores \(train-00001\.h5 first\); extract",
    ):
        merge([halves[0], halves[0]], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.thorough
def test_parts_of_a_test_file_come_one_after_the_other(tmp_path, toy, part) -> None:
    toy.skip = {"test": {1: "gone"}, "train": {3: "gone"}}
    parts = [part("x", rows=3, shift=1), part("y", rows=4, shift=2), part("z", rows=1, shift=3)]
    merged = merge(parts, tmp_path / "merged")
    assert verify(merged.path).problems == ()
    assert merged.manifest.plan.splits["test"].ids == (
        *(f"x:{i}" for i in range(3)),
        *(f"y:{i}" for i in range(4)),
        "z:0",
    )
    assert merged.manifest.plan.splits["train"].ids == tuple(f"train:{i}" for i in range(5))
    for raw in (False, True):
        tests = np.concatenate([p.features("test", raw=raw) for p in parts], axis=1)
        np.testing.assert_array_equal(merged.features("test", raw=raw), tests, strict=True)
        train = parts[0].features("train", raw=raw)
        np.testing.assert_array_equal(merged.features("train", raw=raw), train, strict=True)
    assert_frame_equal(merged.examples("test"), pl.concat(p.examples("test") for p in parts))
    assert_frame_equal(merged.examples("train"), parts[0].examples("train"))
    assert merged.skipped("test")["id"].to_list() == ["x:1", "y:1"]
    assert merged.skipped("train")["id"].to_list() == ["train:3"]
    assert merged.scan().collect()["id"].to_list() == merged.examples()["id"].to_list()


@pytest.mark.thorough
def test_texts_of_classes_that_several_parts_have_are_taken_once(tmp_path, toy, part) -> None:
    toy.skip = {CLASSES: {2: "gone", 4: "gone"}}  # the second part knows 2, skipped, next to 3
    merged = merge([part("x", texts=3), part("y", shift=1, texts=5)], tmp_path / "merged")
    assert verify(merged.path).problems == ()
    assert merged.examples(CLASSES)["id"].to_list() == [f"{CLASSES}:{i}" for i in (0, 1, 3)]
    assert merged.skipped(CLASSES)["id"].to_list() == [f"{CLASSES}:{i}" for i in (2, 4)]


def test_of_a_shard_of_texts_the_new_ones_alone_come_with_their_features(tmp_path) -> None:
    values = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)

    def store(name: str, texts: int, kind: str = "file") -> FeatureStore:
        features = {"train": values, "test": values, CLASSES: values[:, :texts]}
        labels = {split: list("abc")[: part.shape[1]] for split, part in features.items()}
        return make_text_store(tmp_path / name, features, labels, [kind] * texts)

    merged = merge([store("two", 2), store("three", 3)], tmp_path / "merged")
    assert merged.examples(CLASSES)["label"].to_list() == list("abc")
    np.testing.assert_array_equal(merged.features(CLASSES), values)
    assert merged.ids("train") == store("same", 2).ids("train")
    with pytest.raises(StoreMismatchError, match="'classes:0' is another text, or of another"):
        merge([store("one", 1), store("names", 3, "names")], tmp_path / "refused")


def test_shards_that_a_store_has_dropped_are_dropped_of_the_whole(tmp_path, toy, part) -> None:
    toy.write(tmp_path / "cut", only=4)  # all but the second shard for testing, with test:2
    with reserve(tmp_path / "cut") as place:
        splits = place.manifest.plan.splits
        splits = splits | {"test": replace(splits["test"], dropped=(1,))}
        revision = Revision(place.manifest, replace(place.manifest.plan, splits=splits))
        assert place.begin(toy.identity(), toy.rows(test=2), None, revision).seal()
    merged = merge([part("x"), tmp_path / "cut"], tmp_path / "merged")
    assert verify(merged.path).problems == ()
    ids = ["x:0", "x:1", "x:2", "test:0", "test:1"]
    assert merged.ids("test") == tuple(ids)
    assert merged.examples("test")["id"].to_list() == ids


@pytest.mark.thorough
def test_parts_with_other_shard_sizes_are_refused(tmp_path, toy, part) -> None:
    toy.shard_rows = 3
    first = part("x", rows=5)
    toy.shard_rows = 1
    with pytest.raises(StoreMismatchError, match=r"of 1 and 3 rows; .* same number .`shard_rows`."):
        merge([first, part("y", rows=2, shift=1)], tmp_path / "merged")


@pytest.mark.thorough
def test_an_example_in_two_stores_is_named_with_both(tmp_path, toy, part) -> None:
    first, second = part("x"), part("y", shift=1)
    message = (
        r"test example 'x:0' is in .*x-toy-5 and in .*x-toy-5; an example may be in one store only"
    )
    with pytest.raises(StoreMismatchError, match=message):
        merge([first, second, first], tmp_path / "merged")
    other = part("z", train=7)  # then train is not the same, and shares five examples
    message = r"train example 'train:0' is in .*x-toy-5 and in .*z-toy-7; an example may be in one"
    with pytest.raises(StoreMismatchError, match=message):
        merge([first, other], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_stores_of_another_kind_are_refused_line_by_line(tmp_path, toy, part) -> None:
    first = part("x")
    toy.dtype, toy.grid = "float16", toy.grid[:1]
    with pytest.raises(StoreMismatchError, match="cannot be merged, they differ in:") as refused:
        merge([first, part("y", model="other")], tmp_path / "merged")
    where, *lines = str(refused.value).splitlines()
    assert str(first.path) in where
    assert "y-other-5" in where
    assert "  model.name: 'toy' in the store, 'other' in the other" in lines
    assert "  dtype: 'float32' in the store, 'float16' in the other" in lines
    assert any(line.startswith("  head grid: '2 layers, 5 heads' in the store") for line in lines)
    assert not (tmp_path / "merged").exists()


@pytest.mark.thorough
def test_a_folder_with_something_in_it_is_refused(halves, part) -> None:
    for stores in (halves, [part("x"), part("y", shift=1)]):
        before = shards(stores[0].path)
        with pytest.raises(
            StoreMismatchError, match="exists and is not empty; pass a new or empty"
        ):
            merge(stores, stores[0].path)
        assert shards(stores[0].path) == before


def test_an_incomplete_part_is_refused(tmp_path, part) -> None:
    first, second = part("x"), part("y", shift=1)
    (second.path / "test-00001.h5").unlink()
    with pytest.raises(StoreIncompleteError, match=r"y-toy-5 is incomplete: 1 of 5 shards"):
        merge([first, open_store(second.path)], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_no_store_is_refused(tmp_path) -> None:
    with pytest.raises(ParameterError, match="no store was given"):
        merge([], tmp_path / "merged")


def test_of_two_stores_that_are_made_in_one_folder_at_once_the_first_stays(
    tmp_path, halves, monkeypatch
) -> None:
    """Both have found the folder empty."""
    make_folder = opening.make_folder

    def meet(path: Path) -> None:
        make_folder(path)
        monkeypatch.undo()
        Context().run(merge, halves, path)  # another process knows nothing of this one's files

    monkeypatch.setattr(opening, "make_folder", meet)
    with pytest.raises(StoreMismatchError, match=r"another process has just made a store in .*m;"):
        merge(halves, tmp_path / "m")
    assert verify(tmp_path / "m").problems == ()
    assert open_store(tmp_path / "m").manifest.sealed
