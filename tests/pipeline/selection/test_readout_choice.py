"""The choice of a readout, against nested cross-validation as it is defined."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from savs.pipeline.heads.folds import stratified_folds
from savs.pipeline.readouts import ClassScores
from savs.pipeline.selection import readout_choice
from savs.pipeline.selection.readout_choice import choose_readout_by_folds
from savs.pipeline.selection.selection import choose_heads
from savs.pipeline.selection.training_data import TrainingArrays
from savs.pipeline.targets.many import MANY_LABELS
from savs.pipeline.targets.numbers import REGRESSIONS, NumberRule
from savs.pipeline.targets.one import ONE_CLASS
from savs.pipeline.targets.tasks import LeftOut, TrainingTask
from savs.stores import LayerGrid
from savs.stores.format.manifest import FeatureSource

HEADS, WIDTH, FOLDS = 5, 6, 4
READOUTS = ("vote", "posterior", "lda", "knn")


def training(seed, counts=(8, 7, 9), shift=0.6):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    centres = rng.normal(size=(HEADS, len(counts), WIDTH)) * shift
    values = centres[:, labels] + rng.normal(size=(HEADS, len(labels), WIDTH))
    return TrainingArrays(
        source=FeatureSource(
            model={"name": "m", "class": "M"},
            processor={},
            dtype="float32",
            prompt="p",
            grid=(LayerGrid(0, tuple(range(HEADS)), WIDTH),),
        ),
        values=values.astype(np.float32),
        labels=["abc"[n] for n in labels],
        names=tuple("abc"[: len(counts)]),
        ids=[str(i) for i in range(len(labels))],
        target=ONE_CLASS,
    )


def numbers_of(data):
    return np.array(["abc".index(label) for label in data.labels])


def part(data, kept):
    return TrainingArrays(
        source=data.source,
        values=data.values[:, kept],
        labels=[data.labels[i] for i in np.flatnonzero(kept)],
        names=data.names,
        ids=[data.ids[i] for i in np.flatnonzero(kept)],
        target=data.target,
    )


def choices(data, kept, out, readout):
    """Return what a classifier of some examples says of others."""
    task = choose_heads(part(data, kept), heads=2, readout=readout).only_task()
    heads = [head for _, head in task.heads]
    return task.fitted.scores(data.values[heads][:, out]).choice


def left_out(data, readout):
    """Return the prediction of each example by a classifier of the other folds."""
    said = np.zeros(len(data.labels), int)
    numbers = stratified_folds(numbers_of(data), FOLDS)
    for fold in range(FOLDS):
        out = numbers == fold
        said[out] = choices(data, ~out, out, readout)
    return said


def by_definition(data):
    """Return nested predictions, one loop in the other, and the readout of all examples."""
    said = np.zeros(len(data.labels), int)
    numbers = stratified_folds(numbers_of(data), FOLDS)
    for fold in range(FOLDS):
        out = numbers == fold
        inner = part(data, ~out)
        right = [(left_out(inner, one) == numbers_of(inner)).mean() for one in READOUTS]
        said[out] = choices(data, ~out, out, READOUTS[int(np.argmax(right))])
    right = [(left_out(data, one) == numbers_of(data)).mean() for one in READOUTS]
    return said, dict(zip(READOUTS, right, strict=True))


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_choice_is_nested_cross_validation(seed) -> None:
    data = training(seed)
    choice = choose_readout_by_folds(data, heads=2, readouts=READOUTS, folds=FOLDS)
    said, accuracies = by_definition(data)
    (found,) = choice.left_out
    nested = np.zeros(len(data.labels), int)
    nested[found.rows] = found.scores.choice
    np.testing.assert_array_equal(nested, said)
    assert choice.accuracies == pytest.approx(accuracies)
    assert choice.selection.readout == max(accuracies, key=accuracies.__getitem__)
    assert choice.note is None


@pytest.mark.thorough
def test_the_readouts_differ_so_that_the_choice_matters() -> None:
    chosen = {
        choose_readout_by_folds(training(s), heads=2, readouts=READOUTS).selection.readout
        for s in range(6)
    }
    assert len(chosen) > 1


@pytest.mark.thorough
def test_the_estimate_of_noise_is_chance() -> None:
    right = []
    for seed in range(12):
        data = training(seed, counts=(10, 10), shift=0.0)
        (part,) = choose_readout_by_folds(data, heads=2, readouts=READOUTS).left_out
        right.append((part.scores.choice == part.labels).mean())
    assert np.mean(right) < 0.53  # the best of four by itself would be at .57


def test_few_examples_leave_the_first_readout_and_say_why() -> None:
    two = choose_readout_by_folds(training(0, counts=(2, 2, 2)), heads=2)
    assert (two.selection.readout, two.accuracies) == ("vote", {})
    assert two.note is not None
    assert two.note.startswith("the readout is vote, too few examples to try others: ")
    assert len(two.left_out) == 1
    one = choose_readout_by_folds(training(0, counts=(1, 3, 3)), heads=2)
    assert one.left_out == []
    assert one.note is not None
    assert one.note.startswith("no accuracy can be estimated: cross-validation needs two")


def test_a_large_store_takes_the_first_readout(monkeypatch) -> None:
    monkeypatch.setattr(readout_choice, "LARGEST", 10)
    choice = choose_readout_by_folds(training(0), heads=2)
    assert (choice.selection.readout, choice.accuracies) == ("vote", {})
    assert choice.note is not None
    assert "too many to choose a readout by trying: it is vote" in choice.note
    assert choice.left_out


def test_one_readout_is_taken_as_it_is() -> None:
    choice = choose_readout_by_folds(training(0), heads=2, readouts=["lda"])
    assert (choice.selection.readout, choice.accuracies, choice.note) == ("lda", {}, None)


def left_out_of(task, soft, choice, fold):
    """Return examples as a readout scored them, in folds."""
    scores = ClassScores(soft, np.asarray(choice), soft)
    return LeftOut(
        task=task,
        order=np.arange(len(soft)),
        scores=scores,
        typicality=np.zeros(0, np.float32),
        seen=scores.part(slice(0)),
        asked=2,
        folds=2,
        train_shares=(0.5, 0.5),
        limit=None,
        fold=np.asarray(fold),
    )


def test_a_label_without_a_turn_has_its_folds_by_the_readouts_of_their_own_turns() -> None:
    rows = np.arange(4)
    task = TrainingTask("cat", ("absent", "present"), rows, rows % 2, None, None)

    def classified(choice: int, scores: list[float]) -> LeftOut:
        return left_out_of(task, np.tile(np.float32(scores), (4, 1)), [choice] * 4, [0, 0, 2, 2])

    of_readouts = [classified(0, [14, 6]), classified(1, [0.25, 0.75])]
    # no example of turn 1 knows of the label; in turn 2 the second readout was chosen
    mixed = readout_choice._mixed({0: 0, 1: 0, 2: 1}, of_readouts)
    assert mixed.scores.choice.tolist() == [0, 0, 1, 1]
    assert mixed.scores.scores.tolist() == [[14, 6]] * 2 + [[0.25, 0.75]] * 2
    # what turn 2 decides by the folds before it is decided by how its own readout scores them
    assert mixed.in_turn(2).scores.scores.tolist() == [[0.25, 0.75]] * 4


FOLD = np.repeat([0, 1, 2], 8)


def examples_of(labels):
    return pl.DataFrame({"row": range(len(labels)), "label": labels})


def test_thresholds_of_a_fold_come_from_its_own_readout() -> None:
    # the second readout says the same as the first with margins 64 times as large: whichever of
    # them a fold chooses, its probabilities and predictions are those of the first
    rng = np.random.default_rng(0)
    present = rng.integers(0, 2, len(FOLD))
    values = (present + rng.normal(size=len(FOLD))).astype(np.float32)
    soft = np.stack([np.zeros_like(values), values], axis=1)
    task = TrainingTask("cat", ("absent", "present"), np.arange(24), present, None, None)
    of_readouts = [left_out_of(task, soft * scale, present, FOLD) for scale in (1, 64)]
    selection = SimpleNamespace(precision=None, tasks=[SimpleNamespace(subtask="cat")])
    examples = examples_of(['["cat"]' if one else "[]" for one in present])
    alone, mixed = (
        MANY_LABELS.left_out(selection, examples, [part])
        for part in (of_readouts[0], readout_choice._mixed({0: 0, 1: 1, 2: 0}, of_readouts))
    )
    assert mixed["prediction"].to_list() == alone["prediction"].to_list()
    logits = [np.ravel(table["logits"].to_list()) for table in (mixed, alone)]
    np.testing.assert_allclose(*logits, atol=1e-4)


def test_intervals_of_a_fold_come_from_its_own_readout() -> None:
    # the second readout is off by 3 wherever the first is off by 1: folds that choose it have
    # intervals of 3 to each side, and the others of 1. 21 examples of the other folds are enough
    # for the 95 % that an interval holds.
    fold = np.repeat([0, 1, 2, 3], 7)
    numbers = np.linspace(-50, 50, len(fold))
    rule = NumberRule.of(numbers, is_ordinal=False)
    task = TrainingTask(
        subtask=None,
        classes=("number",),
        rows=np.arange(len(fold)),
        labels=(numbers - rule.mean) / rule.spread,
        question=None,
        media=None,
        decision=rule,
        clusters=np.arange(len(fold)),
    )
    of_readouts = [
        left_out_of(task, ((numbers + off - rule.mean) / rule.spread)[:, None], fold * 0, fold)
        for off in (1, 3)
    ]
    mixed = readout_choice._mixed({0: 0, 1: 1, 2: 0, 3: 0}, of_readouts)
    selection = SimpleNamespace(tasks=[SimpleNamespace(decision=rule)])
    table = REGRESSIONS.left_out(selection, examples_of([str(n) for n in numbers]), [mixed])
    reach = (table["high"] - table["low"]).to_numpy() / 2
    np.testing.assert_allclose(reach, np.where(fold == 1, 3, 1), rtol=1e-6)
