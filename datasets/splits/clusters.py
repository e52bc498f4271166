"""Clusters of examples that are not independent: one group, or an image in common."""

from collections.abc import Iterable, Sequence

import polars as pl


def cluster_ids(ties: Sequence[Iterable[str]]) -> list[str]:
    """Return a cluster name for each example; examples connected by ties share one.

    Clusters are the connected components of examples and ties, named after the first example in
    each. An example without ties is a cluster by itself.

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

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first_with: dict[str, int] = {}
    for index, names in enumerate(ties):
        for name in names:
            a, b = sorted((root(first_with.setdefault(name, index)), root(index)))
            parents[b] = a
    return [str(root(index)) for index in range(len(ties))]


def clusters_of(examples: pl.DataFrame) -> pl.Series:
    """Return the cluster of each example: examples with a group or an image in common share it.

    Parameters
    ----------
    examples
        Columns `group`, `media_sha256` and `media`; images are compared by content where the
        digest is known, else by name.
    """
    ties = [
        [*group_tie(group), *(hashes or names)]
        for group, hashes, names in examples.select("group", "media_sha256", "media").iter_rows()
    ]
    return pl.Series("cluster", cluster_ids(ties), dtype=pl.String)


def group_tie(group: str | None) -> list[str]:
    """Return the tie of an example to its group, if it has one."""
    return [] if group is None else [f"group {group}"]
