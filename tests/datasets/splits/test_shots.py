import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.datasets import Example, RowError, Shots

FEWEST = 5
"""Units that each stratum of a drawn pool has at least."""


def example(
    name: str, label: str | None = "a", task: str | None = None, group: str | None = None
) -> Example:
    return Example(name, "test", 0, label, "?", subtask=task, group=group)


def of_classes(counts: dict[tuple[str, str | None], int], seed: int = 0) -> list[Example]:
    """Examples of classes and subtasks, so many each, in a mixed order."""
    pool = [
        example(f"{label}{task}{n}", label, task)
        for (label, task), count in counts.items()
        for n in range(count)
    ]
    random.Random(seed).shuffle(pool)
    return [replace(e, index=n) for n, e in enumerate(pool)]


def of_groups(counts: dict[str | None, int], seed: int = 0) -> list[Example]:
    """Groups of four examples in subtasks, so many each; the rows of a group are apart."""
    pool = [
        example(f"{task}{n}.{row}", "ab"[row % 2], task, f"{task}{n}")
        for task, count in counts.items()
        for n in range(count)
        for row in range(4)
    ]
    random.Random(seed).shuffle(pool)
    return [replace(e, index=n) for n, e in enumerate(pool)]


def ids(examples: list[Example]) -> list[str]:
    return [e.id for e in examples]


def shots(pool: list[Example], count: int, seed: int) -> Shots:
    """Groups where the pool has them, else examples of each class."""
    grouped = pool[0].group is not None
    return Shots(groups=count, seed=seed) if grouped else Shots(each_class=count, seed=seed)


SIZES = st.integers(FEWEST, 9)
CLASSES = st.one_of(
    st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("st")), SIZES, min_size=1),
    st.dictionaries(st.tuples(st.sampled_from("abc"), st.none()), SIZES, min_size=1),
)
CLASS_POOLS = st.builds(of_classes, CLASSES, st.integers(0, 99))
GROUPS = st.one_of(
    st.dictionaries(st.sampled_from("st"), SIZES, min_size=1),
    st.dictionaries(st.none(), SIZES, min_size=1),
)
GROUP_POOLS = st.builds(of_groups, GROUPS, st.integers(0, 99))
COUNTS = st.integers(1, FEWEST - 1)
unhurried = settings(deadline=None)


@unhurried
@given(st.one_of(CLASS_POOLS, GROUP_POOLS), COUNTS, st.integers(0, 9), st.booleans())
def test_so_many_of_each_stratum_are_drawn_whole_and_in_order(
    pool: list[Example], count: int, seed: int, rest: bool
) -> None:
    train, test = shots(pool, count, seed).draw(pool, test_the_rest=rest)
    strata = Counter((e.subtask, e.group or e.label) for e in train)
    if pool[0].group is None:
        assert strata == {(e.subtask, e.label): count for e in pool}
    else:
        assert set(strata.values()) == {4}  # whole groups
        assert Counter(task for task, _ in strata) == {e.subtask: count for e in pool}
    known = {e.id: e for e in pool}
    assert train == [replace(known[e.id], split="train") for e in train]
    assert test == [known[e.id] for e in test]
    assert sorted(ids(train) + ids(test)) == sorted(known)
    for part in (train, test):
        assert [e.index for e in part] == sorted(e.index for e in part)


@unhurried
@given(st.one_of(CLASS_POOLS, GROUP_POOLS), st.integers(0, 9))
def test_a_larger_number_adds_to_a_smaller_one(pool: list[Example], seed: int) -> None:
    drawn = [shots(pool, n, seed).draw(pool, test_the_rest=True) for n in range(1, FEWEST)]
    for fewer, more in pairwise(set(ids(train)) for train, _ in drawn):
        assert fewer < more


@unhurried
@given(CLASSES, COUNTS)
def test_a_class_is_drawn_alike_whatever_else_is_in_the_pool(
    counts: dict[tuple[str, str | None], int], n: int
) -> None:
    pool = of_classes(counts)
    train, _ = Shots(each_class=n).draw(pool, test_the_rest=True)
    for key in counts:
        alone = [e for e in pool if (e.label, e.subtask) == key]
        drawn, _ = Shots(each_class=n).draw(alone, test_the_rest=True)
        assert ids(drawn) == [e.id for e in train if (e.label, e.subtask) == key]


def test_a_seed_draws_the_same_for_ever() -> None:
    # frozen: an extraction that is repeated must draw what it drew
    pool = [example(f"{label}{n}", label) for n in range(6) for label in "ab"]
    train, _ = Shots(each_class=2).draw(pool, test_the_rest=True)
    assert ids(train) == ["a0", "a3", "b4", "b5"]
    grouped, _ = Shots(groups=2, seed=1).draw(of_groups({"s": 6}), test_the_rest=True)
    assert sorted({str(e.group) for e in grouped}) == ["s3", "s4"]


def test_different_seeds_draw_different_examples_and_all_alike() -> None:
    pool = of_classes({("a", None): 6, ("b", None): 6})
    draws = [Shots(each_class=1, seed=s).draw(pool, test_the_rest=True)[0] for s in range(300)]
    counts = Counter(e.id for train in draws for e in train)
    # 300 draws of one of six: 50 each, with a standard deviation of 6.5
    assert len(counts) == 12
    assert all(25 < count < 75 for count in counts.values()), counts
    # the two classes are drawn independently: all 36 pairs come up
    assert len({tuple(ids(train)) for train in draws}) == 36


@pytest.mark.parametrize(
    ("count", "rest", "why", "most"),
    [(4, True, "", 2), (3, True, ", which leaves none for testing", 2), (4, False, "", 3)],
)
def test_too_few_examples_are_an_error_with_the_numbers(
    count: int, rest: bool, why: str, most: int
) -> None:
    problem = f"has 3 examples, --shots asks for {count}{why}; give {most} at most$"
    pool = of_classes({("a", None): 9, ("b", None): 3})
    with pytest.raises(RowError, match=f"^class 'b' {problem}"):
        Shots(each_class=count).draw(pool, test_the_rest=rest)
    assert len(Shots(each_class=most).draw(pool, test_the_rest=rest)[0]) == 2 * most
    of_task = of_classes({("a", "s"): 9, ("b", "s"): 9, ("b", "t"): 3})
    with pytest.raises(RowError, match=f"^class 'b' of subtask 't' {problem}"):
        Shots(each_class=count).draw(of_task, test_the_rest=rest)


def test_too_few_groups_are_an_error_with_the_numbers() -> None:
    pool = of_groups({"s": 5, "t": 2})
    problem = r"^subtask 't' has 2 groups, --train-groups asks for {}{}; give 1 at most$"
    with pytest.raises(RowError, match=problem.format(3, "")):
        Shots(groups=3).draw(pool, test_the_rest=True)
    with pytest.raises(RowError, match=problem.format(2, ", which leaves none for testing")):
        Shots(groups=2).draw(pool, test_the_rest=True)
    assert len(Shots(groups=2).draw(pool, test_the_rest=False)[0]) == 16
    with pytest.raises(RowError, match=r"^the file has 2 groups, --train-groups asks for 3"):
        Shots(groups=3).draw(of_groups({None: 2}), test_the_rest=True)


def test_single_examples_do_not_tear_groups_apart() -> None:
    pool = of_groups({None: 6})
    with pytest.raises(RowError, match=r"^the examples are in groups .* --train-groups$"):
        Shots(each_class=2).draw(pool, test_the_rest=True)
    # where the rest is not tested, nothing is torn; nor is a group of one
    assert len(Shots(each_class=2).draw(pool, test_the_rest=False)[0]) == 4
    alone = [replace(e, group=e.id) for e in pool]
    assert len(Shots(each_class=2).draw(alone, test_the_rest=True)[0]) == 4


def test_what_cannot_be_drawn_is_named() -> None:
    pool = [example("x"), example("y"), example("z", None)]
    with pytest.raises(RowError, match=r"^example 'z' has no label, so it cannot train"):
        Shots(each_class=1).draw(pool, test_the_rest=True)
    with pytest.raises(RowError, match=r"^example 'x' has no group; .* --shots$"):
        Shots(groups=1).draw(pool, test_the_rest=True)
    with pytest.raises(RowError, match="none for testing; pass the training examples with --train"):
        Shots(each_class=1).draw(pool[:1], test_the_rest=True)
    with pytest.raises(ValueError, match=r"^Shots has neither each_class nor groups"):
        Shots().draw(pool, test_the_rest=True)
    with pytest.raises(ValueError, match=r"^--shots is 0, expected at least 1$"):
        Shots(each_class=0).draw(pool[:2], test_the_rest=False)
    with pytest.raises(ValueError, match=r"^--train-groups is -1, expected at least 1$"):
        Shots(groups=-1).draw(of_groups({None: 6}), test_the_rest=False)


@pytest.mark.parametrize("seed", range(6))
def test_a_group_of_two_subtasks_is_drawn_once_and_leaves_a_rest(seed: int) -> None:
    pool = [
        example(f"{g}{task}{label}", label, task, g)
        for g in ("g1", "g2", "g3")
        for task in "xy"
        for label in "ab"
    ]
    train, rest = Shots(groups=1, seed=seed).draw(pool, test_the_rest=True)
    assert (len(train), len(rest)) == (4, 8)
    with pytest.raises(RowError, match=r"^subtask 'x' with 'y' has 3 groups, --train-groups asks"):
        Shots(groups=3, seed=seed).draw(pool, test_the_rest=True)
