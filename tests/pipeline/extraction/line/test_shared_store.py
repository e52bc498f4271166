"""Several processes with the same command write one store, and leave each other shards."""

import threading

import pytest
from rounding import check_same_features

from savs.pipeline.extraction.line.engine import AHEAD, Engine
from savs.pipeline.running.progress import Reporting
from savs.stores import open_store
from savs.stores.write.writer import OpenShards


@pytest.mark.thorough
def test_two_runs_of_one_command_share_one_store(run, monkeypatch):
    alone = run("alone", shard_rows=2).store
    claimed, came, found = OpenShards.claimed, threading.Event(), []
    other = threading.Thread(target=lambda: found.append(run("shared", shard_rows=2)))

    def claim_together(self):
        """Start another run once this one has claimed a shard, and go on once that has one too."""
        for spec in claimed(self):
            if other.ident is None:
                other.start()
                came.wait()
            came.set()
            yield spec

    monkeypatch.setattr(OpenShards, "claimed", claim_together)
    found.append(run("shared", shard_rows=2))
    other.join()
    assert sum(done.rows for done in found) == 6 + 5
    assert all(done.rows for done in found)
    for done in found:
        assert done.store.facts["sealed"]
        check_same_features(done.store, alone)
    assert len({run["writer"] for run in alone.manifest.runs}) == 1
    assert (
        len({run["writer"] for run in open_store(alone.path.parent / "shared").manifest.runs}) == 2
    )


@pytest.mark.thorough
def test_more_ranks_than_shards_are_told(run, monkeypatch):
    monkeypatch.setenv("RANK", "8")
    monkeypatch.setenv("WORLD_SIZE", "9")
    said = []
    done = run(shard_rows=4, reporting=Reporting(say=said.append))
    assert done.rows == 6 + 5
    assert "9 ranks share 4 shards: some will have nothing to do; start fewer" in "\n".join(said)
    assert {run["ranks"] for run in done.store.manifest.runs} == {9}


@pytest.fixture
def ahead(monkeypatch):
    """Return how many shards were claimed and not begun by the model, whenever it began a job."""
    claimed, begun, found = [], set(), []
    claim, run_job = OpenShards.claimed, Engine._run_job

    def claiming(self):
        for spec in claim(self):
            claimed.append(spec.name)
            yield spec

    def running(self, job, done):
        found.append(len(claimed) - len(begun))
        begun.update(
            owner.spec.name for r in job.requests for owner in self._owners.get(r.number, ())
        )
        run_job(self, job, done)

    monkeypatch.setattr(OpenShards, "claimed", claiming)
    monkeypatch.setattr(Engine, "_run_job", running)
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.thorough)])
def test_workers_do_not_claim_all_that_they_could_prepare(inputs, run, ahead, workers) -> None:
    train, test = inputs.few_shots(train=4, test=20)
    given = {"train": train, "test": test, "model": "demo", "shard_rows": 2, "batch_size": 2}
    done = run(**given, workers=workers)
    assert done.rows == 24
    assert done.store.missing() == []
    assert len(ahead) == 12
    assert max(ahead) <= AHEAD + 1
