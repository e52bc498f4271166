"""Writers that share a store: each shard is made once, whoever comes, goes or falls asleep."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claimants import elsewhere, ended, leave_claim, leave_unfinished, show_sign
from events import before_open

import savs.foundation.whole_files
import savs.stores.write.opening
from savs.stores import (
    FeatureWriter,
    StoreLockedError,
    StoreMismatchError,
    open_store,
    open_writer,
)
from savs.stores.format.plan import StorePlan, make_plan
from savs.stores.maintain.verify import verify
from savs.stores.write import open_shards as working
from savs.stores.write import signs

SHARDS = [f"train-0000{n}.h5" for n in range(3)] + ["test-00000.h5", "test-00001.h5"]


def start(folder: Path, toy, **rows: int):
    return open_writer(folder, toy.identity(), toy.rows(**rows), shard_rows=2)


def names(specs) -> list[str]:
    return [spec.name for spec in specs]


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


def test_shards_of_dead_writers_are_made_in_their_turn(tmp_path, toy) -> None:
    with start(tmp_path, toy):
        pass
    leave_claim(tmp_path, SHARDS[0], ended())
    leave_unfinished(tmp_path, SHARDS[0])
    with start(tmp_path, toy) as writer:
        shards = writer.open_shards(writer.missing())
        assert names(shards.claimed()) == SHARDS


@pytest.mark.parametrize("again", [False, True], ids=["new shards", "shards made again"])
def test_a_writer_that_was_taken_for_dead_changes_nothing(tmp_path, toy, again) -> None:
    toy.skip = {"train": {0: "no image"}} if again else {}
    if again:
        toy.write(tmp_path)
    toy.skip = {}
    with start(tmp_path, toy) as asleep:
        wanted = asleep.reopen_skipped() if again else asleep.missing()
        spec = next(asleep.open_shards(wanted).claimed())
        leave_claim(tmp_path, spec.name, ended(), generation=1)  # who took over has died since
        with start(tmp_path, toy) as other:
            if again:
                other.reopen_skipped()
            made = replace(toy.content(spec), run={"made": "by the other"})
            assert other.write(spec, made)
        before = (tmp_path / spec.name).read_bytes()
        assert not asleep.write(spec, toy.content(spec))
        assert (tmp_path / spec.name).read_bytes() == before
    assert verify(tmp_path, quick=True).problems[0].kind == "missing" if not again else True
    toy.write(tmp_path)
    assert verify(tmp_path).problems == ()


@pytest.mark.parametrize("again", [False, True], ids=["new shards", "shards made again"])
def test_a_writer_that_fell_asleep_before_it_published_changes_nothing(
    tmp_path, toy, monkeypatch, again
) -> None:
    toy.skip = {"train": {0: "no image"}} if again else {}
    if again:
        toy.write(tmp_path)
    toy.skip = {}
    publish_now = savs.foundation.whole_files.publish

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
        monkeypatch.setattr(savs.foundation.whole_files, "publish", fall_asleep)
        assert not asleep.write(spec, replace(toy.content(spec), run={"made": "asleep"}))
    toy.write(tmp_path)
    assert verify(tmp_path).problems == ()
    assert {"made": "asleep"} not in open_store(tmp_path).manifest.runs


def test_a_change_of_store_json_that_lost_its_claim_is_made_again(
    tmp_path, toy, monkeypatch
) -> None:
    publish_now, slept = savs.foundation.whole_files.publish, []

    def fall_asleep(partial: Path, path: Path, *, replace: bool) -> None:
        if not slept and path.name == "store.json":
            slept.append(path)
            with monkeypatch.context() as patch:
                patch.setattr(signs, "has_ended", lambda process: True)
                with start(tmp_path, toy, train=7):  # extends the plan meanwhile
                    pass
        publish_now(partial, path, replace=replace)

    with start(tmp_path, toy) as writer:
        monkeypatch.setattr(savs.foundation.whole_files, "publish", fall_asleep)
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


@pytest.fixture
def three_skips(tmp_path, toy) -> Callable[[FeatureWriter], list[str]]:
    """Make a store whose three train shards each skipped an example that still cannot be read.

    The function writes again all shards that a writer lists, and returns their names.
    """
    toy.skip = {"train": dict.fromkeys((0, 2, 4), "no image")}
    toy.write(tmp_path)

    def retry(writer: FeatureWriter) -> list[str]:
        shards = writer.open_shards(writer.reopen_skipped())
        done = []
        for spec in shards.claimed():
            run = {"writer": writer.claims.process.id}
            if writer.write(spec, replace(toy.content(spec), run=run)):
                done.append(spec.name)
        return done

    return retry


def test_what_one_has_tried_again_another_that_works_with_it_does_not(
    tmp_path, toy, three_skips
) -> None:
    with start(tmp_path, toy) as first:
        with start(tmp_path, toy) as second:
            shards = second.open_shards(second.reopen_skipped())
            assert three_skips(first) == SHARDS[:3]
            assert list(shards.claimed()) == []  # listed while they were old
            assert not shards.wait()
            assert shards.others_rows == 5
        with start(tmp_path, toy) as late:
            assert late.reopen_skipped() == []  # found as they are now
        assert first.seal()
    with start(tmp_path, toy) as later:  # another run may try once more
        assert three_skips(later) == SHARDS[:3]
        assert later.seal()
    assert verify(tmp_path).problems == ()


@pytest.mark.parametrize("lives", [True, False])
def test_of_a_writer_elsewhere_it_is_known_in_time_whether_it_still_works(
    tmp_path, toy, three_skips, monkeypatch, lives
) -> None:
    monkeypatch.setattr(signs, "STALE_S", 0.3)
    monkeypatch.setattr(signs, "BEAT_S", 0.02)
    monkeypatch.setattr(signs, "LOOK_EVERY_S", 0.01)
    far = elsewhere()
    monkeypatch.setattr(signs, "this_process", lambda: far)
    with start(tmp_path, toy) as writer:
        assert three_skips(writer) == SHARDS[:3]
    monkeypatch.undo()
    monkeypatch.setattr(signs, "STALE_S", 300.0 if lives else 0.3)
    monkeypatch.setattr(signs, "BEAT_S", 0.02)
    monkeypatch.setattr(signs, "LOOK_EVERY_S", 0.01)
    beats = threading.Event()

    def beat() -> None:
        count = 0
        while not beats.wait(0.01):
            show_sign(tmp_path, far, count := count + 1)

    show_sign(tmp_path, far)
    thread = threading.Thread(target=beat if lives else lambda: None)
    with start(tmp_path, toy) as writer:
        thread.start()
        found = names(writer.reopen_skipped())
        beats.set()
        thread.join()
    assert found == ([] if lives else SHARDS[:3])


@pytest.mark.parametrize("moment", range(9))
def test_writers_that_retry_at_once_keep_what_each_other_wrote(
    tmp_path, toy, three_skips, moment
) -> None:
    def retry() -> None:
        with start(tmp_path, toy) as writer:
            three_skips(writer)
            writer.seal()

    others: list[threading.Thread] = []

    def come() -> None:
        others.append(threading.Thread(target=retry))
        others[0].start()

    toy.skip = {}
    with before_open(tmp_path, "store.json.*.partial", moment, come):
        retry()
    # Three shards are unlisted, then all sealed; each change is opened to write, and to flush.
    assert len(others) == (moment < 8)
    for other in others:
        other.join()
    assert verify(tmp_path).problems == ()
    manifest = open_store(tmp_path).manifest
    assert manifest.sealed
    assert {shard.rows for shard in manifest.shards} == {1, 2}
    assert {path.suffix for path in tmp_path.iterdir()} == {".h5", ".json"}


def test_one_that_ends_after_it_wrote_again_leaves_no_false_digest(tmp_path, toy) -> None:
    toy.skip = {"train": {0: "no image"}}
    toy.write(tmp_path)
    toy.skip = {}
    with start(tmp_path, toy) as writer:
        (spec,) = writer.reopen_skipped()
        assert open_store(tmp_path).manifest.sealed  # nothing has changed yet
        with start(tmp_path, toy) as other:
            assert other.seal()
        writer.write(spec, toy.content(spec))
        assert not open_store(tmp_path).manifest.sealed
    assert verify(tmp_path).problems == ()
    assert toy.write(tmp_path)
    assert verify(tmp_path).problems == ()
