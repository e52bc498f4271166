"""What is kept of the model's own answer beside the heads, for a run and for one batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from savs.foundation.arrays import Array
from savs.stores.format.layout import GENERATED_CHARACTERS, SPLITS

ANSWERS = "answers"
"""Output of `--answers labels`: `(rows, labels)` float32 log-likelihoods."""
ICL = "icl"
"""Output of `--icl-shots`: as `answers`, behind demonstrations."""
GENERATED = "generated"
"""Output of `--answers generate`: `(rows, GENERATED_CHARACTERS)` int32 code points."""
MOST_GENERATED = 16
"""Tokens that are generated at most."""
CELLS = 4096
"""Positions of a cache that labels run behind at once, where no run has measured more."""
TRIED = 8
"""Labels of a check."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a run keeps of the model's own answers; false where that is nothing."""

    tokens: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Label -> its tokens as they follow a prompt, the end of turn last, see `label_tokens`."""
    labels_of: Mapping[str | None, tuple[int, ...]] = field(default_factory=dict)
    """Subtask -> its labels, by their place in `tokens`. Others are not asked about."""
    ends: tuple[int, ...] = ()
    """Tokens that end what the model generates; without any, nothing is generated."""
    demonstrated: Mapping[str, Any] = field(default_factory=dict)
    """What a store says of demonstrations; nothing where there are none."""
    whole: bool = False
    """Run each prompt again with each label, because caches change this model's answers."""
    cells: int = CELLS
    """Rows times positions of a cache behind which labels run at once, at most."""

    def __bool__(self) -> bool:
        """Return whether anything is kept."""
        return bool(self.tokens or self.ends)

    def facts(self) -> dict[str, Any]:
        """Return what a store says of its outputs."""
        labels = {label: list(tokens) for label, tokens in self.tokens.items()}
        generated = {"tokens": MOST_GENERATED, "ends": list(self.ends)}
        found = {ANSWERS: labels, ICL: dict(self.demonstrated), GENERATED: generated}
        return {name: facts for name, facts in found.items() if name in self.room(0)}

    def room(self, rows: int) -> dict[str, Array]:
        """Return the outputs of rows that are not run yet: NaN, and no text."""
        found: dict[str, Array] = {}
        if self.tokens:
            found[ANSWERS] = np.full((rows, len(self.tokens)), np.nan, np.float32)
        if self.demonstrated:
            found[ICL] = found[ANSWERS].copy()
        if self.ends:
            found[GENERATED] = np.zeros((rows, GENERATED_CHARACTERS), np.int32)
        return found

    def context_of(self, split: str, subtask: str | None) -> int:
        """Return the number of the demonstrations of a row, -1 for none: those of training rows."""
        if split != "test" or not self.demonstrated or subtask not in self.labels_of:
            return -1
        return list(self.labels_of).index(subtask)

    def labels_for(self, split: str, subtask: str | None) -> tuple[int, ...]:
        """Return the labels that a row is asked about: none of the texts that classes are."""
        return self.labels_of.get(subtask, ()) if split in SPLITS else ()

    def generates_for(self, split: str) -> bool:
        """Return whether a row's answer is generated: none behind the texts that classes are."""
        return bool(self.ends) and split in SPLITS

    def asked(self, labels: Sequence[tuple[int, ...]], *, generates: bool = True) -> "Asked":
        """Return what is asked of a batch whose prompts have these labels.

        Without `generates` nothing is generated, whatever the run keeps.
        """
        return Asked(self if generates else replace(self, ends=()), tuple(labels))

    def tried(self, count: int) -> "Asked":
        """Return what is asked of a few prompts that are tried: the first labels alone."""
        return self.asked([tuple(range(min(TRIED, len(self.tokens))))] * count)

    def suffix_tokens(self, subtask: str | None) -> int:
        """Return the tokens that run behind a prompt of a subtask for its labels."""
        texts = list(self.tokens.values())
        return sum(len(texts[place]) - 1 for place in self.labels_of.get(subtask, ()))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the prompts of one batch beside their heads; false for nothing."""

    answers: Answers
    labels: tuple[tuple[int, ...], ...]
    """The labels of each prompt, by their place in `Answers.tokens`."""

    def __bool__(self) -> bool:
        """Return whether anything is asked."""
        return any(self.labels) or bool(self.answers.ends)

    @property
    def texts(self) -> list[tuple[int, ...]]:
        """The tokens of all labels of the run."""
        return list(self.answers.tokens.values())

    def pairs(self) -> list[tuple[int, int]]:
        """Return each prompt with each of its labels, labels of one length side by side."""
        texts = self.texts
        found = [(row, label) for row, own in enumerate(self.labels) for label in own]
        return sorted(found, key=lambda pair: (len(texts[pair[1]]), pair))


NO_ANSWERS = Answers()
NOTHING = Asked(NO_ANSWERS, ())


def as_code_points(texts: Sequence[str]) -> Array:
    """Return texts as the output `generated` holds them, cut at `GENERATED_CHARACTERS`.

    Examples
    --------
    >>> as_code_points(["ab", ""])[:, :3].tolist()
    [[97, 98, 0], [0, 0, 0]]
    """
    clean = [text.replace("\0", "") for text in texts]
    whole = np.array(clean, dtype=f"<U{GENERATED_CHARACTERS}")
    return whole.view("<i4").reshape(len(clean), GENERATED_CHARACTERS)
