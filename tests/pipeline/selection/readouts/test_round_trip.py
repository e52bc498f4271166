"""Every readout on a whole store of two widths: saved, loaded, evaluated."""

import numpy as np
import oracle as slowly
import pytest
from polars.testing import assert_frame_equal

from savs.pipeline import evaluate, load_selection, save_selection, select
from savs.pipeline.selection.readouts import READOUTS
from savs.stores import LayerGrid, ShardContent, open_store, open_writer
from stores import columns, identity, planned

GRID = (LayerGrid(0, (0, 1), 4), LayerGrid(3, (0, 2), 7))
LABELS = {"train": list("cabbacabccab"), "test": list("abcab")}
NAMES = [
    pytest.param(name, marks=[pytest.mark.thorough] if name == "logistic" else [])  # scikit-learn
    for name in READOUTS
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two-widths") / "s"
    rng = np.random.default_rng(2)
    plan = {split: planned(split, len(labels)) for split, labels in LABELS.items()}
    with open_writer(folder, identity(grid=GRID), plan, shard_rows=20) as writer:
        for spec in writer.missing():
            labels = LABELS[spec.split]
            pull = np.array(["abc".index(label) for label in labels])[None, :, None]
            layers = {
                grid.layer: (
                    rng.normal(size=(len(grid.heads), len(labels), grid.head_dim)) + pull
                ).astype(np.float32)
                for grid in GRID
            }
            writer.write(
                spec,
                ShardContent(
                    layers=layers,
                    examples=columns(spec.split, [{"label": label} for label in labels]),
                    skipped=columns(spec.split, []) | {"reason": []},
                    run={},
                ),
            )
        writer.seal()
    return open_store(folder)


@pytest.mark.parametrize("readout", NAMES)
def test_a_saved_fit_comes_back_bit_for_bit(store, tmp_path, readout):
    ours = select(store, heads=3, readout=readout)
    theirs = load_selection(save_selection(ours, tmp_path))
    assert (theirs.readout, theirs.only_task().heads) == (readout, ours.only_task().heads)
    saved, loaded = (s.only_task().fitted for s in (ours, theirs))
    for name in READOUTS[readout].arrays:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name), strict=True)
    predictions = evaluate(store, theirs).predictions
    assert_frame_equal(predictions, evaluate(store, ours).predictions, check_exact=True)
    assert predictions["correct"].any()


@pytest.mark.parametrize("scoring", ["resubstitution", "loo", "kfold"])
@pytest.mark.parametrize("readout", NAMES)
def test_every_readout_goes_with_every_scoring(store, readout, scoring):
    selection = select(store, heads=2, readout=readout, scoring=scoring)
    assert selection.scoring == scoring
    predicted = evaluate(store, selection).predictions["prediction"]
    assert predicted.is_in(["a", "b", "c"]).all()


def test_lda_on_a_store_takes_each_head_at_its_own_width(store):
    heads = {head: grid.head_dim for grid in GRID for head in [(grid.layer, h) for h in grid.heads]}
    order = list(dict.fromkeys(LABELS["train"]))
    labels = [order.index(label) for label in LABELS["train"]]
    selection = select(store, heads="all", readout="lda")
    task = selection.only_task()
    for head, score, margin in zip(task.heads, task.scores, task.margins, strict=True):
        (own,) = store.features("train", [head])
        assert own.shape[1] == heads[head]
        expected = slowly.lda_head_score(own, labels, 3, None)
        assert (score, margin) == pytest.approx(expected, abs=1e-4)
    assert list(task.scores) == sorted(task.scores, reverse=True)
    widths = [heads[head] for head in task.heads]
    train, test = (store.features(split, task.heads) for split in ("train", "test"))
    slow = slowly.lda(train, labels, 3, test, widths)
    found = evaluate(store, selection).predictions["votes"]
    for row, expected in zip(found, slow, strict=True):
        p = {v["class"]: v["score"] for v in row}
        assert [p[name] for name in order] == pytest.approx(expected, abs=1e-4)
