"""A command looks a benchmark up, and compares a store with its plan, once."""

from collections import Counter

import numpy as np
import pytest

from savs.pipeline.inputs import plugins
from savs.stores import FeatureStore
from stores import make_store


@pytest.fixture
def calls(monkeypatch):
    """Count what is called."""
    found = Counter()

    def count(owner, name):
        before = getattr(owner, name)

        def counted(*given, **more):
            found[name] += 1
            return before(*given, **more)

        monkeypatch.setattr(owner, name, counted)

    for owner, name in (
        (FeatureStore, "require_complete"),
        (plugins, "find_benchmark"),
        (plugins, "adapt"),
    ):
        count(owner, name)
    return found


@pytest.mark.parametrize(
    ("more", "benchmarks"),
    [((), 1), (("--readout", "zero-shot"), 1), (("--cv",), 0)],
    ids=["vote", "zero-shot", "cross-validation"],
)
def test_evaluate(savs, tmp_path, calls, more, benchmarks):
    features = np.random.default_rng(0).normal(size=(21, 4, 3)).astype(np.float32)
    make_store(tmp_path / "s", features, list("abab"), features, list("abab"))
    done = savs("evaluate", tmp_path / "s", *more)
    assert "Traceback" not in done.stderr
    assert calls["require_complete"] == 1
    assert calls["find_benchmark"] == benchmarks


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["extract", "dry run"])
def test_extract(savs, inputs, tmp_path, calls, more):
    train, test = inputs.few_shots()
    files = ("--train", train, "--test", test, "--out", tmp_path / "s")
    done = savs("extract", "general", *files, "--model", "no/such", *more)
    assert "model 'no/such' cannot be loaded" in done.stderr
    assert (calls["find_benchmark"], calls["adapt"]) == (1, 1)
