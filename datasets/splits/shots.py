"""Few-shot training examples drawn by a seed: a number a class, groups, or whole clusters."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from savs.datasets.errors import RowError
from savs.datasets.example import Example, of_subtask
from savs.datasets.rows.label_kinds import CLASS, LabelKind
from savs.foundation.errors import ParameterError


@dataclass(frozen=True, slots=True)
class _Wanted:
    """How many units of each stratum are drawn: examples of each class, or groups of a subtask."""

    count: int
    unit: str
    """`examples` or `groups`, for error messages."""
    option: str
    """The option that gives `count`, for error messages."""
    keys_of: Callable[[Example], list[tuple[str, str]]]
    """Example -> its strata, each with its unit there: one, or of many labels one for each."""


@dataclass(frozen=True, slots=True)
class Shots:
    """How training examples are drawn; one of the two numbers is given."""

    each_class: int | None = None
    """Examples of each class, in each subtask."""
    groups: int | None = None
    """Whole groups of each subtask."""
    seed: int = 0
    """Seed of the draw: equal seeds draw equal examples."""
    kind: LabelKind = CLASS
    """What labels are. Of many, `each_class` of each label are drawn, at least, and as many
    examples without any label, if there are some."""

    def draw(self, pool: Sequence[Example]) -> list[Example]:
        """Draw from training examples; a larger number with the same seed adds to them.

        Raises
        ------
        RowError
            The pool has too few examples of a class, or too few groups.
        """
        wanted = self.wanted(pool)
        strata: dict[str, dict[str, None]] = {}
        for example in pool:
            for stratum, unit in wanted.keys_of(example):
                strata.setdefault(stratum, {})[unit] = None
        chosen: set[str] = set()
        for stratum, units in strata.items():
            if len(units) < wanted.count:
                raise _too_few(wanted, stratum, len(units), len(units), "add examples")
            chosen.update(self.shuffle(units, stratum)[: wanted.count])
        return [e for e in pool if any(unit in chosen for _, unit in wanted.keys_of(e))]

    def split(
        self, pool: Sequence[Example], clusters: Sequence[str]
    ) -> tuple[list[Example], list[Example]]:
        """Split a pool into training examples and the rest; no cluster is torn apart.

        From each class (or, for `groups`, each subtask) clusters are drawn by the seed until there
        are enough: first clusters that give no class more than was asked for; if these do not
        suffice, the cluster with the smallest surplus.

        Parameters
        ----------
        pool
            The examples to draw from.
        clusters
            The cluster of each example, see `cluster_ids`.

        Returns
        -------
        two lists
            The training examples, as such, and the others, both in the order of the pool.

        Raises
        ------
        RowError
            An example has no label, a class has too few examples, or none would be left to test.
        """
        wanted = self.wanted(pool)
        held = _contents(pool, clusters, wanted)
        totals: Counter[str] = Counter()
        for sizes in held.values():
            totals.update(sizes)
        chosen: set[str] = set()
        have: Counter[str] = Counter()

        def take(cluster: str) -> None:
            chosen.add(cluster)
            have.update(held[cluster])

        for stratum, total in totals.items():
            if total <= wanted.count:
                raise _too_few(
                    wanted, stratum, total, total - 1, "pass training examples as `train`"
                )
            # Whole clusters first that overshoot nothing, in the order of the seed. If these end
            # before there are enough, one too large must be taken: that which adds least beyond
            # the count.
            order = self.shuffle((c for c, sizes in held.items() if stratum in sizes), stratum)
            for cluster in order:
                if have[stratum] < wanted.count and not _surplus(have, held[cluster], wanted.count):
                    take(cluster)
            while have[stratum] < wanted.count:
                rest = [cluster for cluster in order if cluster not in chosen]
                take(min(rest, key=lambda c: _surplus(have, held[c], wanted.count)))
        for stratum, total in totals.items():
            if have[stratum] == total:
                raise RowError(
                    f"{stratum} has {total} {wanted.unit}, which all share a group or an"
                    " image with drawn training examples, which leaves none for testing; use a"
                    f" smaller {wanted.option} or another `seed`"
                )
        train = [
            replace(e, split="train") for e, c in zip(pool, clusters, strict=True) if c in chosen
        ]
        return train, [e for e, c in zip(pool, clusters, strict=True) if c not in chosen]

    def wanted(self, pool: Sequence[Example]) -> _Wanted:
        """Return what is drawn from a pool; ParameterError for a number below 1 or none."""
        if self.groups is not None:
            wanted = _Wanted(self.groups, "groups", "`train_groups`", _group_keys(pool))
        elif self.each_class is not None:
            keys_of = partial(_label_keys, kind=self.kind)
            wanted = _Wanted(self.each_class, "examples", "`shots`", keys_of)
        else:
            raise ParameterError("Shots has neither each_class nor groups; set one")
        if wanted.count < 1:
            raise ParameterError(f"{wanted.option} is {wanted.count}, expected at least 1")
        return wanted

    def shuffle(self, units: Iterable[str], stratum: str) -> list[str]:
        """Return the units of a stratum in the order in which they are drawn."""
        order = list(units)
        random.Random(f"savs shots {self.seed} {stratum}").shuffle(order)
        return order


def _contents(
    pool: Sequence[Example], clusters: Sequence[str], wanted: _Wanted
) -> dict[str, Counter[str]]:
    """Return cluster -> how many units of each stratum it holds."""
    units_of: dict[str, dict[tuple[str, str], None]] = {}
    for example, cluster in zip(pool, clusters, strict=True):
        units_of.setdefault(cluster, {}).update(dict.fromkeys(wanted.keys_of(example)))
    return {
        cluster: Counter(stratum for stratum, _ in units) for cluster, units in units_of.items()
    }


def _surplus(have: Counter[str], more: Counter[str], wanted: int) -> int:
    """Return how many units more than still wanted a cluster would add."""
    return sum(max(have[s] + n - wanted, 0) - max(have[s] - wanted, 0) for s, n in more.items())


def _too_few(wanted: _Wanted, stratum: str, total: int, most: int, otherwise: str) -> RowError:
    """Return the error for a stratum with `total` units, of which at most `most` can be drawn."""
    short = ", which leaves none for testing" if total >= wanted.count else ""
    remedy = f"give {most} at most" if most > 0 else otherwise
    return RowError(
        f"{stratum} has {total} {wanted.unit}, {wanted.option} asks for {wanted.count}{short};"
        f" {remedy}"
    )


def _label_keys(example: Example, kind: LabelKind) -> list[tuple[str, str]]:
    names, where = kind.drawn_by(_label(example)), of_subtask(example.subtask)
    strata = [f"{kind.drawn_as} {name!r}{where}" for name in names] or ["the rows without a label"]
    return [(stratum, example.id) for stratum in strata]


def _label(example: Example) -> str:
    if example.label is None:
        raise RowError(
            f"example {example.id!r} has no label, so its class is unknown; label every row, or"
            " pass training examples as `train`"
        )
    return example.label


def _group_keys(pool: Sequence[Example]) -> Callable[[Example], list[tuple[str, str]]]:
    """Return a function from an example to its stratum (the subtasks of its group) and group."""
    subtasks: dict[str, dict[str | None, None]] = {}
    for example in pool:
        if example.group is None:
            raise RowError(f"example {example.id!r} has no group; draw single ones with `shots`")
        subtasks.setdefault(example.group, {})[example.subtask] = None

    def keys_of(example: Example) -> list[tuple[str, str]]:
        group = str(example.group)
        names = [repr(name) for name in subtasks[group] if name is not None]
        return [(f"subtask {' with '.join(names)}" if names else "the file", group)]

    return keys_of
