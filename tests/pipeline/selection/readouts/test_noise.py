"""On pure noise no readout may do better than chance, whatever it found on the training side."""

import numpy as np
import pytest

from savs.pipeline import evaluate, select
from savs.pipeline.selection.readouts import READOUTS
from stores import make_store

pytestmark = pytest.mark.thorough

HEADS, WIDTH, TRAIN, TEST = 196, 64, 40, 400


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(20)
    train = rng.normal(size=(HEADS, TRAIN, WIDTH)).astype(np.float32)
    test = rng.normal(size=(HEADS, TEST, WIDTH)).astype(np.float32)
    folder = tmp_path_factory.mktemp("noise") / "s"
    return make_store(
        folder, train, list("ab") * (TRAIN // 2), test, list("ab") * (TEST // 2), shard_rows=200
    )


@pytest.mark.parametrize("readout", READOUTS)
def test_accuracy_is_at_chance(store, readout):
    selection = select(store, heads=20, readout=readout)
    accuracy = evaluate(store, selection).metrics[0].value
    assert abs(accuracy - 0.5) <= 4 * np.sqrt(0.25 / TEST)
