"""Cross-validation selects anew without what it scores."""

from functools import partial

import numpy as np
import pytest

from savs import calibrate, evaluate, select
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.cross_validation import INFLATION
from savs.pipeline.heads.folds import stratified_folds
from savs.pipeline.readouts import READOUTS
from savs.pipeline.selection.left_out import leave_out
from savs.pipeline.selection.selection import chosen_features, only_subtask
from savs.pipeline.statistics.intervals import wilson_interval
from stores import make_store

pytestmark = pytest.mark.thorough


def separable(labels, heads=5, width=6, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(heads, 2, width)) * 0.8
    places = ["ab".index(label) for label in labels]
    return (centres[:, places] + noise * rng.normal(size=(heads, len(labels), width))).astype(
        np.float32
    )


def store_of(folder, labels, train=slice(None), test=slice(2), noise=1.0, **options):
    """Return a store of the examples of some labels, each in the train split, the test split."""
    features, rows = separable(labels, noise=noise), np.arange(len(labels))
    splits = [(features[:, rows[part]], [labels[i] for i in rows[part]]) for part in (train, test)]
    return make_store(folder, *splits[0], *splits[1], **options)


FIVE, ALL = list("abbabaabbaab"), list("abbabaab")


@pytest.mark.parametrize(
    ("labels", "folds", "readout", "scoring", "compared"),
    [
        (FIVE, 5, "vote", "kfold", 6),
        (FIVE, 5, "lda", "resubstitution", 6),
        (ALL, "loo", "vote", "resubstitution", 6),
    ],
    ids=["vote", "lda", "leave one out"],
)
def test_each_part_is_classified_by_a_selection_of_the_others(
    tmp_path, labels, folds, readout, scoring, compared
):
    options = {"heads": 2, "readout": readout, "scoring": scoring}
    store = store_of(tmp_path / "s", labels)
    found = evaluate(store, select(store, **options), on="folds", folds=folds)
    numbers = np.array(["ab".index(label) for label in labels])
    parts = np.arange(len(labels)) if folds == "loo" else stratified_folds(numbers, folds)
    expected = {}
    for fold in np.unique(parts):
        out = np.flatnonzero(parts == fold)
        others = store_of(tmp_path / f"{fold}", labels, np.flatnonzero(parts != fold), out)
        selection = select(others, **options)
        if selection.tasks[0].classes == ("a", "b"):  # classes keep the order of the whole file
            names = evaluate(others, selection).predictions["prediction"]
            expected |= dict(zip(out.tolist(), names, strict=True))
    assert len(expected) >= compared
    ours = found.predictions["prediction"].to_list()
    assert {i: ours[i] for i in expected} == expected
    assert found.predictions["split"].unique().to_list() == ["train"]
    assert f"estimated by {parts.max() + 1}-fold cross-validation" in found.notes[0]


@pytest.mark.parametrize(
    "use", [partial(evaluate, on="folds"), calibrate], ids=["evaluate", "calibrate"]
)
def test_a_selection_of_another_store_is_refused(tmp_path, use):
    labels = list("ab" * 4)
    store = store_of(tmp_path / "s", labels)
    more = store_of(tmp_path / "more", [*labels, "a"])
    rows = [{"subtask": name} for name in "ssttsstt"]
    tasks = store_of(tmp_path / "tasks", labels, train_rows=rows)
    part = only_subtask(select(tasks, heads=2), "t")
    for home, selection in (
        *((store, select(other, heads=2)) for other in (more, tasks)),
        (tasks, part),
    ):
        with pytest.raises(SelectionError, match="was not made from all training examples of"):
            use(home, selection)
    other = store_of(tmp_path / "model", labels, model="other")
    with pytest.raises(SelectionError, match="does not fit"):
        use(store, select(other, heads=2))


@pytest.fixture(scope="module")
def noise_stores(tmp_path_factory):
    """Return three stores of 128 heads of noise, the best of which fit 40 examples wholly."""
    labels, folder = ["a", "b"] * 20, tmp_path_factory.mktemp("noise")
    parts = [
        np.random.default_rng(seed).normal(size=(128, 40, 64)).astype(np.float32)
        for seed in range(3)
    ]
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


def test_folds_that_share_examples_widen_each_interval(tmp_path):
    store = store_of(tmp_path / "s", list("abba" * 6), noise=3.0)
    found = evaluate(store, select(store, heads=2), on="folds")
    accuracy = found.metrics[0]
    assert 0 < accuracy.value < 1
    assert (accuracy.low, accuracy.high) == wilson_interval(accuracy.value, 24 / INFLATION)
    for row in found.to_json()["per_class"]:
        assert (row["low"], row["high"]) == wilson_interval(row["recall"], 12 / INFLATION)
    test = evaluate(store, select(store, heads=2))
    assert test.inflation == 1
    assert test.metrics[0].low == wilson_interval(test.metrics[0].value, 2)[0]


def test_examples_that_share_an_image_stay_together(tmp_path):
    rows = [{"media": '["x"]', "media_sha256": f'["{i // 4}"]'} for i in range(12)]
    store = store_of(tmp_path / "s", list("ab" * 6), train_rows=rows)
    selection = select(store, heads=2)
    found = evaluate(store, selection, on="folds")
    assert found.predictions["cluster"].n_unique() == 3
    assert "3-fold cross-validation (" in found.notes[0]
    (left_out,) = leave_out(store, selection)
    folds = left_out.fold[np.argsort(left_out.order)].tolist()
    assert [len(set(folds[first : first + 4])) for first in (0, 4, 8)] == [1, 1, 1]
    assert len(set(folds)) == 3


def test_a_class_with_too_few_examples_is_named(tmp_path):
    store = store_of(tmp_path / "one", list("aab"))
    with pytest.raises(SelectionError, match=r"two independent examples.*class 'b'"):
        evaluate(store, select(store, heads=2), on="folds")
    store = store_of(tmp_path / "two", list("ababaaaa"))  # a fold leaves one of class b
    assert evaluate(store, select(store, heads=2), on="folds").planned == 8
    for scoring in ("loo", "kfold"):
        selection = select(store, heads=2, scoring=scoring)
        with pytest.raises(
            SelectionError,
            match=rf"leaves one training example of class 'b' to choose .* {scoring} scoring needs",
        ):
            evaluate(store, selection, on="folds")


@pytest.mark.parametrize(("memory", "reads"), [(1, 5), (2**28, 1)], ids=["a fold", "all"])
def test_what_is_read_at_a_time_changes_nothing(tmp_path, monkeypatch, memory, reads):
    store = store_of(tmp_path / "s", list("ab" * 8))
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


@pytest.mark.parametrize(("folds", "share"), [(5, 80), (2, 50), ("loo", 95)])
def test_the_share_of_examples_that_is_estimated_is_told(tmp_path, folds, share):
    store = store_of(tmp_path / "s", list("ab" * 10))
    found = evaluate(store, select(store, heads=2), on="folds", folds=folds)
    assert found.notes == (
        f"estimated by {20 if folds == 'loo' else folds}-fold cross-validation: classifiers of"
        f" {share} % of the examples. The final one uses all and is usually better",
    )
    assert found.train_shares == (share / 100, share / 100)
    assert f" of classifiers of {share} % of the examples, 95 % interval" in repr(found)


def test_a_note_says_why_there_are_not_five_folds(tmp_path):
    # of b three examples, or four of which two share an image: 8 to 9 of 13 are left each time
    labels = list("aaaaaaaaaabbb")
    store = store_of(tmp_path / "s", labels)
    (note,) = evaluate(store, select(store, heads=2), on="folds").notes
    assert "estimated by 3-fold cross-validation ('b' has only 3 examples): classifiers of" in note
    assert "of 62 to 69 % of the examples" in note
    rows = [{"subtask": "one", "media": f'["{max(i, 11)}.png"]' if i > 9 else "[]"}
            for i in range(14)]  # fmt: skip
    store = store_of(tmp_path / "t", [*labels, "b"], train_rows=rows, test_rows=rows[:2])
    note = evaluate(store, select(store, heads=2), on="folds").notes[0]
    assert "3-fold cross-validation ('b' has only 3 independent examples)" in note


def test_heads_from_elsewhere_are_kept(tmp_path):
    store = store_of(tmp_path / "s", list("ab" * 5))
    other = select(store, heads=1)
    selection = select(store, heads=other, readout="posterior")
    assert selection.tasks[0].heads == other.tasks[0].heads
    assert selection.heads_from == other.train
    assert evaluate(store, selection, on="folds").selection is selection


def test_subtasks_are_validated_each_by_itself(tmp_path):
    rows = [{"subtask": "one" if i < 8 else "two"} for i in range(16)]
    store = store_of(tmp_path / "s", list("ab" * 8), train_rows=rows, test_rows=rows[:2])
    found = evaluate(store, select(store, heads=2), on="folds")
    names = ["accuracy, macro", "accuracy", "balanced accuracy", "accuracy, one", "accuracy, two"]
    assert [m.name for m in found.metrics] == names
    one = found.predictions.filter(subtask="one")["correct"].mean()
    assert found.metrics[3].value == pytest.approx(one)


@pytest.mark.parametrize("folds", [0, 1])
def test_one_fold_leaves_nothing_to_select_by(tmp_path, folds):
    store = store_of(tmp_path / "s", list("aabb"))
    with pytest.raises(SelectionError, match=f"`folds` is {folds}, expected at least 2, or 'loo'"):
        evaluate(store, select(store, heads=2), on="folds", folds=folds)
