"""`HeadsClassifier` keeps the conventions of scikit-learn, and chooses what `select` chooses."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

from savs import evaluate, select
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.heads_classifier import HeadsClassifier
from savs.pipeline.errors import SelectionError
from savs.pipeline.readouts import READOUTS, ClassScores
from savs.pipeline.targets.one import probabilities_of as probabilities
from savs.stores.format.layout import holder
from stores import make_store

pytestmark = pytest.mark.thorough

FLOAT32 = {
    "check_methods_subset_invariance": "probabilities are float32, and 1e-7 is less than theirs"
}
FEW = {"check_classifiers_train": "of two columns two neurons vote, which is too few for 83 %"}
RNG = np.random.default_rng(11)
BEGIN = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def draws_from_the_beginning() -> None:
    """Give each test the same numbers, whichever ran before it."""
    RNG.bit_generator.state = BEGIN


@pytest.mark.parametrize("readout", READOUTS)
def test_every_check_of_scikit_learn_passes(readout) -> None:
    expected = FLOAT32 if readout in ("posterior", "calm") else {}
    expected = FEW if readout == "neurons" else expected
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)  # of pandas, which is not installed
        results = check_estimator(HeadsClassifier(readout=readout), expected_failed_checks=expected)
    assert len(results) > 40


def blobs(n: int, heads: int = 6, d: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return features of heads of which two tell three classes apart, and labels."""
    labels = np.arange(n) % 3
    features = RNG.normal(size=(n, heads, d)).astype(np.float32)
    features[:, [1, 4], :3] += 4 * np.eye(3)[labels][:, None]
    return features.reshape(n, heads * d), np.array(["a", "b", "c"])[labels]


@pytest.mark.parametrize("readout", READOUTS)
def test_it_predicts_what_a_selection_of_a_store_predicts(tmp_path, readout) -> None:
    (train, labels), (test, truth) = blobs(30), blobs(12)
    heads = [
        np.ascontiguousarray(x.reshape(len(x), 6, 4).transpose(1, 0, 2)) for x in (train, test)
    ]
    store = make_store(tmp_path / "store", heads[0], labels.tolist(), heads[1], truth.tolist())
    selection = select(store, heads=3, readout=readout)
    expected = evaluate(store, selection).predictions["prediction"].to_list()
    model = HeadsClassifier(heads=3, readout=readout, head_dim=4).fit(train, labels)
    flat = [grid.heads.index(head) + sum(len(g.heads) for g in store.grid if g.layer < grid.layer)
            for layer, head in map(holder, selection.tasks[0].heads)
            for grid in store.grid if grid.layer == layer]  # fmt: skip
    assert model.heads_.tolist() == flat
    assert model.predict(test).tolist() == expected
    assert model.classes_[model.predict_proba(test).argmax(axis=1)].tolist() == expected


def test_a_grid_search_and_a_pipeline_take_it() -> None:
    features, labels = blobs(36)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), HeadsClassifier(head_dim=4)),
        {"headsclassifier__heads": [1, 2], "headsclassifier__readout": ["vote", "lda"]},
        cv=3,
    )
    search.fit(features, labels)
    assert search.best_score_ > 0.9
    assert clone(search.best_estimator_[1]).get_params()["head_dim"] == 4


def test_of_shares_that_tie_the_chosen_class_has_most() -> None:
    scores = np.float32([[2, 2, 0], [1, 2, 1], [1, 1, 2]])
    found = probabilities(ClassScores(scores, np.array([1, 1, 2]), scores), "vote")
    assert found.argmax(axis=1).tolist() == [1, 1, 2]
    np.testing.assert_allclose(found, scores / 4, atol=1e-9)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    with pytest.raises(ParameterError, match="no probabilities"):
        probabilities(ClassScores(-scores, np.array([2, 0, 0]), scores), "mine")


def test_what_cannot_be_is_named() -> None:
    features, labels = blobs(12)
    for wrong, error, message in (
        (
            {"heads": 7, "head_dim": 4},
            SelectionError,
            "but there are 6; use 1 to 6, or all",
        ),
        ({"heads": 0}, SelectionError, "0 heads were requested"),
        ({"heads": 1.5}, SelectionError, "expected a whole number"),
        ({"heads": True}, SelectionError, "`heads` is True, expected a whole number"),
        ({"head_dim": 5}, ParameterError, "24 columns are not a multiple of"),
        ({"head_dim": 0}, ParameterError, "`head_dim` is 0, which 24 columns"),
        ({"head_dim": 4.0}, ParameterError, "`head_dim` is 4.0, which 24 columns"),
        ({"readout": "none"}, SelectionError, "no readout is called 'none'"),
        ({"readout": "clip"}, SelectionError, "compares images with the names of classes"),
        ({"scoring": "none"}, SelectionError, "no scoring is called 'none'"),
    ):
        with pytest.raises(error, match=message):
            HeadsClassifier(**wrong).fit(features, labels)
    with pytest.raises(SelectionError, match="one class only"):
        HeadsClassifier().fit(features, ["a"] * 12)
    with pytest.raises(NotFittedError):
        HeadsClassifier().predict(features)


def labelled(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features of six heads, and three labels that two heads tell, several an example."""
    there = (RNG.random((n, 3)) < 0.4).astype(int)
    features = RNG.normal(size=(n, 6, 4)).astype(np.float32)
    features[:, [1, 4], :3] += 4 * there[:, None]
    features[:, [1, 4], 3] += 4  # examples without a label have a direction, too
    return features.reshape(n, 24), there


def test_a_matrix_of_labels_is_learned_and_predicted_as_a_matrix() -> None:
    (train, there), (test, truth) = labelled(80), labelled(60)
    model = HeadsClassifier(heads=2, head_dim=4).fit(train, there)
    assert set(model.heads_.tolist()) == {1, 4}
    assert model.classes_.tolist() == [0, 1, 2]
    assert get_tags(model).classifier_tags.multi_label
    said, shares = model.predict(test), model.predict_proba(test)
    assert said.shape == shares.shape == (60, 3)
    assert set(np.unique(said)) <= {0, 1}
    assert (said == truth).mean() > 0.85
    assert roc_auc_score(truth, shares) > 0.95
    assert model.score(test, truth) == (said == truth).all(axis=1).mean()
    # calibrated: a sigmoid of its own for each label, so shares are as often right as they say
    assert np.abs(shares.mean(axis=0) - truth.mean(axis=0)).max() < 0.15


def test_a_label_that_cannot_be_learned_is_named() -> None:
    train, there = labelled(20)
    there[:, 1] = 0
    with pytest.raises(SelectionError, match="label '1' is absent in all 20 training examples"):
        HeadsClassifier(head_dim=4).fit(train, there)


def test_few_examples_are_predicted_by_the_margin_alone() -> None:
    train, there = labelled(4)
    there[:] = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]
    model = HeadsClassifier(heads=1, head_dim=4).fit(train, there)
    assert ((model.predict_proba(train) >= 0.5) == model.predict(train)).all()
