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


def drawn(pool: list[Example], shots: Shots, *, rest: bool) -> tuple[list[Example], list[Example]]:
    """The training examples and the others: of a pool that is split, or of a training file."""
    if rest:
        return shots.split(pool, [str(e.group or e.id) for e in pool])
    train = shots.draw(pool)
    return train, [e for e in pool if e not in train]


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
@given(CLASS_POOLS, COUNTS, st.integers(0, 9), st.booleans())
def test_so_many_of_each_class_are_drawn(
    pool: list[Example], count: int, seed: int, rest: bool
) -> None:
    train, test = drawn(pool, Shots(each_class=count, seed=seed), rest=rest)
    counts = Counter((e.label, e.subtask) for e in train)
    assert counts == {(e.label, e.subtask): count for e in pool}
    assert len(train) + len(test) == len(pool)
    assert not {e.id for e in train} & {e.id for e in test}


@unhurried
@given(GROUP_POOLS, COUNTS, st.integers(0, 9), st.booleans())
def test_so_many_whole_groups_of_each_subtask_are_drawn(
    pool: list[Example], count: int, seed: int, rest: bool
) -> None:
    train, test = drawn(pool, Shots(groups=count, seed=seed), rest=rest)
    rows = Counter(e.group for e in train)
    assert set(rows.values()) == {4}
    tasks = Counter(task for task, _ in {(e.subtask, e.group) for e in train})
    assert tasks == {e.subtask: count for e in pool}
    assert not {e.group for e in train} & {e.group for e in test}
    assert len(train) + len(test) == len(pool)


@unhurried
@given(st.one_of(CLASS_POOLS, GROUP_POOLS), COUNTS, st.integers(0, 9))
def test_examples_keep_their_order_and_all_else_but_the_split(
    pool: list[Example], count: int, seed: int
) -> None:
    train, test = drawn(pool, shots(pool, count, seed), rest=True)
    known = {e.id: e for e in pool}
    assert train == [replace(known[e.id], split="train") for e in train]
    assert test == [known[e.id] for e in test]
    for part in (train, test):
        assert [e.index for e in part] == sorted(e.index for e in part)


@pytest.mark.thorough
@unhurried
@given(st.one_of(CLASS_POOLS, GROUP_POOLS), st.integers(0, 9))
def test_a_larger_number_adds_to_a_smaller_one(pool: list[Example], seed: int) -> None:
    draws = [drawn(pool, shots(pool, n, seed), rest=True) for n in range(1, FEWEST)]
    for fewer, more in pairwise(set(ids(train)) for train, _ in draws):
        assert fewer < more


@pytest.mark.thorough
@unhurried
@given(CLASSES, COUNTS)
def test_a_class_is_drawn_alike_whatever_else_is_in_the_pool(
    counts: dict[tuple[str, str | None], int], n: int
) -> None:
    pool = of_classes(counts)
    train, _ = drawn(pool, Shots(each_class=n), rest=True)
    for key in counts:
        alone = [e for e in pool if (e.label, e.subtask) == key]
        others, _ = drawn(alone, Shots(each_class=n), rest=True)
        assert ids(others) == [e.id for e in train if (e.label, e.subtask) == key]


def test_a_seed_draws_the_same_for_ever() -> None:
    # frozen: an extraction that is repeated must draw what it drew
    pool = [example(f"{label}{n}", label) for n in range(6) for label in "ab"]
    train, _ = drawn(pool, Shots(each_class=2), rest=True)
    assert ids(train) == ["a0", "a3", "b4", "b5"]
    grouped, _ = drawn(of_groups({"s": 6}), Shots(groups=2, seed=1), rest=True)
    assert sorted({str(e.group) for e in grouped}) == ["s3", "s4"]


def test_different_seeds_draw_different_examples_and_all_alike() -> None:
    pool = of_classes({("a", None): 6, ("b", None): 6})
    draws = [drawn(pool, Shots(each_class=1, seed=s), rest=True)[0] for s in range(300)]
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
    problem = f"has 3 examples, `shots` asks for {count}{why}; give {most} at most$"
    pool = of_classes({("a", None): 9, ("b", None): 3})
    with pytest.raises(RowError, match=f"^class 'b' {problem}"):
        drawn(pool, Shots(each_class=count), rest=rest)
    assert len(drawn(pool, Shots(each_class=most), rest=rest)[0]) == 2 * most
    of_task = of_classes({("a", "s"): 9, ("b", "s"): 9, ("b", "t"): 3})
    with pytest.raises(RowError, match=f"^class 'b' of subtask 't' {problem}"):
        drawn(of_task, Shots(each_class=count), rest=rest)


def test_too_few_groups_are_an_error_with_the_numbers() -> None:
    pool = of_groups({"s": 5, "t": 2})
    problem = r"^subtask 't' has 2 groups, `train_groups` asks for {}{}; give 1 at most$"
    with pytest.raises(RowError, match=problem.format(3, "")):
        drawn(pool, Shots(groups=3), rest=True)
    with pytest.raises(RowError, match=problem.format(2, ", which leaves none for testing")):
        drawn(pool, Shots(groups=2), rest=True)
    assert len(drawn(pool, Shots(groups=2), rest=False)[0]) == 16
    with pytest.raises(RowError, match=r"^the file has 2 groups, `train_groups` asks for 3"):
        drawn(of_groups({None: 2}), Shots(groups=3), rest=True)


def test_what_cannot_be_drawn_is_named() -> None:
    pool = [example("x"), example("y"), example("z", None)]
    with pytest.raises(RowError, match=r"^example 'z' has no label, so its class is unknown"):
        drawn(pool, Shots(each_class=1), rest=True)
    with pytest.raises(RowError, match=r"^example 'x' has no group; .* `shots`$"):
        drawn(pool, Shots(groups=1), rest=True)
    with pytest.raises(ValueError, match=r"^Shots has neither each_class nor groups"):
        drawn(pool, Shots(), rest=True)
    with pytest.raises(ValueError, match=r"^`shots` is 0, expected at least 1$"):
        drawn(pool[:2], Shots(each_class=0), rest=False)
    with pytest.raises(ValueError, match=r"^`train_groups` is -1, expected at least 1$"):
        drawn(of_groups({None: 6}), Shots(groups=-1), rest=False)


@pytest.mark.parametrize("seed", range(6))
def test_a_group_of_two_subtasks_is_drawn_once_and_leaves_a_rest(seed: int) -> None:
    pool = [
        example(f"{g}{task}{label}", label, task, g)
        for g in ("g1", "g2", "g3")
        for task in "xy"
        for label in "ab"
    ]
    train, rest = drawn(pool, Shots(groups=1, seed=seed), rest=True)
    assert (len(train), len(rest)) == (4, 8)
    with pytest.raises(RowError, match=r"^subtask 'x' with 'y' has 3 groups, `train_groups` asks"):
        drawn(pool, Shots(groups=3, seed=seed), rest=True)


def test_a_class_of_one_is_no_pool() -> None:
    with pytest.raises(RowError, match=r"none for testing; pass training examples as `train`$"):
        drawn([example("x")], Shots(each_class=1), rest=True)
