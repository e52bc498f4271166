import os

import numpy as np
import pytest

import savs.foundation.whole_files
from savs.foundation.whole_files import publish
from savs.stores import StoreMismatchError, open_store, open_writer


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
def test_the_rank_that_comes_second_takes_the_plan_of_the_first(
    tmp_path, toy, monkeypatch, model
) -> None:
    def meanwhile(partial, path, *, replace) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(os, "getpid", lambda: 1)  # the other rank is another process
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


@pytest.mark.parametrize(("rank", "ranks"), [(-1, 1), (1, 1), (0, 0)])
def test_a_rank_beyond_the_ranks_is_refused(tmp_path, toy, rank, ranks) -> None:
    with (
        pytest.raises(ValueError, match=f"rank is {rank} of {ranks}"),
        open_writer(tmp_path / "s", toy.identity(), toy.rows(), rank=rank, ranks=ranks),
    ):
        pass
    assert not (tmp_path / "s").exists()
