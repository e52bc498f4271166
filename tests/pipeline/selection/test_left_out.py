"""A store's selection with its calibration: made, saved, read, and used on the test examples."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from saved_selections import assert_same, config_of, two_task_store

from savs import calibrate, evaluate, load_selection, save_selection, select
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.cross_validation import assess_left_out
from savs.pipeline.heads.centroids import class_centroids
from savs.pipeline.heads.neurons import closeness
from savs.pipeline.readouts import READOUTS
from savs.pipeline.running.result_files import CLASSIFIER
from savs.pipeline.selection.selection_file import check_values
from savs.pipeline.targets.calibration import typicality
from savs.pipeline.targets.label_rules import PLAIN
from savs.stores import ResultError
from stores import make_store

SHOTS, TEST = 20, 60


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return a store of three classes, 6 heads of which 3 tell them apart a little."""
    rng = np.random.default_rng(1)
    means = 0.7 * rng.normal(size=(6, 3, 8))
    means[3:] = 0
    labels, truth = np.arange(3 * SHOTS) % 3, np.arange(TEST) % 3
    train, test = (
        (means[:, own] + rng.normal(size=(6, len(own), 8))).astype(np.float32)
        for own in (labels, truth)
    )
    names = [["abc"[i] for i in own] for own in (labels, truth)]
    folder = tmp_path_factory.mktemp("calibrate")
    return make_store(folder / "s", train, names[0], test, names[1], shard_rows=30)


@pytest.mark.parametrize("readout", READOUTS)
def test_a_calibration_comes_back_and_changes_no_prediction(store, tmp_path, readout):
    plain = select(store, heads=3, readout=readout)
    made = calibrate(store, plain).selection
    read = load_selection(save_selection(made, tmp_path))
    assert_same(read, made)
    before, after = (evaluate(store, one, risk=None).predictions for one in (plain, read))
    for column in ("prediction", "margin", "votes"):
        assert before[column].equals(after[column])
    ours, theirs = (one.only_task().decision for one in (read, made))
    np.testing.assert_array_equal(ours.nonconformity, theirs.nonconformity, strict=True)
    has_own = readout not in ("vote", "posterior", "calm", "neurons")
    assert (ours.centroids is not None) == has_own
    features = store.features("test", read.only_task().heads)
    train = store.features("train", read.only_task().heads)
    labels = np.arange(3 * SHOTS) % 3
    centroids = class_centroids(train, labels, 3)
    expected = typicality(features, centroids)
    if readout == "neurons":
        expected = closeness(features, centroids).mean(axis=0).max(axis=1)
    fitted = read.only_task().fitted
    found = ours.typicality(features, fitted, fitted.scores(features))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(after["typicality"], expected, atol=1e-6)
    assert (after["atypical"] == (after["typicality"] < np.float32(ours.typical))).all()
    assert before["typicality"].null_count() == before["atypical"].null_count() == TEST


def test_the_folds_are_those_of_cross_validation(store):
    selection = select(store, heads=3)
    found = calibrate(store, selection)
    expected = evaluate(store, selection, on="folds")
    estimate = assess_left_out(store, found.selection, found.left_out)
    assert estimate.metrics == expected.metrics
    assert estimate.predictions.equals(expected.predictions)
    (left_out,) = found.left_out
    p = found.selection.only_task().decision
    wrong = left_out.scores.choice != left_out.labels
    assert 0 < wrong.sum() < len(wrong)
    # of three classes, the right one of a wrong prediction has at most half
    assert (p.nonconformity >= np.float32(0.5)).sum() >= wrong.sum()
    assert p.typical == pytest.approx(np.quantile(left_out.typicality, 0.01))


def test_an_evaluation_says_how_far_probabilities_can_be_trusted(store):
    selection = calibrate(store, select(store, heads=3)).selection
    found = evaluate(store, selection, risk=0.1)
    rows, (said,) = found.predictions, found.confidence
    assert said.examples == TEST
    assert sum(part.examples for part in said.reliability) == TEST
    assert said.coverage[0].accuracy == pytest.approx(rows["correct"].mean())
    inside = [label in own for label, own in rows.select("label", "prediction_set").iter_rows()]
    assert said.risk.outside.value == pytest.approx(1 - np.mean(inside))
    assert (rows["unsure"] == (rows["prediction_set"].list.len() != 1)).all()
    sure = rows.filter(~rows["unsure"])
    assert 0 < sure.height < TEST
    assert said.risk.answered.value == pytest.approx(sure.height / TEST)
    assert said.risk.wrong.value == pytest.approx(1 - sure["correct"].mean())
    assert all(
        one == own[0] for one, own in sure.select("prediction", "prediction_set").iter_rows()
    )
    odd = rows.filter("atypical")
    assert 0 < odd.height < TEST
    assert said.atypical.share.value == pytest.approx(odd.height / TEST)
    assert said.atypical.right.value == pytest.approx(odd["correct"].mean())
    written = json.loads(json.dumps(found.to_json()))["confidence"][0]
    assert written["temperatures"] == {"all": selection.only_task().decision.temperature}
    assert written["risk"]["risk"] == 0.1
    (plain,) = evaluate(store, select(store, heads=3)).confidence
    assert plain.temperatures is None
    assert plain.risk is None
    assert plain.atypical is None


def test_a_risk_without_calibration_is_refused_and_one_is_made_by_default(store):
    with pytest.raises(SelectionError, match="has no calibration, which `risk` needs"):
        evaluate(store, select(store, heads=3), risk=0.1)
    assert evaluate(store, risk=0.1).selection.only_task().decision is not None
    with pytest.raises(ParameterError, match="`risk` is 2, expected a number between 0 and 1"):
        evaluate(store, risk=2)


def test_the_smallest_number_of_examples_that_can_answer_is_named(tmp_path):
    store = two_task_store(tmp_path / "s")
    selection = calibrate(store, select(store, heads=2)).selection
    notes = selection.target.risk_notes(selection, 0.05)
    assert notes[0] == (
        "with 6 training examples of subtask 'one' every prediction is unsure at risk 0.05: at"
        " least 19 are needed"
    )
    found = evaluate(store, selection, risk=0.05)
    assert notes[0] in found.notes
    assert found.predictions["unsure"].all()
    assert found.confidence[0].risk.wrong is None
    assert selection.target.risk_notes(selection, 0.2) == []
    assert selection.target.risk_notes(selection, 0.143) == []  # of 1 / .143 examples, less one: 6
    assert len(selection.target.risk_notes(selection, 0.14)) == 2  # 7


def edit(folder, name, change):
    tensors = load_file(folder / CLASSIFIER)
    tensors[name] = change(tensors[name])
    run = {"run": config_of(folder)["run"]}
    save_file(tensors, folder / CLASSIFIER, run)


BROKEN = {
    "not ascending": lambda scores: scores[::-1].copy(),
    "below 0": lambda scores: scores - 1,
    "above 1": lambda scores: scores + 1,
    "NaN": lambda scores: scores * np.float32(np.nan),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_nonconformity_that_cannot_be_is_refused(store, change):
    selection = calibrate(store, select(store, heads=3)).selection
    scores = change(selection.only_task().decision.nonconformity)
    with pytest.raises(ValueError, match="nonconformity: expected"):
        check_values(selection, {"0.decision.nonconformity": scores})


def test_a_calibration_of_another_shape_or_range_is_refused(store, tmp_path):
    selection = calibrate(store, select(store, heads=3)).selection
    folder = save_selection(selection, tmp_path / "a")
    edit(folder, "0.decision.nonconformity", lambda scores: scores[:5])
    with pytest.raises(ResultError, match=f"{CLASSIFIER} cannot be read"):
        load_selection(folder)
    task = selection.only_task()
    for field, value in (("temperature", 0.0), ("typical", 7.0), ("smoothing", -1.0)):
        wrong = replace(task, decision=replace(task.decision, **{field: value}))
        with pytest.raises(SelectionError, match=rf"decision: .*{field}"):
            save_selection(replace(selection, tasks=(wrong,)), tmp_path / "b")


def test_a_decision_of_other_labels_is_refused(store):
    selection = calibrate(store, select(store, heads=3)).selection
    with pytest.raises(ValueError, match="decision: expected one of classes, got label"):
        replace(selection, tasks=(replace(selection.only_task(), decision=PLAIN),))
    with pytest.raises(ValueError, match="decision: expected one of label, got classes"):
        replace(selection, labels="many")
