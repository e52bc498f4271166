"""Writers that try skipped examples again at the same time: none loses what another wrote."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from claimants import elsewhere, show_sign
from events import before_open
from sharing_writers import SHARDS, names, start

from savs.stores import (
    FeatureWriter,
    open_store,
)
from savs.stores.maintain.verify import verify
from savs.stores.write import signs_of_life as signs

pytestmark = pytest.mark.thorough


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
