"""Clusters of examples that are not independent: one group, or an image in common."""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from savs.datasets.parts import PATTERN


def cluster_ids(ties: Sequence[Iterable[str]]) -> list[str]:
    """Return a cluster name for each example; examples connected by ties share one.

    Clusters are the connected components of examples and ties, named after the first example in
    each. The ties of an example are names: its group, its images. An example without ties is a
    cluster by itself.

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

    # Union-find: of two roots the smaller index stays, so a component is named after its first
    # example; paths are halved on the way, which keeps a million ties nearly linear.
    first_with: dict[str, int] = {}
    for index, names in enumerate(ties):
        for name in names:
            a, b = sorted((root(first_with.setdefault(name, index)), root(index)))
            parents[b] = a
    return [str(root(index)) for index in range(len(ties))]


def clusters_of(examples: pl.DataFrame) -> pl.Series:
    """Return the cluster of each example: examples with a group or an image in common share it.

    Reads the columns `group`, `media_sha256` and `media`; images are compared by content where the
    digest is known, else by name, and parts of one image or video have it in common.
    """
    numbered = examples.select(
        media=whole_media(known_media()),
        group="group\0" + pl.col("group"),  # no name of a medium begins so
    ).with_row_index("row")
    rows = numbered.filter(pl.col("media").list.len() > 0).select("row", tie="media").explode("tie")
    ties = pl.concat([numbered.select("row", tie="group").drop_nulls(), rows])
    # A tie of one example ties nothing: without these few examples are left for Python's loop.
    ties = ties.filter(ties["tie"].is_duplicated()).sort("row", maintain_order=True)
    shared = ties.group_by("row", maintain_order=True).all()  # all others are alone
    clusters = np.arange(examples.height)
    numbers = shared["row"].to_numpy()
    clusters[numbers] = numbers[[int(first) for first in cluster_ids(shared["tie"].to_list())]]
    return pl.Series("cluster", clusters).cast(pl.String)


def known_media() -> pl.Expr:
    """Return the digests of an example's media; their names where these are not known."""
    is_known = pl.col("media_sha256").list.len() > 0
    return pl.when(is_known).then("media_sha256").otherwise("media").fill_null([])


def whole_media(media: pl.Expr) -> pl.Expr:
    """Return lists of digests or names of media with the whole medium in place of each part."""
    return media.list.eval(pl.element().str.replace(PATTERN, ""))
