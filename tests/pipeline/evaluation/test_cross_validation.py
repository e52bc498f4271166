"""Cross-validation selects anew without what it scores."""

from functools import partial

import numpy as np
import polars as pl
import pytest

from savs.pipeline import calibrate, evaluate, select
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.heads.folds import stratified_folds
from savs.pipeline.selection.readouts import READOUTS
from savs.pipeline.selection.selection import chosen_features, only_subtask
from stores import make_store

pytestmark = pytest.mark.thorough


def noise(heads, rows, width, seed):
    return np.random.default_rng(seed).normal(size=(heads, rows, width)).astype(np.float32)


def separable(labels, heads=5, width=6, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(heads, 2, width)) * 0.8
    places = ["ab".index(label) for label in labels]
    return (centres[:, places] + rng.normal(size=(heads, len(labels), width))).astype(np.float32)


@pytest.mark.parametrize(("readout", "scoring"), [("vote", "kfold"), ("lda", "resubstitution")])
def test_each_part_is_classified_by_a_selection_of_the_others(tmp_path, readout, scoring):
    labels = list("abbabaabbaab")
    features = separable(labels)
    store = make_store(tmp_path / "s", features, labels, features[:, :2], labels[:2])
    found = evaluate(store, select(store, heads=2, readout=readout, scoring=scoring), on="folds")
    folds = stratified_folds(np.array(["ab".index(label) for label in labels]), 5)
    expected = {}
    for fold in range(5):
        kept, out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        others = make_store(
            tmp_path / f"without-{fold}",
            features[:, kept],
            [labels[i] for i in kept],
            features[:, out],
            [labels[i] for i in out],
        )
        selection = select(others, heads=2, readout=readout, scoring=scoring)
        names = evaluate(others, selection).predictions["prediction"]
        if selection.tasks[0].classes != ("a", "b"):  # classes keep the order of the whole file
            continue
        expected |= dict(zip(out.tolist(), names, strict=True))
    assert len(expected) >= 6
    ours = found.predictions["prediction"].to_list()
    assert {i: ours[i] for i in expected} == expected
    assert found.predictions["split"].unique().to_list() == ["train"]
    assert "cross-validated" in found.notes[0]


@pytest.mark.parametrize(
    "use", [partial(evaluate, on="folds"), calibrate], ids=["evaluate", "calibrate"]
)
def test_a_selection_of_another_store_is_refused(tmp_path, use):
    labels = list("ab" * 4)
    features = separable(labels)
    given = (features, labels, features[:, :2], labels[:2])
    store = make_store(tmp_path / "s", *given)
    rows = [{"subtask": name} for name in "ssttsstt"]
    others = [
        make_store(tmp_path / "more", *(features[:, [*range(8), 0]], [*labels, "a"]), *given[2:]),
        make_store(tmp_path / "tasks", *given, train_rows=rows),
    ]
    for other in others:
        selection = select(other, heads=2)
        with pytest.raises(SelectionError, match="was not made from all training examples of"):
            use(store, selection)
    part = only_subtask(select(others[1], heads=2), "t")
    with pytest.raises(SelectionError, match="was not made from all training examples of"):
        use(others[1], part)
    with pytest.raises(SelectionError, match="does not fit"):
        use(store, select(make_store(tmp_path / "model", *given, model="other"), heads=2))


@pytest.fixture(scope="module")
def noise_stores(tmp_path_factory):
    """Return six stores of 128 heads of noise, the best of which fit 40 examples wholly."""
    labels = ["a", "b"] * 20
    parts = [noise(128, 40, 64, seed) for seed in range(6)]
    folder = tmp_path_factory.mktemp("noise")
    return [
        make_store(folder / str(n), part, labels, part[:, :2], labels[:2], shard_rows=40)
        for n, part in enumerate(parts)
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("readout", READOUTS)
def test_noise_is_at_chance(noise_stores, readout):
    right = []
    for store in noise_stores:
        found = evaluate(store, select(store, readout=readout), on="folds")
        right += found.predictions["correct"].to_list()
    assert abs(np.mean(right) - 0.5) < 4 * 0.5 / len(right) ** 0.5


def test_examples_that_share_an_image_stay_together(tmp_path):
    labels = list("ab" * 6)
    rows = [{"media": '["x"]', "media_sha256": f'["{i // 4}"]'} for i in range(12)]
    features = separable(labels)
    store = make_store(
        tmp_path / "s", features, labels, features[:, :2], labels[:2], train_rows=rows
    )
    found = evaluate(store, select(store, heads=2), on="folds")
    assert found.predictions["cluster"].n_unique() == 3
    assert "in 3 folds" in found.notes[0]


def test_a_class_with_one_example_is_named(tmp_path):
    labels = list("aab")
    features = separable(labels)
    store = make_store(tmp_path / "s", features, labels, features[:, :2], labels[:2])
    with pytest.raises(SelectionError, match=r"two independent examples.*class 'b'"):
        evaluate(store, select(store, heads=2), on="folds")


def test_a_fold_that_leaves_one_example_to_score_by_is_told(tmp_path):
    labels = list("ababaaaa")  # class b has two: a fold leaves one of them
    features = separable(labels)
    store = make_store(tmp_path / "s", features, labels, features[:, :2], labels[:2])
    assert evaluate(store, select(store, heads=2), on="folds").planned == 8
    for scoring in ("loo", "kfold"):
        selection = select(store, heads=2, scoring=scoring)
        with pytest.raises(
            SelectionError,
            match=rf"leaves one training example of class 'b' to choose .* {scoring} scoring needs",
        ):
            evaluate(store, selection, on="folds")


def test_leave_one_out_classifies_each_by_a_selection_of_all_others(tmp_path):
    labels = list("abbabaab")
    features = separable(labels)
    store = make_store(tmp_path / "s", features, labels, features[:, :2], labels[:2])
    found = evaluate(store, select(store, heads=2), on="folds", folds="loo")
    assert "in 8 folds" in found.notes[0]
    assert "a classifier of 88 % of the examples" in found.notes[0]
    for out in range(2, 8):  # without the first or the second, classes would be in another order
        kept = [i for i in range(8) if i != out]
        names = [labels[i] for i in kept]
        others = make_store(
            tmp_path / str(out), features[:, kept], names, features[:, [out]], [labels[out]]
        )
        expected = evaluate(others, select(others, heads=2)).predictions["prediction"].item()
        assert found.predictions["prediction"][out] == expected


@pytest.mark.parametrize(("memory", "reads"), [(1, 5), (2**28, 1)], ids=["a fold", "all"])
def test_what_is_read_at_a_time_changes_nothing(tmp_path, monkeypatch, memory, reads):
    labels = list("ab" * 8)
    features = separable(labels)
    store = make_store(tmp_path / "s", features, labels, features[:, :2], labels[:2])
    selection = select(store, heads=3, readout="posterior")
    whole = evaluate(store, selection, on="folds").predictions
    read = []

    def count(*given):
        read.append(given)
        return chosen_features(*given)

    monkeypatch.setattr("savs.pipeline.selection.left_out.chosen_features", count)
    monkeypatch.setattr("savs.pipeline.selection.left_out.MEMORY", memory)
    monkeypatch.setattr("savs.pipeline.selection.training_data.READ", 1)
    assert evaluate(store, selection, on="folds").predictions.equals(whole)
    assert len(read) == reads


def test_the_share_of_examples_that_is_estimated_is_told(tmp_path):
    labels = list("ab" * 10)
    features = separable(labels)
    store = make_store(tmp_path / "s", features, labels, features[:, :2], labels[:2])
    selection = select(store, heads=2)
    (five,) = evaluate(store, selection, on="folds").notes
    assert "a classifier of 80 % of the examples" in five
    (two,) = evaluate(store, selection, on="folds", folds=2).notes
    assert "in 2 folds" in two
    assert "a classifier of 50 % of the examples" in two


def test_heads_from_elsewhere_are_kept(tmp_path):
    labels = list("ab" * 5)
    features = separable(labels)
    store = make_store(tmp_path / "s", features, labels, features[:, :2], labels[:2])
    other = select(store, heads=1)
    given = select(store, heads_from=other, readout="posterior")
    assert given.tasks[0].heads == other.tasks[0].heads
    assert given.heads_from == other.train
    found = evaluate(store, given, on="folds")
    assert found.selection is given


def test_subtasks_are_validated_each_by_itself(tmp_path):
    labels = list("ab" * 8)
    rows = [{"subtask": "one" if i < 8 else "two"} for i in range(16)]
    features = separable(labels)
    store = make_store(
        tmp_path / "s",
        features,
        labels,
        features[:, :2],
        labels[:2],
        train_rows=rows,
        test_rows=rows[:2],
    )
    found = evaluate(store, select(store, heads=2), on="folds")
    assert [m.name for m in found.metrics] == [
        "accuracy, macro",
        "accuracy",
        "balanced accuracy",
        "accuracy, one",
        "accuracy, two",
    ]
    by_subtask = found.predictions.group_by("subtask", maintain_order=True).agg(
        pl.col("correct").mean()
    )
    assert found.metrics[3].value == pytest.approx(by_subtask["correct"][0])


@pytest.mark.parametrize("folds", [0, 1])
def test_one_fold_leaves_nothing_to_select_by(tmp_path, folds):
    labels = list("aabb")
    store = make_store(tmp_path / "s", separable(labels), labels, separable(labels), labels)
    with pytest.raises(SelectionError, match=f"folds is {folds}, expected at least 2, or 'loo'"):
        evaluate(store, select(store, heads=2), on="folds", folds=folds)
