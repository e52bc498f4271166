"""A process claims few shards ahead of its model, so that those that start later find some."""

import pytest

from savs.pipeline.extraction.engine import AHEAD, Engine
from savs.stores.write.writer import OpenShards


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


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.thorough)])
def test_workers_do_not_claim_all_that_they_could_prepare(inputs, run, ahead, workers) -> None:
    train, test = inputs.few_shots(train=4, test=20)
    given = {"train": train, "test": test, "model": "demo", "shard_rows": 2, "batch_size": 2}
    done = run(**given, workers=workers)
    assert done.rows == 24
    assert done.store.missing() == []
    assert len(ahead) == 12
    assert max(ahead) <= AHEAD + 1
