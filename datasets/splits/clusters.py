"""Which examples are not independent: those of one group, and those that share an image."""

from collections.abc import Iterable, Sequence

import polars as pl


def cluster_ids(ties: Sequence[Iterable[str]]) -> list[str]:
    """Return a cluster name for each example: examples with a tie in common, near or far, share it.

    Clusters are the connected components of examples and ties, named after the first example in
    each. An example without ties is alone.

    Parameters
    ----------
    ties
        For each example, the names of what ties it to others: its group, its images.

    Examples
    --------
    >>> cluster_ids([["a"], ["b"], ["a", "c"], ["c"], []])
    ['0', '1', '0', '0', '4']
    """
    parents = list(range(len(ties)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    first_with: dict[str, int] = {}
    for place, names in enumerate(ties):
        for name in names:
            a, b = sorted((root(first_with.setdefault(name, place)), root(place)))
            parents[b] = a
    return [str(root(place)) for place in range(len(ties))]


def clusters_of(examples: pl.DataFrame) -> pl.Series:
    """Return the cluster of each example: those of one group, or with an image in common, share it.

    Parameters
    ----------
    examples
        Columns `group`, `media_sha256` and `media`; images count by content, where that is known.
    """
    ties = [
        [*([f"group {group}"] if group is not None else []), *(hashes or names)]
        for group, hashes, names in examples.select("group", "media_sha256", "media").iter_rows()
    ]
    return pl.Series("cluster", cluster_ids(ties), dtype=pl.String)
