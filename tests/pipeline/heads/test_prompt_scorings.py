"""Heads by their scores under the prompts of a store: against the oracle, and planted."""

import re
from pathlib import Path

import numpy as np
import oracle
import pytest

from savs import evaluate, select
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.head_scores import HeadScores
from savs.pipeline.heads.scoring import SCORINGS
from savs.pipeline.readouts import READOUTS
from savs.pipeline.selection.selection import Fitter
from savs.pipeline.selection.training_data import StoredTraining
from stores import make_store

PROMPTS = ("Cat or dog?", "Which?", "Say it.")
CLASSES = ("cat", "dog")
LABELS = np.array([0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0])
HEADS = 6
OF_PROMPTS = {
    "worst-prompt": min,
    "steady-prompt": lambda values: np.mean(values) - 0.5 * np.std(values),
}
"""What each scoring makes of the scores under the prompts."""


def planted(labels, seed):
    """Return `(heads, n, prompts, d)`: head h knows the classes under all prompts but the h-th.

    Heads 3 and 4 know them less well, but under all; head 5 is noise.
    """
    x = np.random.default_rng(seed).normal(size=(HEADS, len(labels), len(PROMPTS), 4))
    sides = np.where(labels == 0, 1.0, -1.0)
    for head in range(5):
        for prompt in range(len(PROMPTS)):
            if head != prompt:
                x[head, :, prompt, 0] += sides * (9 if head < 3 else 3)
    return x.astype(np.float32)


def write(folder, skipped=()):
    def rows(offset):
        return [
            {"id": f"e{i}#{k + 1}", "subtask": p, "prompt": p, "media": f'["{i + offset}.png"]'}
            for i in range(len(LABELS))
            for k, p in enumerate(PROMPTS)
        ]

    train, test = (planted(LABELS, seed).reshape(HEADS, -1, 4) for seed in (0, 1))
    names = [CLASSES[number] for number in LABELS for _ in PROMPTS]
    return make_store(
        *(folder, train, names, test, names),
        shard_rows=7,
        train_rows=rows(0),
        test_rows=rows(100),
        train_skipped=skipped,
        options={"questions": list(PROMPTS)},
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write(tmp_path_factory.mktemp("prompts") / "s")


@pytest.mark.thorough
@pytest.mark.parametrize("scoring", OF_PROMPTS)
@pytest.mark.parametrize("readout", ["vote", "lda"])
def test_one_score_is_made_of_those_under_each_prompt(store, readout, scoring):
    training = StoredTraining(store)
    tasks = StoredTraining(store).tasks()
    some = [task.part(np.arange(len(LABELS)) != 4) for task in tasks]
    found = Fitter(training, READOUTS[readout], SCORINGS[scoring]).score([*tasks, some[1]])
    x = planted(LABELS, 0)
    rows = [*[np.arange(12)] * 3, np.delete(np.arange(12), 4)]
    for scores, kept in zip(found, rows, strict=True):
        for head in range(HEADS):
            by_prompt = [
                oracle.head_score(x[head, kept, prompt], LABELS[kept], 2, readout, "kfold")
                for prompt in range(len(PROMPTS))
            ]
            score, margin = map(OF_PROMPTS[scoring], zip(*by_prompt, strict=True))
            assert (scores.score[head], scores.margin[head]) == pytest.approx(
                (score, margin), abs=1e-4
            )


def test_half_the_spread_is_taken_off():
    counts, margins = [[4.0, 3], [4, 9], [4, 6]], [[0.1, 0.5], [0.3, 0.5], [0.2, 0.5]]
    parts = [HeadScores(*map(np.array, one)) for one in zip(counts, margins, strict=True)]
    steady = SCORINGS["steady-prompt"].of_prompts(parts)
    # 3, 9, 6: mean 6, variance (9 + 9 + 0) / 3; .1, .3, .2: mean .2, variance .02 / 3
    assert steady.score == pytest.approx([4, 6 - 6**0.5 / 2])
    assert steady.margin == pytest.approx([0.2 - (0.02 / 3) ** 0.5 / 2, 0.5])


@pytest.mark.thorough
@pytest.mark.parametrize("scoring", OF_PROMPTS)
def test_heads_are_chosen_that_know_the_classes_whatever_the_prompt(store, scoring):
    planted_heads = {store.heads[3], store.heads[4]}
    steady, usual = (select(store, heads=2, scoring=name) for name in (scoring, "kfold"))
    assert [task.subtask for task in steady.tasks] == list(PROMPTS)
    for task, other in zip(steady.tasks, usual.tasks, strict=True):
        assert set(task.heads) == planted_heads
        assert set(other.heads) != planted_heads  # two heads know more under this prompt
        assert max(task.scores) <= len(LABELS)
    crossed = evaluate(store, steady, on="folds")
    assert all(metric.value > 0.8 for metric in crossed.metrics)
    again = select(store, heads=steady, scoring=scoring)
    assert [task.scores for task in again.tasks] == [task.scores for task in steady.tasks]


def test_an_example_that_lacks_a_prompt_is_left_out_of_all(tmp_path):
    store = write(tmp_path / "s", skipped=[0, 7, 8])  # e0#1, e2#2 and e2#3 have no features
    training, ids = StoredTraining(store), store.examples("train")["id"].to_list()
    for task in StoredTraining(store).tasks():
        for number, part in enumerate(training.under_prompts(task, "worst-prompt")):
            names = [f"e{i}#{number + 1}" for i in range(12) if i not in (0, 2)]
            assert [ids[row] for row in part.rows] == names
            labels = [CLASSES[own] for own in np.delete(LABELS, [0, 2])]
            assert [task.classes[own] for own in part.labels] == labels
    assert select(store, heads=2, scoring="worst-prompt").tasks[0].examples == 11


@pytest.mark.parametrize("scoring", OF_PROMPTS)
def test_one_prompt_cannot_be_compared(tmp_path, scoring):
    x = np.random.default_rng(0).normal(size=(2, 8, 4)).astype("f4")
    one = make_store(tmp_path / "s", x, list("ab" * 4), x, list("ab" * 4))
    message = f"one prompt for each example, but {scoring} .*--question for each"
    with pytest.raises(SelectionError, match=message):
        select(one, heads=1, scoring=scoring)


def test_the_scoring_of_the_page_finds_steady_heads(store, tmp_path):
    page = Path(__file__).parents[3] / "docs" / "guide" / "own-readout.md"
    (code,) = re.findall(r"```python\n(# steady.py.*?)```", page.read_text("utf-8"), re.DOTALL)
    (tmp_path / "steady.py").write_text(code)
    chosen = select(store, heads=HEADS, scoring=tmp_path / "steady.py")
    assert {*chosen.tasks[0].heads[:2]} == {(0, 3), (0, 4)}
