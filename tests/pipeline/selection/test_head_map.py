import numpy as np
import oracle
import polars as pl
import pytest
from random_stores import draw_problem, write_problem
from saved_selections import two_task_store

from savs import select
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.head_map import _cell, head_map, head_stability, mean_map
from stores import make_store


def test_the_map_has_the_scores_that_the_selection_kept(tmp_path):
    store = write_problem(tmp_path / "s", draw_problem(1, subtasks=("one", "two")))
    for readout, scoring in (("vote", "loo"), ("lda", "resubstitution"), ("lda", "pursuit")):
        selection = select(store, heads=5, readout=readout, scoring=scoring)
        found = head_map(store, selection)
        assert found.height == 2 * len(store.heads)
        for task in selection.tasks:
            own = found.filter(subtask=task.subtask).drop_nulls("rank").sort("rank")
            assert tuple(own.select("layer", "head").rows()) == task.heads
            assert tuple(own["strength"]) == task.strengths
            assert tuple(own["score"]) == task.scores
            assert tuple(own["margin"]) == task.margins
            assert own["examples"].unique().to_list() == [task.examples]


@pytest.mark.thorough
@pytest.mark.parametrize("readout", ["vote", "lda", "hec-v", "logistic"])
def test_strength_is_the_share_that_a_head_classifies_alone_by_any_readout(tmp_path, readout):
    problem = draw_problem(3, subtasks=("one", "two"), counts=(4, 5, 3))
    store = write_problem(tmp_path / "s", problem)
    left_out = {
        "resubstitution": "resubstitution",
        "loo": "loo",
        "kfold": "kfold",
        "pursuit": "loo",
    }
    for scoring, alone in left_out.items():
        for task in select(store, heads="all", readout=readout, scoring=scoring).tasks:
            classes, rows, labels, _ = problem.task(task.subtask)
            heads = [problem.train[store.heads.index(head)][rows] for head in task.heads]
            right = [oracle.successes(head, labels, len(classes), alone) for head in heads]
            assert task.strengths == pytest.approx([count / len(labels) for count in right])
            if (readout, scoring) in (("vote", "resubstitution"), ("logistic", "loo")):
                assert task.scores == tuple(right)


def test_the_mean_over_subtasks_counts_who_chose_a_head(tmp_path):
    store = two_task_store(tmp_path / "s")
    found = head_map(store, select(store, heads=2))
    means = {row["name"]: row for row in mean_map(found).iter_rows(named=True)}
    assert list(means) == [f"L0.H{head}" for head in range(5)]
    assert sum(row["chosen"] for row in means.values()) == 2 * 2
    for name, row in means.items():
        scores = found.filter(name=name)["score"].to_list()  # of 6 examples in each subtask
        assert row["strength"] == pytest.approx((scores[0] + scores[1]) / 12)


def test_a_selection_of_another_store_marks_its_heads_on_these_scores(tmp_path):
    rng = np.random.default_rng(0)
    stores = [
        make_store(tmp_path / name, values, list("abab"), values, list("abab"))
        for name in "st"
        for values in [rng.normal(size=(6, 4, 4)).astype(np.float32)]
    ]
    foreign = select(stores[0], heads=2)
    found = head_map(stores[1], foreign)
    assert set(found.drop_nulls("rank").select("layer", "head").rows()) == {*foreign.tasks[0].heads}
    every = select(stores[1], heads="all").tasks[0]
    scores = dict(zip(every.heads, every.scores, strict=True))
    assert dict(zip(found.select("layer", "head").rows(), found["score"], strict=True)) == scores


def test_a_selection_without_a_subtask_of_the_store_is_refused(tmp_path):
    two = two_task_store(tmp_path / "s")
    problem = draw_problem(0, widths=(4,), heads=5, subtasks=("one", "three"))
    other = write_problem(tmp_path / "t", problem)
    assert isinstance(head_map(two, select(two)), pl.DataFrame)
    with pytest.raises(SelectionError, match=r"has no subtask 'two'; it has one, three"):
        head_map(two, select(other))


def test_heads_that_separate_the_classes_alone_are_always_chosen(tmp_path):
    rng = np.random.default_rng(0)
    labels = list("ab" * 10)
    values = rng.normal(size=(8, 20, 4)).astype(np.float32)
    values[2:4] += np.where(np.array(labels) == "a", 9, -9)[:, None]  # heads 2 and 3
    store = make_store(tmp_path / "s", values, labels, values, labels)
    found = head_stability(store, select(store, heads=2), draws=12)
    assert found.overlap == {None: 1.0}
    assert found.chance == {None: 2 / 8}
    assert found.heads.select("name", "share").rows() == [("L0.H2", 1.0), ("L0.H3", 1.0)]
    assert set(found.heads["rank"]) == {1, 2}


def test_of_noise_two_draws_share_about_what_chance_says(tmp_path):
    values = np.random.default_rng(1).normal(size=(40, 24, 4)).astype(np.float32)
    store = make_store(tmp_path / "s", values, list("ab" * 12), values, list("ab" * 12))
    found = head_stability(store, select(store, heads=8), draws=30)
    assert found.chance[None] == 8 / 40
    assert 0.1 < found.overlap[None] < 0.5  # halves share a quarter of their examples, too
    assert found.heads["share"].sum() == pytest.approx(8)  # each draw chooses eight


def test_every_subtask_has_its_own_and_equal_seeds_give_equal_draws(tmp_path):
    store = write_problem(tmp_path / "s", draw_problem(2, subtasks=("one", "two")))
    selection = select(store, heads=3)
    found, again = (head_stability(store, selection, draws=5) for _ in range(2))
    assert set(found.overlap) == {"one", "two"}
    assert found.heads.equals(again.heads)
    for subtask in ("one", "two"):
        assert found.heads.filter(subtask=subtask)["share"].sum() == pytest.approx(3)
    other = head_stability(store, selection, draws=5, seed=1)
    assert not other.heads.equals(found.heads)


@pytest.mark.parametrize(
    ("chosen", "rank", "cell"),
    [
        (1, 7, " 7"),
        (1, 99, "99"),
        (1, 100, "▒▒"),
        (0, None, "▒▒"),
        (9, None, "▒9"),
        (10, None, "▒+"),
    ],
)
def test_a_cell_has_the_rank_or_how_often_a_head_was_chosen_or_its_shade(chosen, rank, cell):
    assert _cell("▒", chosen, rank) == cell


@pytest.mark.parametrize("draws", [0, 1])
def test_one_draw_shares_nothing(tmp_path, draws):
    store = write_problem(tmp_path / "s", draw_problem(2))
    with pytest.raises(SelectionError, match=f"`draws` is {draws}, expected at least 2"):
        head_stability(store, select(store, heads=3), draws=draws)
