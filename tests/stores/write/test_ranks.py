import fcntl
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from events import before_open

import savs.foundation.whole_files
from savs.foundation.whole_files import publish
from savs.stores import StoreMismatchError, open_store, open_writer
from savs.stores.maintain.verify import verify


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_ranks_share_the_shards_disjointly_and_completely(tmp_path, toy, ranks) -> None:
    shares = []
    for rank in range(ranks):
        with open_writer(
            tmp_path, toy.identity(), toy.rows(), shard_rows=2, rank=rank, ranks=ranks
        ) as writer:
            shares.append([spec.name for spec in writer.missing()])
            planned_names = [spec.name for spec in writer.manifest.plan.shards()]
    assert sorted(name for share in shares for name in share) == sorted(planned_names)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_ranks_that_write_at_once_make_one_store(tmp_path, toy) -> None:
    def start(rank: int):
        return open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2, rank=rank, ranks=2)

    with start(0) as first, start(1) as second:
        for spec in first.missing():
            first.write(spec, toy.content(spec))
        assert not first.seal()
        for spec in second.missing():
            second.write(spec, toy.content(spec))
        assert second.seal()
    store = open_store(tmp_path)
    np.testing.assert_array_equal(store.features("train")[:2], toy.values("train", 0)[:, :5])


@pytest.mark.parametrize("model", ["toy", "other"])
def test_where_locks_end_at_the_machine_the_second_takes_the_plan_of_the_first(
    tmp_path, toy, monkeypatch, model
) -> None:
    def meanwhile(partial, path, *, replace) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(os, "getpid", lambda: 1)  # the other rank is on another machine
        monkeypatch.setattr(fcntl, "flock", lambda *_: None)
        with open_writer(tmp_path, toy.identity(model), toy.rows(), shard_rows=2, rank=1, ranks=2):
            pass
        monkeypatch.undo()
        publish(partial, path, replace=replace)

    monkeypatch.setattr(savs.foundation.whole_files, "publish", meanwhile)
    if model == "toy":
        assert toy.write(tmp_path)
    else:
        with pytest.raises(
            StoreMismatchError, match=r"model.name: 'other' in the store, 'toy' now"
        ):
            toy.write(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".h5", ".json"}


def retry(folder: Path, toy, rank: int) -> None:
    """Write a rank's shards that skipped an example once more, as another run."""
    with open_writer(
        folder, toy.identity(), toy.rows(), shard_rows=2, rank=rank, ranks=2
    ) as writer:
        for spec in writer.reopen_skipped():
            writer.write(spec, replace(toy.content(spec), run={"rank": rank}))
        assert writer.seal()


@pytest.mark.parametrize("moment", range(5))
def test_ranks_that_retry_at_once_keep_what_each_other_wrote(
    tmp_path, toy, in_thread, moment
) -> None:
    toy.skip = {"train": {0: "no image", 2: "no image"}}  # one in a shard of each rank
    toy.write(tmp_path)
    toy.skip = {}
    others = []

    def come() -> None:
        others.append(in_thread(lambda: retry(tmp_path, toy, 1)))

    with before_open(tmp_path, "store.json.*.partial", moment, come):
        retry(tmp_path, toy, 0)
        for other in others:
            other.join()
    # A rank changes store.json twice, it unlists and it seals; each is opened to write, to flush.
    assert len(others) == (moment < 4)
    if not others:
        retry(tmp_path, toy, 1)
    assert verify(tmp_path).problems == ()
    manifest = open_store(tmp_path).manifest
    assert manifest.sealed
    assert sorted(run.get("rank", -1) for run in manifest.runs) == [-1, 0, 1]
    assert {shard.rows for shard in manifest.shards} == {1, 2}
    assert {path.suffix for path in tmp_path.iterdir()} == {".h5", ".json"}


def test_a_rank_that_ends_after_it_wrote_again_leaves_no_false_digest(tmp_path, toy) -> None:
    toy.skip = {"train": {0: "no image"}}
    toy.write(tmp_path)
    toy.skip = {}
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        (spec,) = writer.reopen_skipped()
        assert open_store(tmp_path).manifest.sealed  # nothing has changed yet
        with open_writer(
            tmp_path, toy.identity(), toy.rows(), shard_rows=2, rank=1, ranks=2
        ) as other:
            assert other.seal()
        writer.write(spec, toy.content(spec))
        assert not open_store(tmp_path).manifest.sealed
    assert verify(tmp_path).problems == ()
    assert toy.write(tmp_path)
    assert verify(tmp_path).problems == ()


@pytest.mark.parametrize(("rank", "ranks"), [(-1, 1), (1, 1), (0, 0)])
def test_a_rank_beyond_the_ranks_is_refused(tmp_path, toy, rank, ranks) -> None:
    with (
        pytest.raises(ValueError, match=f"rank is {rank} of {ranks}"),
        open_writer(tmp_path / "s", toy.identity(), toy.rows(), rank=rank, ranks=ranks),
    ):
        pass
    assert not (tmp_path / "s").exists()
