"""Checks of labels: what a split needs, labels that training lacks, and what looks doubtful."""

import difflib
import math
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence

import polars as pl

from savs.datasets.errors import RowError
from savs.datasets.example import Example, first_few, of_subtask
from savs.datasets.rows.label_kinds import A_CLASS_EACH, CLASS, LabelKind, Labels

UNEVEN = 10
"""Examples of the most frequent class for one of the rarest, from which this is named."""
NAMED = 3
"""Examples that a line names."""


def check_splits(
    train: Sequence[Example], test: Sequence[Example], labels: Labels = A_CLASS_EACH
) -> None:
    """Check that the training examples have at least two classes in each subtask, or two numbers.

    Parameters
    ----------
    train
        Labelled examples.
    test
        Examples that all have a label, or none has.
    labels
        What labels are; by default a class each.

    Raises
    ------
    RowError
        There are no training examples, none has the positive class, a subtask has only one class or
        has test examples but no training examples, or only some examples have a subtask.
    """
    if not train:
        raise RowError("there are no training examples; pass at least one of each class")
    hidden = all(example.label is None for example in test)
    for example in (*train, *test):
        if example.label is None and (example.split == "train" or not hidden):
            raise RowError(
                f"{example.split} example {example.id!r} has no label; every training example needs"
                f" one, and either all test examples or none{labels.kind.none_of_them(labels.form)}"
            )
        if (example.subtask is None) != (train[0].subtask is None):
            raise RowError(
                f"{example.split} example {example.id!r} has"
                f" {'no' if example.subtask is None else 'a'} subtask, unlike train example"
                f" {train[0].id!r}; give every row a subtask, or none"
            )
    classes = _classes(train)
    ids = f"from {train[0].id!r} to {train[-1].id!r}"
    for subtask, texts in classes.items():
        if len(texts) < 2:
            raise RowError(labels.kind.same(texts.pop(), of_subtask(subtask), ids))
    positive = labels.form.get("positive")
    if positive is not None and not any(positive in texts for texts in classes.values()):
        known = sorted(set().union(*classes.values()))
        raise RowError(
            f"no training example has the positive class {positive!r}, {ids}; they have"
            f" {first_few(map(repr, known), NAMED)}: correct `positive`"
        )
    for example in test:
        if example.subtask not in classes:
            raise RowError(
                f"test example {example.id!r} belongs to subtask {example.subtask!r}, which has no"
                f" training examples; the training file has {sorted(map(str, classes))}"
            )


def _classes(train: Sequence[Example]) -> dict[str | None, set[str]]:
    classes: dict[str | None, set[str]] = {}
    for example in train:
        if example.label is not None:
            classes.setdefault(example.subtask, set()).add(example.label)
    return classes


def unknown_labels(
    train: Sequence[Example],
    test: Sequence[Example],
    kind: LabelKind = CLASS,
    counts: Sequence[int] | None = None,
) -> list[str]:
    """Return one line for each test label that no training example has, of numbers for none.

    `kind` is what labels are; each test example stands for as many as `counts` says, by default for
    itself.

    Examples
    --------
    >>> def example(split, label):
    ...     return Example(id=label, split=split, index=0, label=label, prompt="?")
    >>> unknown_labels([example("train", "cat")], [example("test", "Cat ")])
    ["test label 'Cat ' (1 example) is in no training example (did you mean 'cat'?)"]
    """
    classes = {
        subtask: {name for label in labels for name in kind.names(label)}
        for subtask, labels in _classes(train).items()
    }
    unknown: Counter[tuple[str | None, str]] = Counter()
    for example, count in zip(test, counts or [1] * len(test), strict=True):
        for label in [] if example.label is None else kind.names(example.label):
            if label not in classes.get(example.subtask, ()):
                unknown[example.subtask, label] += count
    lines = []
    for (subtask, label), count in unknown.items():
        known = {name.strip().casefold(): name for name in sorted(classes.get(subtask, ()))}
        near = difflib.get_close_matches(label.strip().casefold(), known, n=1, cutoff=0.8)
        hint = f" (did you mean {known[near[0]]!r}?)" if near else ""
        who = f"test label {label!r}{of_subtask(subtask)} ({_examples(count)})"
        lines.append(f"{who} is in no training example{hint}")
    return lines


def label_doubts(
    examples: pl.DataFrame, split: str = "train", kind: LabelKind = CLASS
) -> list[str]:
    """Return one line for each thing that is doubtful about labelled examples.

    Named are labels that differ by case, spaces or the form of a number alone (`Cat` and `cat `,
    `1` and `1.0`); equal media and prompts under several labels, or several times under one; and
    classes of which the most frequent has `UNEVEN` times as many examples as the rarest. Subtasks
    are looked at one by one. Media are equal by content where digests are known, else by name.
    Examples without media are compared where their prompt has one label. Of the split `test`
    only labels are doubtful: examples that are there again and uneven classes are not. Of many
    labels rare ones are not doubtful either, of numbers repeated media alone are. Reads the columns
    `id`, `subtask`, `label`, `prompt`, `media` and `media_sha256` (empty lists: digests are not
    known).

    Examples
    --------
    >>> rows = [("r1", None, "cat", "?", ["a"], []), ("r2", None, "Cat", "?", ["b"], [])]
    >>> names = ["id", "subtask", "label", "prompt", "media", "media_sha256"]
    >>> label_doubts(pl.DataFrame(rows, schema=names, orient="row"))
    ["labels 'cat' (1 example) and 'Cat' (1 example) differ by case or spaces alone: one class?"]
    """
    labelled = examples.filter(pl.col("label").is_not_null())
    lines: list[str] = []
    for (subtask,), part in labelled.group_by("subtask", maintain_order=True):
        where = "" if subtask is None else f"subtask {subtask!r}: "
        mixed, again = _repeats(part)
        labels = [name for text in part["label"] for name in kind.names(text)]
        doubts = [*_alike(labels), *mixed]
        if split == "train":
            doubts += [*again, *(_uneven(labels) if kind.are_classes else ())]
        else:
            where = f"{split}: {where}"
        lines += [where + line for line in doubts]
    return lines


def refuse_doubts(lines: Sequence[str], *, strict: bool) -> list[str]:
    """Return the lines; RowError that lists them if there are any and `strict` is set."""
    if lines and strict:
        raise RowError(
            "the labelled examples are doubtful, and `strict` allows no doubt:\n  "
            + "\n  ".join(lines)
            + "\ncorrect the input, or leave out `strict`"
        )
    return list(lines)


def _alike(labels: Iterable[str]) -> Iterator[str]:
    counts = Counter(labels)
    forms: dict[Hashable, list[str]] = {}
    for label in counts:
        forms.setdefault(_form(label), []).append(label)
    for alike in forms.values():
        if len(alike) > 1:
            is_number = isinstance(_form(alike[0]), float)
            how = "are the same number" if is_number else "differ by case or spaces alone"
            names = " and ".join(f"{label!r} ({_examples(counts[label])})" for label in alike)
            yield f"labels {names} {how}: one class?"


def _form(label: str) -> Hashable:
    """Return what labels share that a user may have meant to be the same."""
    text = " ".join(unicodedata.normalize("NFKC", label).split()).casefold()
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _repeats(examples: pl.DataFrame) -> tuple[list[str], list[str]]:
    """Return lines about what is there under several labels, and about what is there again."""
    places: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    columns = examples.select("id", "label", "prompt", "media", "media_sha256").iter_rows()
    for name, label, prompt, media, digests in columns:
        if media or prompt:
            places.setdefault((prompt, *(digests or media)), []).append((name, label))
    tied = [(media, rows) for (_, *media), rows in places.items() if len(rows) > 1]
    mixed = [rows for media, rows in tied if media and _labels(rows) > 1]
    again = [rows for _, rows in tied if _labels(rows) == 1]
    lines: tuple[list[str], list[str]] = ([], [])
    if mixed:
        named = ("; ".join(f"{name} is {label!r}" for name, label in rows) for rows in mixed)
        often = "once" if len(mixed) == 1 else f"{len(mixed):,} times"
        which = first_few(named, NAMED)
        lines[0].append(f"the same media and prompt have several labels, {often}: {which}")
    if again:
        count = sum(len(rows) - 1 for rows in again)
        named = (f"{rows[1][0]} as {rows[0][0]}" for rows in again)
        verb, which = "repeats" if count == 1 else "repeat", first_few(named, NAMED)
        lines[1].append(f"{_examples(count)} {verb} an earlier one with the same label: {which}")
    return lines


def _labels(rows: Sequence[tuple[str, str]]) -> int:
    return len({label for _, label in rows})


def _uneven(labels: Iterable[str]) -> Iterator[str]:
    counts = Counter(labels).most_common()
    (often, most), (rare, fewest) = counts[0], counts[-1]
    if most >= UNEVEN * fewest:
        yield f"{rare!r} has only {_examples(fewest)} ({often!r} has {most:,}): add more"


def _examples(count: int) -> str:
    return f"{count:,} example" + ("" if count == 1 else "s")
