"""Leaks: test examples that repeat a training example, or share a medium with one.

Media are compared by content where their digests are known, else by name; prompts byte for byte. An
example without media is its prompt, unless that says nothing: it is empty, or training examples of
different labels have it. Such an example equals no other, and whether it leaks cannot be told.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

REPEATED = "repeated"
"""Kind of leak: the same media in the same order and the same prompt as a training example."""
SHARED = "shared medium"
"""Kind of leak: a medium of a training example, under another prompt."""
NAMED = 3
"""Examples that a summary names."""


@dataclass(frozen=True, slots=True)
class Leaks:
    """What the test split shares with the training split."""

    kinds: tuple[str | None, ...]
    """`REPEATED`, `SHARED` or None for each test example, in order."""
    trained: int
    """Number of training examples that the test split repeats."""
    train: int
    """Number of training examples."""
    sharing: tuple[bool, ...]
    """Whether each test example has a medium that training has."""
    groups: tuple[str | None, ...]
    """Group of each test example."""
    ids: tuple[str, ...]
    """Id of each test example."""
    untold: int = 0
    """Number of test examples without media and without a prompt of their own."""

    def __bool__(self) -> bool:
        return any(self.kinds)

    def count(self, kind: str) -> int:
        """Return how many test examples leak in this way."""
        return sum(found == kind for found in self.kinds)

    def dropped(self) -> list[bool]:
        """Return which test examples leak, or share a group with one that does."""
        tainted = {g for g, kind in zip(self.groups, self.kinds, strict=True) if kind and g}
        return [
            kind is not None or group in tainted
            for kind, group in zip(self.kinds, self.groups, strict=True)
        ]

    def summary(self) -> list[str]:
        """Return one line for each kind of leak that there is."""
        lines = []
        if repeated := self.count(REPEATED):
            lines.append(
                f"leak: {self.trained} of {self.train} training examples are also in the test"
                f" split, as {repeated} test examples{self._groups(REPEATED)}"
                f" ({self._named(REPEATED)})"
            )
        if self.count(SHARED):
            sharing = [i for i, shares in zip(self.ids, self.sharing, strict=True) if shares]
            lines.append(
                f"leak: {len(sharing)} test examples share an image with a training example"
                f" ({_first(sharing)})"
            )
        if self.untold:
            lines.append(
                f"leaks cannot be told for {self.untold} of {len(self.ids)} test examples: they"
                " have no media, and no prompt of their own"
            )
        return lines

    def _groups(self, kind: str) -> str:
        pairs = list(zip(self.groups, self.kinds, strict=True))
        touched = {group for group, found in pairs if group and found == kind}
        wholly = touched - {group for group, found in pairs if found != kind}
        return f" in {len(touched)} groups, {len(wholly)} of them completely" if touched else ""

    def _named(self, kind: str) -> str:
        return _first([i for i, found in zip(self.ids, self.kinds, strict=True) if found == kind])


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (" ..." if len(names) > NAMED else "")


def find_leaks(train: pl.DataFrame, test: pl.DataFrame) -> Leaks:
    """Compare test examples with training examples.

    Parameters
    ----------
    train, test
        One row an example with `id`, `prompt`, `media` (list of names), `media_sha256` (list of
        digests, empty where they are unknown); for the training examples `label`, for the test
        examples `group`.
    """
    trained, tested = _keys(train), _keys(test)
    silent = _silent_prompts(trained, train["label"])
    whole = {(media, prompt) for media, prompt in trained if media or prompt not in silent}
    media = {medium for key, _ in trained for medium in key}
    sharing = [bool(media.intersection(names)) for names, _ in tested]
    kinds = [
        REPEATED if key in whole else SHARED if shares else None
        for key, shares in zip(tested, sharing, strict=True)
    ]
    there = set(tested)
    return Leaks(
        kinds=tuple(kinds),
        trained=sum(key in there and key in whole for key in trained),
        train=len(trained),
        sharing=tuple(sharing),
        groups=tuple(test["group"]),
        ids=tuple(test["id"]),
        untold=sum(not names and prompt in silent for names, prompt in tested),
    )


def _silent_prompts(
    trained: Sequence[tuple[tuple[str, ...], str]], labels: Iterable[str]
) -> set[str]:
    """Return prompts that tell nothing of an example without media."""
    first: dict[str, str] = {}
    silent = {""}
    for (media, prompt), label in zip(trained, labels, strict=True):
        if not media and first.setdefault(prompt, label) != label:
            silent.add(prompt)
    return silent


def _keys(examples: pl.DataFrame) -> list[tuple[tuple[str, ...], str]]:
    columns: Iterable[Sequence[Any]] = examples.select(
        "media", "media_sha256", "prompt"
    ).iter_rows()
    return [(tuple(digests or names), prompt) for names, digests, prompt in columns]
