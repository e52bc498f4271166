"""Examples drawn in whole clusters."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from savs.datasets import Example, RowError, Shots


def pool_of(text: str, task: str | None = None) -> tuple[list[Example], list[str]]:
    """Read `a1 b1 a2`: an example of class a in cluster 1, of b in cluster 1, of a in cluster 2."""
    words = text.split()
    examples = [
        Example(str(n), "test", n, word[0], "?", subtask=task) for n, word in enumerate(words)
    ]
    return examples, [word[1:] for word in words]


def drawn(text: str, shots: Shots) -> str:
    examples, clusters = pool_of(text)
    train, _ = shots.split(examples, clusters)
    words = text.split()
    return " ".join(words[example.index] for example in train)


@given(st.lists(st.sampled_from("ab"), min_size=8, max_size=20), st.integers(0, 50))
def test_single_examples_are_drawn_as_from_a_training_file(labels: list[str], seed: int) -> None:
    assume(min(labels.count("a"), labels.count("b")) >= 3)
    examples, clusters = pool_of(" ".join(f"{label}{n}" for n, label in enumerate(labels)))
    train, rest = Shots(2, seed=seed).split(examples, clusters)
    assert [e.id for e in train] == [e.id for e in Shots(2, seed=seed).draw(examples)]
    assert sorted([*train, *rest], key=lambda e: e.index) == [
        replace(e, split="train") if e.id in {t.id for t in train} else e for e in examples
    ]


@pytest.mark.thorough
@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=10, max_size=40),
    st.integers(1, 3),
    st.integers(0, 9),
)
def test_clusters_are_whole_and_every_class_has_enough(
    rows: list[tuple[str, int]], shots: int, seed: int
) -> None:
    text = " ".join(f"{label}{cluster}" for label, cluster in rows)
    try:
        chosen = drawn(text, Shots(shots, seed=seed)).split()
    except RowError:
        reject()
    rest = list((Counter(text.split()) - Counter(chosen)).elements())
    assert {word[1:] for word in chosen}.isdisjoint(word[1:] for word in rest)
    for label in {word[0] for word in text.split()}:
        assert sum(word[0] == label for word in chosen) >= shots
        assert any(word[0] == label for word in rest)


@pytest.mark.parametrize("seed", range(6))
def test_a_cluster_that_would_give_too_many_waits(seed: int) -> None:
    # cluster 1 has three of a; the others can give exactly two, so it is never drawn
    chosen = drawn("a1 a1 a1 a2 a3 a4 b5 b6 b7", Shots(2, seed=seed)).split()
    assert Counter(word[0] for word in chosen) == {"a": 2, "b": 2}
    assert "a1" not in chosen


@pytest.mark.parametrize("seed", range(6))
def test_the_fewest_too_many_where_clusters_do_not_fit(seed: int) -> None:
    # of a there are sets of 4, 3 and 3; two are asked for, so a set of 3 trains, 1 too many
    chosen = drawn("a1 a1 a1 a1 a2 a2 a2 a3 a3 a3 b4 b5 b6", Shots(2, seed=seed)).split()
    assert Counter(word[0] for word in chosen) == {"a": 3, "b": 2}


@pytest.mark.parametrize("seed", range(6))
def test_what_a_class_has_too_many_of_already_is_no_surplus_of_a_cluster(seed: int) -> None:
    # b takes cluster 1, 2 too many. Then a can take cluster 3, with 3 too many and one more b, or
    # cluster 4, with 5 too many.
    words = ["b1"] * 4 + ["b2"] * 5 + ["a3"] * 5 + ["b3"] + ["a4"] * 7
    chosen = drawn(" ".join(words), Shots(2, seed=seed)).split()
    assert Counter(chosen) == {"b1": 4, "a3": 5, "b3": 1}


def test_other_seeds_draw_others() -> None:
    text = " ".join(f"{label}{n}{label}" for n in range(9) for label in "ab")
    assert len({drawn(text, Shots(2, seed=seed)) for seed in range(5)}) == 5
    assert drawn(text, Shots(2, seed=1)) == drawn(text, Shots(2, seed=1))


@pytest.mark.parametrize(
    ("text", "shots", "message"),
    [
        ("a1 a2 b3 b4 b5", 3, "class 'a' has 2 examples, `shots` asks for 3; give 1 at most"),
        ("a1 a2 b3 b4 b5", 2, "asks for 2, which leaves none for testing; give 1 at most"),
        ("a1 b2 b3", 1, "class 'a' has 1 examples, .*; pass training examples as `train`"),
        ("a1 a1 b1 b2 b3", 1, "class 'a' has 2 examples, which all share a group or"),
    ],
)
def test_too_few_examples_are_counted(text: str, shots: int, message: str) -> None:
    with pytest.raises(RowError, match=message):
        drawn(text, Shots(shots))


def test_groups_are_counted_a_subtask() -> None:
    examples = [
        Example(f"{task}{n}{r}", "test", 0, "ab"[r], "?", group=f"{task}{n}", subtask=task)
        for task in "xy"
        for n in range(4)
        for r in range(2)
    ]
    clusters = [str(e.group) for e in examples]
    train, _ = Shots(groups=2, seed=3).split(examples, clusters)
    assert [e.id for e in train] == [e.id for e in Shots(groups=2, seed=3).draw(examples)]
    assert Counter(e.subtask for e in train) == {"x": 4, "y": 4}


def test_an_example_without_a_label_cannot_be_drawn() -> None:
    with pytest.raises(RowError, match="example 'e' has no label"):
        Shots(1).split([Example("e", "test", 0, None, "?")], ["0"])
