"""Few-shot examples drawn in whole clusters: what shares a group or a medium stays together."""

import random
from collections import Counter
from collections.abc import Callable, Sequence

from savs.datasets.errors import RowError
from savs.datasets.example import Example
from savs.datasets.splits.shots import Shots, class_of, grouping
from savs.foundation.errors import ParameterError


def draw_clusters(pool: Sequence[Example], clusters: Sequence[str], shots: Shots) -> list[bool]:
    """Return which examples of a pool train; those of one cluster all do, or none.

    Of each class (or, for `shots.groups`, of each subtask) clusters are drawn by the seed until
    there are enough: first those that give no class more than was asked for, and where these do
    not suffice, the one that gives the fewest too many. Where every example is a cluster of its
    own, these are the examples that `Shots.draw` draws.

    Parameters
    ----------
    pool
        The examples to draw from.
    clusters
        The cluster of each example.
    shots
        How many of what, and the seed.

    Raises
    ------
    RowError
        A class has too few examples, or none would be left to test.
    """
    wanted, what, option, key_of = _wanted(pool, shots)
    held = _contents(pool, clusters, key_of)
    totals: Counter[str] = Counter()
    for sizes in held.values():
        totals.update(sizes)
    chosen: dict[str, None] = {}
    have: Counter[str] = Counter()
    for stratum, total in totals.items():
        if total <= wanted:
            _refuse(stratum, total, wanted, what, option)
        order = [cluster for cluster, sizes in held.items() if stratum in sizes]
        random.Random(f"savs shots {shots.seed} {stratum}").shuffle(order)
        for cluster in order:
            if have[stratum] < wanted and not _surplus(have, held[cluster], wanted):
                chosen[cluster] = None
                have.update(held[cluster])
        while have[stratum] < wanted:
            rest = [cluster for cluster in order if cluster not in chosen]
            cluster = min(rest, key=lambda c: _surplus(have, held[c], wanted))
            chosen[cluster] = None
            have.update(held[cluster])
    for stratum, total in totals.items():
        if have[stratum] == total:
            raise RowError(
                f"{stratum} has {total} {what}, and all of them share a group or a medium with"
                f" those drawn to train, which would leave none to test; give a smaller {option} or"
                " another --seed"
            )
    return [cluster in chosen for cluster in clusters]


Key = Callable[[Example], tuple[str, str]]
"""An example -> its stratum, and the unit that is counted there."""


def _wanted(pool: Sequence[Example], shots: Shots) -> tuple[int, str, str, Key]:
    for example in pool:
        if example.label is None:
            raise RowError(
                f"example {example.id!r} has no label, so its class is unknown; split a file whose"
                " rows all have one"
            )
    count = shots.groups if shots.groups is not None else shots.each_class
    if count is None or count < 1:
        raise ParameterError(f"{shots} asks for no number of examples or groups from 1 on")
    if shots.groups is not None:
        return count, "groups", "--train-groups", grouping(pool)
    return count, "examples", "--shots", class_of


def _contents(
    pool: Sequence[Example], clusters: Sequence[str], key_of: Key
) -> dict[str, Counter[str]]:
    """Return cluster -> how many units of each stratum it holds."""
    found: dict[str, dict[tuple[str, str], None]] = {}
    for example, cluster in zip(pool, clusters, strict=True):
        found.setdefault(cluster, {})[key_of(example)] = None
    return {cluster: Counter(stratum for stratum, _ in units) for cluster, units in found.items()}


def _surplus(have: Counter[str], more: Counter[str], wanted: int) -> int:
    """Return how many units a cluster would give beyond what is still wanted."""
    return sum(max(have[s] + n - wanted, 0) - max(have[s] - wanted, 0) for s, n in more.items())


def _refuse(stratum: str, total: int, wanted: int, what: str, option: str) -> None:
    short = ", which would leave none to test" if total == wanted else ""
    remedy = f"give {total - 1} at most" if total > 1 else "add examples, or leave it out"
    raise RowError(f"{stratum} has {total} {what}, {option} asks for {wanted}{short}; {remedy}")
