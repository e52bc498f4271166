"""Every readout on whole stores: saved, loaded, evaluated, at chance on noise."""

import numpy as np
import oracle as slowly
import pytest
from polars.testing import assert_frame_equal

from savs import evaluate, load_selection, save_selection, select
from savs.pipeline.errors import SelectionError
from savs.pipeline.readouts import READOUTS
from savs.stores import LayerGrid
from stores import identity, make_store, write_store

GRID = (LayerGrid(0, (0, 1), 4), LayerGrid(3, (0, 2), 7))
LABELS = {"train": list("cabbacabccab"), "test": list("abcab")}
NAMES = [
    pytest.param(name, marks=[pytest.mark.thorough] if name == "logistic" else [])  # scikit-learn
    for name in READOUTS
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng, features = np.random.default_rng(2), {}
    for split, labels in LABELS.items():
        pull = np.array(["abc".index(label) for label in labels])[None, :, None]
        shapes = {g.layer: (len(g.heads), len(labels), g.head_dim) for g in GRID}
        features[split] = {layer: rng.normal(size=size) + pull for layer, size in shapes.items()}
    rows = {split: [{"label": label} for label in labels] for split, labels in LABELS.items()}
    folder = tmp_path_factory.mktemp("two-widths") / "s"
    return write_store(folder, identity(grid=GRID), features, rows)


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


@pytest.mark.parametrize("scoring", ["resubstitution", "loo", "kfold", "pursuit"])
@pytest.mark.parametrize("readout", NAMES)
def test_every_readout_goes_with_every_scoring(store, readout, scoring):
    if (readout, scoring) == ("neurons", "pursuit"):
        with pytest.raises(SelectionError, match="pursuit scoring looks at whole heads, and"):
            select(store, heads=2, readout=readout, scoring=scoring)
        return
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


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Return a store of 196 heads of noise, with 40 training and 400 test examples."""
    rng = np.random.default_rng(20)
    train, test = (rng.normal(size=(196, n, 64)).astype(np.float32) for n in (40, 400))
    folder = tmp_path_factory.mktemp("noise") / "s"
    return make_store(folder, train, list("ab") * 20, test, list("ab") * 200, shard_rows=200)


@pytest.mark.thorough
@pytest.mark.parametrize("readout", READOUTS)
def test_on_noise_accuracy_is_at_chance_whatever_heads_are_found(noise, readout):
    accuracy = evaluate(noise, select(noise, heads=20, readout=readout)).metrics[0].value
    assert abs(accuracy - 0.5) <= 4 * np.sqrt(0.25 / 400)
