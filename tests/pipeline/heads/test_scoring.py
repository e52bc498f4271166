"""A scoring of one's own: in a file or as an object, on folds, and what it may not do."""

import numpy as np
import pytest

import savs
from savs.foundation.installed import Package
from savs.pipeline.errors import OwnCodeError, SelectionError
from savs.pipeline.heads.head_scores import HeadScores
from savs.pipeline.heads.scoring import Scoring, choose_scoring, saved_scoring
from stores import make_store

FISHER = """
import numpy as np
from savs.pipeline.heads.scoring import HeadScores, Scoring

def score(features, labels, classes):
    means = np.stack([features[:, labels == c].mean(axis=1) for c in range(len(classes))])
    between = np.square(means - means.mean(axis=0)).sum(axis=(0, 2))
    return HeadScores(between, np.zeros(len(features)))

SCORING = Scoring(name="fisher", score=score)
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    x = rng.normal(size=(4, 40, 3)).astype("f4")
    x[2] += 3 * labels[:, None]
    x[1] += labels[:, None]
    names = [["no", "yes"][label] for label in labels]
    return make_store(tmp_path_factory.mktemp("own") / "s", x, names, x, names)


def by_hand(features, labels):
    means = np.stack([features[:, labels == c].mean(axis=1) for c in (0, 1)])
    return np.square(means - means.mean(axis=0)).sum(axis=(0, 2))


@pytest.mark.thorough
def test_heads_are_chosen_and_cross_validated_by_it(store, tmp_path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(FISHER)
    chosen = savs.select(store, heads=2, scoring=mine)
    (task,) = chosen.tasks
    expected = by_hand(store.features("train"), np.arange(40) % 2)
    order = np.argsort(-expected)[:2]
    assert [store.heads[i] for i in order] == list(task.heads)
    np.testing.assert_allclose(task.scores, expected[order], rtol=1e-6)
    assert all(0 <= strength <= 1 for strength in task.strengths)
    assert (chosen.scoring, chosen.scoring_file.name) == ("fisher", "mine.py")
    crossed = savs.evaluate(store, chosen, on="folds").metrics[0]
    assert crossed.value > 0.6
    saved = savs.load_selection(savs.save_selection(chosen, tmp_path / "saved"))
    assert saved.to_json() == chosen.to_json()
    assert savs.evaluate(store, saved).predictions.equals(savs.evaluate(store, chosen).predictions)
    with pytest.raises(SelectionError, match=r"scored by 'fisher' of mine.py \(SHA-256 .*select"):
        savs.evaluate(store, saved, on="folds")
    swept = savs.sweep(store, heads=[2], shots=["all"], scoring=mine)
    assert swept.summary["mean"][0] > 0.6


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda f, y, c: None, "gives a NoneType, expected HeadScores"),
        (lambda f, y, c: HeadScores(np.ones(1), np.ones(1)), r"score of shape \(1,\), expected"),
        (lambda f, y, c: HeadScores(np.full(4, np.nan), np.ones(4)), "score with NaN or infinity"),
        (lambda f, y, c: 1 / 0, "raises ZeroDivisionError: division by zero"),
        (lambda f, y, c: exit(0), "raises SystemExit"),
    ],
)
def test_a_function_that_fails_is_one_line(store, score, message) -> None:
    merging = Scoring(name="odd", of_prompts=lambda parts: score(parts, None, None))
    again = Scoring(name="odd", of_all=lambda alone, labels: score(alone, labels, None))
    for scoring in (Scoring(name="odd", score=score), again):
        with pytest.raises(OwnCodeError, match=f"of the scoring 'odd' .*{message}"):
            savs.select(store, scoring=scoring)
    with pytest.raises(OwnCodeError, match=f"of the scoring 'odd' .*{message}"):
        choose_scoring(merging).of_prompts([HeadScores(np.ones(4), np.ones(4))] * 2)


def test_what_is_no_scoring_is_refused(store, tmp_path) -> None:
    with pytest.raises(SelectionError, match="no scoring is called 'los'; expected: resubst"):
        savs.select(store, scoring="los")
    (tmp_path / "none.py").write_text("SCORING = 1")
    with pytest.raises(SelectionError, match="defines no SCORING that is a savs"):
        savs.select(store, scoring=tmp_path / "none.py")
    with pytest.raises(OwnCodeError, match="is no Python file"):
        choose_scoring("gone.py")
    with pytest.raises(SelectionError, match="the name 'loo' is taken"):
        choose_scoring(Scoring(name="loo"))
    with pytest.raises(ValueError, match="expected a name of letters"):
        Scoring(name="a b")
    with pytest.raises(ValueError, match="`left_out` is 'half', expected one of resubstitution"):
        Scoring(name="half", left_out="half")
    with pytest.raises(OwnCodeError, match="gives score as None, expected numbers"):
        savs.select(store, scoring=Scoring(name="a", score=lambda f, y, c: HeadScores(None, 0)))


@pytest.mark.parametrize(
    ("package", "message"),
    [
        (
            Package("gone", "1.0"),
            "'a', which needs the package gone 1.0, and that is not installed",
        ),
        (None, "heads were scored by 'a', and what a selection names is never run"),
    ],
)
def test_a_saved_scoring_that_is_not_there_says_what_it_needs(package, message) -> None:
    saved = saved_scoring("a", None, package)
    assert saved.package == package
    with pytest.raises(SelectionError, match=message):
        saved.score(np.ones((1, 2, 1)), np.arange(2), ("a", "b"))
