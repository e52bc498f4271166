"""Checks of the training and the test split together."""

import difflib
from collections import Counter
from collections.abc import Sequence

from savs.datasets.errors import RowError
from savs.datasets.example import Example, of_subtask


def check_splits(train: Sequence[Example], test: Sequence[Example]) -> None:
    """Check that the training examples have at least two classes in each subtask.

    Parameters
    ----------
    train, test
        The examples of both splits.

    Raises
    ------
    RowError
        There are no training examples, a subtask has only one class or has test examples but no
        training examples, or only some examples have a subtask.
    """
    if not train:
        raise RowError("there are no training examples; pass at least one of each class")
    hidden = all(example.label is None for example in test)
    for example in (*train, *test):
        if example.label is None and (example.split == "train" or not hidden):
            raise RowError(
                f"{example.split} example {example.id!r} has no label; every training example needs"
                " one, and either all test examples or none"
            )
        if (example.subtask is None) != (train[0].subtask is None):
            raise RowError(
                f"{example.split} example {example.id!r} has"
                f" {'no' if example.subtask is None else 'a'} subtask, unlike train example"
                f" {train[0].id!r}; give every row a subtask, or none"
            )
    classes = _classes(train)
    for subtask, labels in classes.items():
        if len(labels) < 2:
            where = of_subtask(subtask)
            raise RowError(
                f"the training examples{where} have one class only, {labels.pop()!r}; a classifier"
                " needs at least two: add examples of another class"
            )
    for example in test:
        if example.subtask not in classes:
            raise RowError(
                f"test example {example.id!r} is of subtask {example.subtask!r}, which has no"
                f" training examples; the training file has {sorted(map(str, classes))}"
            )


def _classes(train: Sequence[Example]) -> dict[str | None, set[str]]:
    classes: dict[str | None, set[str]] = {}
    for example in train:
        if example.label is not None:
            classes.setdefault(example.subtask, set()).add(example.label)
    return classes


def unknown_labels(train: Sequence[Example], test: Sequence[Example]) -> list[str]:
    """Return one line for each test label that no training example has.

    Examples
    --------
    >>> def example(split, label):
    ...     return Example(id=label, split=split, index=0, label=label, prompt="?")
    >>> unknown_labels([example("train", "cat")], [example("test", "Cat ")])
    ["test label 'Cat ' (1 example) is in no training example (did you mean 'cat'?)"]
    """
    classes = _classes(train)
    unknown = Counter(
        (example.subtask, example.label)
        for example in test
        if example.label is not None and example.label not in classes.get(example.subtask, ())
    )
    lines = []
    for (subtask, label), count in unknown.items():
        known = {name.strip().casefold(): name for name in sorted(classes.get(subtask, ()))}
        near = difflib.get_close_matches(label.strip().casefold(), known, n=1, cutoff=0.8)
        hint = f" (did you mean {known[near[0]]!r}?)" if near else ""
        where = of_subtask(subtask)
        examples = f"{count} example" + ("s" if count > 1 else "")
        lines.append(f"test label {label!r}{where} ({examples}) is in no training example{hint}")
    return lines
