"""Few-shot training examples drawn in whole clusters, which share a group or a medium."""

from collections import Counter
from collections.abc import Sequence

from savs.datasets.errors import RowError
from savs.datasets.example import Example
from savs.datasets.splits.shots import Shots, Wanted, too_few


def draw_clusters(pool: Sequence[Example], clusters: Sequence[str], shots: Shots) -> list[bool]:
    """Return which examples of a pool train; the examples of a cluster stay together.

    From each class (or, for `shots.groups`, each subtask) clusters are drawn by the seed until
    there are enough: first clusters that give no class more than was asked for; if these do not
    suffice, the cluster with the smallest surplus. If every example is its own cluster, the result
    is that of `Shots.draw`.

    Parameters
    ----------
    pool
        The examples to draw from.
    clusters
        The cluster of each example.
    shots
        How many units of each stratum, and the seed.

    Raises
    ------
    RowError
        An example has no label, a class has too few examples, or none would be left to test.
    """
    unlabelled = next((example.id for example in pool if example.label is None), None)
    if unlabelled is not None:
        raise RowError(
            f"example {unlabelled!r} has no label, so its class is unknown; give every row of the"
            " file a label"
        )
    wanted = shots.wanted(pool)
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
            raise too_few(wanted, stratum, total, total - 1, "add examples, or drop its rows")
        order = shots.shuffle((c for c, sizes in held.items() if stratum in sizes), stratum)
        for cluster in order:
            if have[stratum] < wanted.count and not _surplus(have, held[cluster], wanted.count):
                take(cluster)
        while have[stratum] < wanted.count:
            rest = [cluster for cluster in order if cluster not in chosen]
            take(min(rest, key=lambda c: _surplus(have, held[c], wanted.count)))
    for stratum, total in totals.items():
        if have[stratum] == total:
            raise RowError(
                f"{stratum} has {total} {wanted.unit}, and all of them share a group or an image"
                " with drawn training examples, which leaves none for testing; use a smaller"
                f" {wanted.option} or another --seed"
            )
    return [cluster in chosen for cluster in clusters]


def _contents(
    pool: Sequence[Example], clusters: Sequence[str], wanted: Wanted
) -> dict[str, Counter[str]]:
    """Return cluster -> how many units of each stratum it holds."""
    found: dict[str, dict[tuple[str, str], None]] = {}
    for example, cluster in zip(pool, clusters, strict=True):
        found.setdefault(cluster, {})[wanted.key_of(example)] = None
    return {cluster: Counter(stratum for stratum, _ in units) for cluster, units in found.items()}


def _surplus(have: Counter[str], more: Counter[str], wanted: int) -> int:
    """Return how many units more than still wanted a cluster would add."""
    return sum(max(have[s] + n - wanted, 0) - max(have[s] - wanted, 0) for s, n in more.items())
