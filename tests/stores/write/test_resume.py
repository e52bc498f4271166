import hashlib
from dataclasses import replace

import h5py
import numpy as np
import pytest

from savs.stores import LayerGrid, StoreMismatchError, open_store, open_writer


def test_resuming_writes_only_the_missing_shards(tmp_path, toy, listing) -> None:
    assert not toy.write(tmp_path, only=2)
    before = listing(tmp_path)
    assert set(before) == {"store.json", "train-00000.h5", "train-00001.h5"}
    (tmp_path / "train-00002.h5.0.partial").write_text("what a killed run left")
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        missing = writer.missing()
        assert [s.name for s in missing] == ["train-00002.h5", "test-00000.h5", "test-00001.h5"]
        for spec in missing:
            writer.write(spec, toy.content(spec))
        assert writer.missing() == []
    after = listing(tmp_path)
    assert set(after) - set(before) == {spec.name for spec in missing}
    assert {name: after[name] for name in before} == before
    facts = open_store(tmp_path).facts
    assert (facts["missing_shards"], facts["sealed"]) == ([], False)  # nobody has sealed it yet


def test_raising_the_limit_adds_shards_and_unseals(tmp_path, toy, listing) -> None:
    toy.write(tmp_path, train=3)
    before = listing(tmp_path)
    assert not toy.write(tmp_path, train=6, only=1)
    facts, after = open_store(tmp_path).facts, listing(tmp_path)
    assert (facts["sealed"], facts["missing_shards"]) == (False, ["train-00003.h5"])
    assert facts["planned"] == {"train": 6, "test": 3}
    assert {n: after[n] for n in before if n != "store.json"} == {
        n: before[n] for n in before if n != "store.json"
    }
    assert toy.write(tmp_path, train=6)
    expected = toy.values("train", 0)[:, :6]
    np.testing.assert_array_equal(open_store(tmp_path).features("train")[:2], expected)


DIFFERENCES = {
    "model": (
        lambda w: replace(w, model=w.model | {"name": "x"}),
        "model.name: 'toy' in .*'x' now",
    ),
    "gone": (
        lambda w: replace(w, model={"name": "toy", "class": "Toy"}),
        "model.weights: 'w' in the store, None now",
    ),
    "revision": (
        lambda w: replace(w, model=w.model | {"revision": "r"}),
        "model.revision: None in the store, 'r' now",
    ),
    "processor": (
        lambda w: replace(w, processor=w.processor | {"max_pixels": 9}),
        "processor.max_pixels: None in the store, 9 now",
    ),
    "dtype": (
        lambda w: replace(w, dtype="float16"),
        "dtype: 'float32' in the store, 'float16' now",
    ),
    "options": (
        lambda w: replace(w, benchmark=w.benchmark | {"options": {"k": [1]}}),
        r"benchmark.options.k: None in the store, \[1\] now",
    ),
    "prompt": (lambda w: replace(w, prompt="q"), "prompt: 'p' in the store, 'q' now"),
    "fewer heads": (
        lambda w: replace(w, grid=w.grid[:1]),
        "head grid: '2 layers, 5 heads' in the store, '1 layers, 2 heads' now",
    ),
    "width": (lambda w: replace(w, grid=(LayerGrid(0, (0, 1), 8), w.grid[1])), "grid digest: "),
    "other heads": (
        lambda w: replace(w, grid=(LayerGrid(0, (0, 2), 4), w.grid[1])),
        "head grid digest: ",
    ),
}


@pytest.mark.parametrize(("change", "message"), DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_another_identity_is_refused_and_nothing_changes(
    tmp_path, toy, listing, change, message
) -> None:
    toy.write(tmp_path, only=1)
    before, what = listing(tmp_path), change(toy.identity())
    assert what.digest != toy.identity().digest
    with (
        pytest.raises(StoreMismatchError, match=message) as refusal,
        open_writer(tmp_path, what, toy.rows(train=9), shard_rows=2),
    ):
        pass
    assert str(tmp_path) in str(refusal.value)
    assert listing(tmp_path) == before


def test_other_examples_are_refused_and_nothing_changes(tmp_path, toy, listing) -> None:
    toy.write(tmp_path, only=1)
    before = listing(tmp_path)
    with pytest.raises(
        StoreMismatchError, match="5 train examples are not the first of the 4 given now"
    ):
        toy.write(tmp_path, train=4)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("name", ["old.h5", "holiday.jpg"])
def test_a_folder_with_files_of_nobody_is_refused(tmp_path, toy, name) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(StoreMismatchError, match=rf"holds {name} but no store\.json"):
        toy.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_shard_made_again_over_two_runs_gets_its_new_digest(tmp_path, toy) -> None:
    toy.write(tmp_path)
    for name in ("train-00000.h5", "train-00001.h5"):
        (tmp_path / name).unlink()
    assert not toy.write(tmp_path, only=1)  # stopped after the first
    assert toy.write(tmp_path)
    for shard in open_store(tmp_path).manifest.shards:
        data = (tmp_path / shard.name).read_bytes()
        assert (shard.bytes, shard.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_extending_a_store_keeps_what_was_said_of_a_changed_shard(tmp_path, toy) -> None:
    toy.write(tmp_path)
    before = {s.name: s for s in open_store(tmp_path).manifest.shards}
    with h5py.File(tmp_path / "train-00000.h5", "r+") as file:
        file["layers/00000"][0, 0, 0] += 1
    assert toy.write(tmp_path, train=7)
    after = {s.name: s for s in open_store(tmp_path).manifest.shards}
    assert len(after) == len(before) + 1
    assert {name: after[name] for name in before} == before


def test_a_resealed_store_keeps_what_it_said_of_a_changed_shard(tmp_path, toy) -> None:
    toy.write(tmp_path)
    with h5py.File(tmp_path / "train-00000.h5", "r+") as file:
        file["layers/00000"][0, 0, 0] += 1
    before = open_store(tmp_path).manifest.shards
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        assert writer.seal()
    assert open_store(tmp_path).manifest.shards == before
