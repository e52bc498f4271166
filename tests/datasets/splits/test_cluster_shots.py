"""Examples drawn in whole clusters."""

from collections import Counter

import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from savs.datasets import Example, RowError, Shots
from savs.datasets.splits.shots import draw_clusters


def pool_of(text: str) -> tuple[list[Example], list[str]]:
    """Read `a1 b1 a2`: an example of class a in cluster 1, of b in cluster 1, of a in cluster 2."""
    words = text.split()
    examples = [Example(str(n), "test", n, word[0], "?") for n, word in enumerate(words)]
    return examples, [word[1:] for word in words]


def drawn(text: str, shots: Shots) -> str:
    examples, clusters = pool_of(text)
    trains = draw_clusters(examples, clusters, shots)
    return " ".join(word for word, train in zip(text.split(), trains, strict=True) if train)


@given(st.lists(st.sampled_from("ab"), min_size=8, max_size=20), st.integers(0, 50))
def test_single_examples_are_drawn_as_extract_draws_them(labels: list[str], seed: int) -> None:
    assume(min(labels.count("a"), labels.count("b")) >= 3)
    examples, clusters = pool_of(" ".join(f"{label}{n}" for n, label in enumerate(labels)))
    train, _ = Shots(2, seed=seed).draw(examples, test_the_rest=True)
    trains = draw_clusters(examples, clusters, Shots(2, seed=seed))
    assert [e.id for e, t in zip(examples, trains, strict=True) if t] == [e.id for e in train]


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
def test_clusters_give_no_more_than_they_must(seed: int) -> None:
    # cluster 1 has three of a; the others can give exactly two, so it is never drawn
    chosen = drawn("a1 a1 a1 a2 a3 a4 b5 b6 b7", Shots(2, seed=seed)).split()
    assert Counter(word[0] for word in chosen) == {"a": 2, "b": 2}
    assert "a1" not in chosen
    # of a there are sets of 4, 3 and 3; two are asked for, so a set of 3 trains, 1 too many
    chosen = drawn("a1 a1 a1 a1 a2 a2 a2 a3 a3 a3 b4 b5 b6", Shots(2, seed=seed)).split()
    assert Counter(word[0] for word in chosen) == {"a": 3, "b": 2}


def test_other_seeds_draw_others() -> None:
    text = " ".join(f"{label}{n}{label}" for n in range(9) for label in "ab")
    assert len({drawn(text, Shots(2, seed=seed)) for seed in range(5)}) == 5
    assert drawn(text, Shots(2, seed=1)) == drawn(text, Shots(2, seed=1))


@pytest.mark.parametrize(
    ("text", "shots", "message"),
    [
        ("a1 a2 b3 b4 b5", 3, "class 'a' has 2 examples, --shots asks for 3; give 1 at most"),
        ("a1 a2 b3 b4 b5", 2, "asks for 2, which leaves none for testing; give 1 at most"),
        ("a1 b2 b3", 1, "class 'a' has 1 examples, .*; add examples, or drop its rows"),
        ("a1 a1 b1 b2 b3", 1, "class 'a' has 2 examples, and all of them share a group or"),
    ],
)
def test_too_few_examples_are_counted(text: str, shots: int, message: str) -> None:
    with pytest.raises(RowError, match=message):
        drawn(text, Shots(shots))
    with pytest.raises(RowError, match="example 'e' has no label"):
        draw_clusters([Example("e", "test", 0, None, "?")], ["0"], Shots(1))


def test_groups_are_counted_a_subtask() -> None:
    examples = [
        Example(f"{task}{n}{r}", "test", 0, "ab"[r], "?", group=f"{task}{n}", subtask=task)
        for task in "xy"
        for n in range(4)
        for r in range(2)
    ]
    clusters = [str(e.group) for e in examples]
    trains = draw_clusters(examples, clusters, Shots(groups=2, seed=3))
    train, _ = Shots(groups=2, seed=3).draw(examples, test_the_rest=True)
    assert [e.id for e, t in zip(examples, trains, strict=True) if t] == [e.id for e in train]
    assert Counter(e.subtask for e in train) == {"x": 4, "y": 4}
