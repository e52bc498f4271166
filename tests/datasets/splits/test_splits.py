import pytest

from savs.datasets import Example, RowError, check_splits, unknown_labels


def examples(split: str, *words: str) -> list[Example]:
    """Examples of class and subtask, each a letter; `-` hides the label."""
    return [
        Example(f"{split}-{word}", split, 0, None if word[0] == "-" else word[0], "?",
                subtask=word[1:] or None)
        for word in words
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("train", "test"), [("as bs at bt", "xt"), ("a b", "a"), ("as bs at bt", "-s -t"), ("a b", "")]
)
def test_splits_that_can_be_told_apart_pass(train: str, test: str) -> None:
    check_splits(examples("train", *train.split()), examples("test", *test.split()))


@pytest.mark.parametrize(
    ("train", "test", "problem"),
    [
        ("", "a", "^there are no training examples; pass"),
        ("a a", "b", "^the training examples have one class only, 'a';"),
        ("as bs at at", "", "of subtask 't' have one class only, 'a';"),
        (
            "as bs",
            "as at",
            r"'test-at' belongs to subtask 't', which has no training examples; .*'s'",
        ),
        ("as b", "", "^train example 'train-b' has no subtask, unlike train example 'train-as'"),
        ("a b", "a at", "^test example 'test-at' has a subtask, unlike train example"),
        ("as bs", "a", "^test example 'test-a' has no subtask, unlike train example"),
        ("a b", "a -", "^test example 'test--' has no label; .* all test examples or none"),
        ("a b", "- a", "^test example 'test--' has no label; .* all test examples or none"),
        ("a b -", "a", "^train example 'train--' has no label; every training example"),
        ("a b -", "-", "^train example 'train--' has no label; every training example"),
    ],
)
def test_splits_that_cannot_be_told_apart_are_refused(train: str, test: str, problem: str) -> None:
    with pytest.raises(RowError, match=problem):
        check_splits(examples("train", *train.split()), examples("test", *test.split()))


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
    train, test = (
        [Example(name, split, 0, name, "?") for name in labels]
        for split, labels in (("train", ("Cat", "hallucination")), ("test", ("Cat", label)))
    )
    line = f"test label {label!r} (1 example) is in no training example{hint}"
    assert unknown_labels(train, test) == [line]


def test_unknown_labels_are_counted_in_each_subtask() -> None:
    train = examples("train", "as", "bs", "at", "ct")
    assert unknown_labels(train, examples("test", "-s")) == []
    test = examples("test", "as", "cs", "bt", "bt", "cs", "cs", "zt")
    assert unknown_labels(train, test) == [
        "test label 'c' of subtask 's' (3 examples) is in no training example",
        "test label 'b' of subtask 't' (2 examples) is in no training example",
        "test label 'z' of subtask 't' (1 example) is in no training example",
    ]
