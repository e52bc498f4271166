from dataclasses import replace

import pytest

from savs.datasets import Example, RowError, check_splits, unknown_labels


def example(split: str, label: str, subtask: str | None = None) -> Example:
    return Example(f"{split}-{label}-{subtask}", split, 0, label, "?", subtask=subtask)


def test_splits_that_can_be_told_apart_pass() -> None:
    train = [example("train", label, task) for task in "st" for label in "ab"]
    check_splits(train, [example("test", "unseen", "t")])
    check_splits([example("train", "a"), example("train", "b")], [example("test", "a")])


def test_one_class_is_not_enough() -> None:
    with pytest.raises(RowError, match=r"^the training examples have one class only, 'a';"):
        check_splits([example("train", "a"), example("train", "a")], [example("test", "b")])


def test_one_class_is_not_enough_in_any_subtask() -> None:
    train = [example("train", *pair) for pair in ("as", "bs", "at", "at")]
    with pytest.raises(RowError, match="of subtask 't' have one class only, 'a';"):
        check_splits(train, [])


def test_a_tested_subtask_needs_training_examples() -> None:
    train = [example("train", *pair) for pair in ("as", "bs")]
    problem = r"'test-a-t' is of subtask 't', which has no training examples; .* \['s'\]"
    with pytest.raises(RowError, match=problem):
        check_splits(train, [example("test", "a", "s"), example("test", "a", "t")])


@pytest.mark.parametrize(
    ("train", "test", "problem"),
    [
        (
            ("as", "b"),
            (),
            "^train example 'train-b-None' has no subtask, unlike train example 'train-a",
        ),
        (("a", "b"), ("a", "at"), "^test example 'test-a-t' has a subtask, unlike train example"),
        (("as", "bs"), ("a",), "^test example 'test-a-None' has no subtask, unlike train example"),
    ],
)
def test_every_row_has_a_subtask_or_none(
    train: tuple[str, ...], test: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(RowError, match=problem):
        check_splits([example("train", *t) for t in train], [example("test", *t) for t in test])


def test_a_training_split_without_examples_is_refused() -> None:
    with pytest.raises(RowError, match=r"^there are no training examples; pass"):
        check_splits([], [example("test", "a")])


def unlabelled(name: str, subtask: str | None = None) -> Example:
    return Example(name, "test", 0, None, "?", subtask=subtask)


def test_a_test_split_may_hide_all_its_labels() -> None:
    train = [example("train", label, task) for task in "st" for label in "ab"]
    check_splits(train, [unlabelled("x", "s"), unlabelled("y", "t")])
    assert unknown_labels(train, [unlabelled("x", "s")]) == []


def test_a_test_split_hides_all_its_labels_or_none() -> None:
    train = [example("train", "a"), example("train", "b")]
    with pytest.raises(
        RowError, match=r"^test example 'x' has no label; .* all test examples or none"
    ):
        check_splits(train, [example("test", "a"), unlabelled("x")])


def test_a_training_example_has_a_label() -> None:
    train = [example("train", "a"), example("train", "b"), replace(unlabelled("x"), split="train")]
    for test in ([example("test", "a")], [unlabelled("y")]):
        with pytest.raises(
            RowError, match=r"^train example 'x' has no label; every training example"
        ):
            check_splits(train, test)


@pytest.mark.parametrize(
    ("label", "hint"),
    [
        ("cat ", " (did you mean 'Cat'?)"),
        ("CAT", " (did you mean 'Cat'?)"),
        ("hallucinatoin", " (did you mean 'hallucination'?)"),
        ("horse", ""),
    ],
)
def test_a_test_label_that_training_does_not_have_is_named(label: str, hint: str) -> None:
    train = [example("train", known) for known in ("Cat", "hallucination")]
    test = [example("test", "Cat"), example("test", label)]
    line = f"test label {label!r} (1 example) is in no training example{hint}"
    assert unknown_labels(train, test) == [line]


def test_unknown_labels_are_counted_in_each_subtask() -> None:
    train = [example("train", *pair) for pair in ("as", "bs", "at", "ct")]
    test = [example("test", *pair) for pair in ("as", "cs", "bt", "bt", "cs", "cs", "zt")]
    assert unknown_labels(train, test) == [
        "test label 'c' of subtask 's' (3 examples) is in no training example",
        "test label 'b' of subtask 't' (2 examples) is in no training example",
        "test label 'z' of subtask 't' (1 example) is in no training example",
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_a_test_split_with_some_labels_is_refused_in_any_order(order: int) -> None:
    train = [example("train", "a"), example("train", "b")]
    test = [Example("hidden", "test", 0, None, "?"), example("test", "a")][::order]
    with pytest.raises(RowError, match=r"^test example 'hidden' has no label"):
        check_splits(train, test)


def test_a_label_of_a_subtask_that_training_lacks_is_named_too() -> None:
    (line,) = unknown_labels([example("train", "a", "s")], [example("test", "a", "t")])
    assert line == "test label 'a' of subtask 't' (1 example) is in no training example"
