import pytest

from savs.datasets import Example, RowError, check_splits


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
            "^train example 'train-b-None' has no subtask, train example 'train-a",
        ),
        (("a", "b"), ("a", "at"), "^test example 'test-a-t' has a subtask, train example"),
        (("as", "bs"), ("a",), "^test example 'test-a-None' has no subtask, train example"),
    ],
)
def test_every_row_has_a_subtask_or_none(
    train: tuple[str, ...], test: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(RowError, match=problem):
        check_splits([example("train", *t) for t in train], [example("test", *t) for t in test])


def test_a_training_split_without_examples_is_refused() -> None:
    with pytest.raises(RowError, match="train"):
        check_splits([], [example("test", "a")])
