"""The benchmark of stage 1 runs: its emulated accelerator keeps up with the engine."""

import os

import pytest
from extraction_bench.cases import Case, write_photos
from extraction_bench.emulated import STEADY, emulate

from savs.datasets import MediaFolder
from savs.pipeline.extraction import model_run

pytestmark = pytest.mark.thorough


@pytest.fixture
def put_back(monkeypatch):
    """Undo what the benchmark replaces in its own process."""
    monkeypatch.setattr(model_run, "load", model_run.load)
    monkeypatch.setattr(MediaFolder, "read", MediaFolder.read)
    monkeypatch.setattr(STEADY, "passes", [])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: ())  # no worker processes


@pytest.mark.usefixtures("put_back")
def test_the_emulated_accelerator_runs_in_the_engine(tmp_path):
    case = Case("small", ("224",), 100, cold_s=0.0001)
    write_photos(case, tmp_path)
    found = emulate(case, tmp_path)
    assert found["rows"] == 140
    assert sum(rows for *_, rows in STEADY.passes) == 140
    assert 140 * 0.010 - 1e-6 <= found["seconds"] <= found["whole"]
