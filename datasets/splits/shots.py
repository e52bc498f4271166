"""Few-shot examples drawn by a seed: so many a class, or so many groups, apart from the rest."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from savs.datasets.errors import RowError
from savs.datasets.example import Example
from savs.foundation.errors import ParameterError

Drawn = tuple[list[Example], list[Example]]
"""The training examples, and what is left; both in the order of the file."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many of what are drawn."""

    count: int
    what: str
    option: str
    test_the_rest: bool


@dataclass(frozen=True, slots=True)
class Shots:
    """How training examples are drawn; one of the two numbers is given."""

    each_class: int | None = None
    """Examples of each class, in each subtask."""
    groups: int | None = None
    """Whole groups of each subtask."""
    seed: int = 0

    def draw(self, pool: Sequence[Example], *, test_the_rest: bool) -> Drawn:
        """Draw training examples from a pool; a larger number with the same seed adds to them.

        Parameters
        ----------
        pool
            The examples to draw from.
        test_the_rest
            Whether something must be left of each class or subtask.

        Raises
        ------
        RowError
            The pool has too few examples of a class, or too few groups, or groups that drawing
            single examples would tear apart.
        """
        if self.groups is not None:
            wanted = Wanted(self.groups, "groups", "--train-groups", test_the_rest)
            return _draw(pool, wanted, self.seed, grouping(pool))
        if self.each_class is None:
            raise ParameterError("neither a number of examples a class nor of groups was given")
        groups = [example.group for example in pool if example.group is not None]
        if test_the_rest and len(set(groups)) < len(groups):
            raise RowError(
                f"the examples stand in groups ({groups[0]!r} first), and drawing single ones would"
                " tear these apart; draw whole groups with --train-groups"
            )
        wanted = Wanted(self.each_class, "examples", "--shots", test_the_rest)
        return _draw(pool, wanted, self.seed, class_of)


def class_of(example: Example) -> tuple[str, str]:
    """Return an example's stratum, its class in its subtask, and its id; RowError without label."""
    if example.label is None:
        raise RowError(f"example {example.id!r} has no label, so it cannot train; give --train")
    where = "" if example.subtask is None else f" of subtask {example.subtask!r}"
    return f"class {example.label!r}{where}", example.id


def grouping(pool: Sequence[Example]) -> Callable[[Example], tuple[str, str]]:
    """Return what names an example's stratum, the subtasks that its group is of, and its group."""
    subtasks: dict[str, dict[str | None, None]] = {}
    for example in pool:
        if example.group is None:
            raise RowError(f"example {example.id!r} is in no group; draw single ones with --shots")
        subtasks.setdefault(example.group, {})[example.subtask] = None

    def key_of(example: Example) -> tuple[str, str]:
        group = str(example.group)
        names = [repr(name) for name in subtasks[group] if name is not None]
        return f"subtask {' with '.join(names)}" if names else "the file", group

    return key_of


def _draw(
    pool: Sequence[Example],
    wanted: Wanted,
    seed: int,
    key_of: Callable[[Example], tuple[str, str]],
) -> Drawn:
    """Draw units of each stratum; `key_of` gives an example's stratum and its unit."""
    if wanted.count < 1:
        raise ParameterError(f"{wanted.option} is {wanted.count}, expected at least 1")
    strata: dict[str, dict[str, None]] = {}
    for example in pool:
        stratum, unit = key_of(example)
        strata.setdefault(stratum, {})[unit] = None
    chosen: set[str] = set()
    for stratum, units in strata.items():
        if len(units) < wanted.count + wanted.test_the_rest:
            short = ", which would leave none to test" if len(units) >= wanted.count else ""
            most = len(units) - wanted.test_the_rest
            remedy = f"give {most} at most" if most else "give the training examples with --train"
            raise RowError(
                f"{stratum} has {len(units)} {wanted.what}, {wanted.option} asks for"
                f" {wanted.count}{short}; {remedy}"
            )
        order = list(units)
        random.Random(f"savs shots {seed} {stratum}").shuffle(order)
        chosen.update(order[: wanted.count])
    train = [replace(e, split="train") for e in pool if key_of(e)[1] in chosen]
    return train, [example for example in pool if key_of(example)[1] not in chosen]
