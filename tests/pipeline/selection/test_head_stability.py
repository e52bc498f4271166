import numpy as np
import pytest
from random_stores import draw_problem, write_problem

from savs.pipeline import select
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.head_map import head_stability
from stores import make_store


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


@pytest.mark.parametrize("draws", [0, 1])
def test_one_draw_shares_nothing(tmp_path, draws):
    store = write_problem(tmp_path / "s", draw_problem(2))
    with pytest.raises(SelectionError, match=f"draws is {draws}, expected at least 2"):
        head_stability(store, select(store, heads=3), draws=draws)
