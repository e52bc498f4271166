"""Many labels of a row: the text that a store keeps of them, and what it says.

The text is canonical JSON. `["cat","dog"]` are the labels that are there, sorted: all others are
absent. Where some are unknown it is an object, `{"cat":true,"dog":null}`, sorted by label: `true`
are there, `null` are unknown, and all others are absent.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from savs.datasets.label_texts import states_of, text_of
from savs.foundation.arrays import Array

PRESENT, ABSENT, UNKNOWN = 1, 0, -1
"""What a row says of a label."""
SIDES = ("absent", "present")
"""The classes of the task that a label is."""


def states_unknown(text: str | None) -> list[str]:
    """Return the labels that are unknown in a canonical text; none without a text.

    >>> states_unknown('{"cat":true,"dog":null}')
    ['dog']
    """
    return [] if text is None else [n for n, state in states_of(text).items() if state is None]


def with_label(text: str, label: str, *, is_there: bool) -> str:
    """Return a canonical text in which a label is there, or absent.

    >>> with_label('["cat"]', "ant", is_there=True), with_label('["cat"]', "cat", is_there=False)
    ('["ant","cat"]', '[]')
    """
    return text_of({**states_of(text), label: is_there})


def named_labels(texts: Iterable[str]) -> list[str]:
    """Return all labels that canonical texts name, in order of first appearance."""
    return list(dict.fromkeys(name for text in dict.fromkeys(texts) for name in states_of(text)))


def count_labels(texts: Iterable[str | None]) -> Counter[str]:
    """Return in how many rows each label is there, in order of first appearance."""
    return Counter(
        name
        for text in texts
        if text is not None
        for name, state in states_of(text).items()
        if state
    )


@dataclass(frozen=True, slots=True)
class LabelTable:
    """What rows say of some labels."""

    states: Array
    """`(labels, rows)` int8: `PRESENT`, `ABSENT` or `UNKNOWN`."""
    others: Array
    """`(rows,)` number of labels that are there and not among these."""


def label_table(texts: pl.Series, labels: Sequence[str]) -> LabelTable:
    """Return what rows say of some labels, from their canonical texts.

    A row without labels, null, says nothing of any.

    >>> label_table(pl.Series(['["a"]', '{"a":null,"b":true}', None]), ["a", "b"]).states.tolist()
    [[1, -1, -1], [0, 1, -1]]
    """
    number = {name: place for place, name in enumerate(labels)}
    states = np.full((len(labels), len(texts)), ABSENT, np.int8)
    others = np.zeros(len(texts), np.int64)
    for row, text in enumerate(texts):
        if text is None:
            states[:, row] = UNKNOWN
            continue
        for name, state in states_of(text).items():
            if name in number:
                states[number[name], row] = UNKNOWN if state is None else PRESENT
            else:
                others[row] += state is True
    return LabelTable(states, others)
