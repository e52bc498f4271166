"""Writers that share a store: each shard is made once, whoever comes, goes or falls asleep."""

import threading
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sharing_writers import SHARDS, names, start

import savs.foundation.files
import savs.stores.write.opening
from savs.stores import (
    ShardSpec,
    StoreLockedError,
    StoreMismatchError,
    open_store,
    open_writer,
)
from savs.stores.format.plan import StorePlan, make_plan
from savs.stores.maintain.verify import verify
from savs.stores.write import signs_of_life as signs
from savs.stores.write import writer as working
from savs.stores.write.writer import LONGEST, LOOK_EVERY_S, LOOKS, OpenShards


def test_writers_share_the_shards(tmp_path, toy) -> None:
    with start(tmp_path, toy) as first, start(tmp_path, toy) as second:
        ours, theirs = (w.open_shards(w.missing()) for w in (first, second))
        turns = [iter(ours.claimed()), iter(theirs.claimed())]
        made = [next(turns[number % 2]) for number in range(5)]
        assert names(made) == SHARDS
        assert [next(turn, None) for turn in turns] == [None, None]
        for number, spec in enumerate(made):
            assert (first, second)[number % 2].write(spec, toy.content(spec))
        assert not ours.wait()
        assert not theirs.wait()
        assert (ours.others_rows, theirs.others_rows) == (2 + 2, 2 + 1 + 1)
        assert first.seal()
    store = open_store(tmp_path)
    np.testing.assert_array_equal(store.features("train")[:2], toy.values("train", 0)[:, :5])
    assert {path.suffix for path in tmp_path.iterdir()} == {".h5", ".json"}


def test_writers_that_begin_at_different_places_meet_at_the_end(tmp_path, toy) -> None:
    with start(tmp_path, toy) as first, start(tmp_path, toy) as second:
        theirs = second.open_shards(second.missing(), start=0.5).claimed()
        assert next(theirs).name == SHARDS[2]
        assert names(first.open_shards(first.missing()).claimed()) == [*SHARDS[:2], *SHARDS[3:]]
        assert next(theirs, None) is None


def test_a_shard_that_another_writer_has_claimed_is_not_written(tmp_path, toy) -> None:
    with start(tmp_path, toy) as first, start(tmp_path, toy) as second:
        spec = next(first.open_shards(first.missing()).claimed())
        with pytest.raises(StoreLockedError, match=f"{spec.name} is being written by process"):
            second.write(spec, toy.content(spec))
    assert open_store(tmp_path).present() == []


def test_an_idle_writer_waits_for_shards_that_come_free(tmp_path, toy, monkeypatch) -> None:
    looks = threading.Event()
    monkeypatch.setattr(working, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(working, "FEW", 0)  # of more shards than so many it looks at all at once
    with start(tmp_path, toy) as first, start(tmp_path, toy) as second:
        taken = list(first.open_shards(first.missing()).claimed())
        found: list[Any] = []

        def idle() -> None:
            shards = second.open_shards(second.missing())
            assert not list(shards.claimed())
            while shards.wait(looks.set):
                for spec in shards.claimed():
                    found.append(spec.name)
                    second.write(spec, toy.content(spec))
            found.append("end")

        thread = threading.Thread(target=idle)
        thread.start()
        looks.wait()
        for spec in taken[:3]:
            first.write(spec, toy.content(spec))
        assert found == []
        for spec in taken[3:]:
            first.claims.release(spec.name)
        thread.join()
    assert sorted(found) == ["end", *SHARDS[3:]]


@pytest.mark.thorough
@pytest.mark.parametrize("again", [False, True], ids=["new shards", "shards made again"])
def test_a_writer_that_fell_asleep_before_it_published_changes_nothing(
    tmp_path, toy, monkeypatch, again
) -> None:
    toy.skip = {"train": {0: "no image"}} if again else {}
    if again:
        toy.write(tmp_path)
    toy.skip = {}
    publish_now = savs.foundation.files.publish

    def fall_asleep(partial: Path, path: Path, *, replace: bool) -> None:
        """Let another writer take over when the claim was looked at and the file has no name."""
        if path.suffix != ".h5":
            publish_now(partial, path, replace=replace)
            return
        monkeypatch.undo()
        monkeypatch.setattr(signs, "has_ended", lambda process: True)
        with start(tmp_path, toy) as other:
            other.reopen_skipped()
            assert other.write(spec, toy.content(spec))
        monkeypatch.undo()
        assert not partial.exists()
        publish_now(partial, path, replace=replace)

    with start(tmp_path, toy) as asleep:
        wanted = asleep.reopen_skipped() if again else asleep.missing()
        spec = next(asleep.open_shards(wanted).claimed())
        monkeypatch.setattr(savs.foundation.files, "publish", fall_asleep)
        assert not asleep.write(spec, replace(toy.content(spec), run={"made": "asleep"}))
    toy.write(tmp_path)
    assert verify(tmp_path).problems == ()
    assert {"made": "asleep"} not in open_store(tmp_path).manifest.runs


def test_a_change_of_store_json_that_lost_its_claim_is_made_again(
    tmp_path, toy, monkeypatch
) -> None:
    publish_now, slept = savs.foundation.files.publish, []

    def fall_asleep(partial: Path, path: Path, *, replace: bool) -> None:
        if not slept and path.name == "store.json":
            slept.append(path)
            with monkeypatch.context() as patch:
                patch.setattr(signs, "has_ended", lambda process: True)
                with start(tmp_path, toy, train=7):  # extends the plan meanwhile
                    pass
        publish_now(partial, path, replace=replace)

    with start(tmp_path, toy) as writer:
        monkeypatch.setattr(savs.foundation.files, "publish", fall_asleep)
        assert writer.settle_batching({"batch_size": 3}) == {"batch_size": 3}
    assert slept
    manifest = open_store(tmp_path).manifest
    assert manifest.batching == {"batch_size": 3}
    assert len(manifest.plan.splits["train"].ids) == 7


@pytest.mark.parametrize("model", ["toy", "other"])
def test_where_two_begin_a_store_at_once_the_second_takes_the_plan_of_the_first(
    tmp_path, toy, monkeypatch, model
) -> None:
    def meanwhile(*arguments) -> StorePlan:
        monkeypatch.undo()
        with open_writer(tmp_path, toy.identity(model), toy.rows(), shard_rows=2):
            pass
        return make_plan(*arguments)

    monkeypatch.setattr(savs.stores.write.opening, "make_plan", meanwhile)
    if model == "toy":
        assert toy.write(tmp_path)
    else:
        with pytest.raises(
            StoreMismatchError, match=r"model.name: 'other' in the store, 'toy' now"
        ):
            toy.write(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".h5", ".json"}


@pytest.mark.parametrize(
    ("took_s", "wait_s"),
    [(0.0, LOOK_EVERY_S), (0.5, LOOKS * 0.5), (600.0, LONGEST * LOOK_EVERY_S)],
)
def test_the_longer_a_look_takes_the_longer_is_the_wait(monkeypatch, took_s, wait_s):
    slept: list[float] = []
    times = count(0.0, took_s)
    clock = SimpleNamespace(monotonic=lambda: next(times), sleep=slept.append)
    monkeypatch.setattr(working, "time", clock)
    shards = OpenShards([ShardSpec("train", 0, 0, 1, "")], [SimpleNamespace(claims=None)])
    looks = iter([None, ShardSpec("train", 0, 0, 1, "")])
    monkeypatch.setattr(shards, "_next", lambda: next(looks))
    assert shards.wait()
    assert 0.8 * wait_s <= slept[0] <= 1.2 * wait_s
