"""Whether two tables of examples are about the same ones: in results, or in stores."""

from collections.abc import Sequence

import polars as pl

from savs.datasets.splits.clusters import cluster_ids
from savs.stores.format.layout import digest

EXAMPLE_COLUMNS = {
    "id": "ids",
    "label": "labels",
    "group": "groups",
    "subtask": "subtasks",
    "category": "categories",
}
"""Columns that identify an example, with their plurals for messages."""
SLICE = 2**14
"""Examples whose media are Python objects at a time."""


def content_of(examples: pl.DataFrame) -> pl.Series:
    """Return a digest of each example's media, null where it has none or they are not known."""
    nothing = pl.Series("content", [], dtype=pl.String)
    some = examples.select("media_sha256").iter_slices(SLICE)
    return pl.concat([nothing, *(_digests(part["media_sha256"].to_list()) for part in some)])


def _digests(media: Sequence[Sequence[str] | None]) -> pl.Series:
    digests = [digest(list(own))[:16] if own else None for own in media]
    return pl.Series("content", digests, dtype=pl.String)


def example_differences(here: pl.DataFrame, there: pl.DataFrame, what: str = "test") -> list[str]:
    """Return how examples differ from others; nothing if they are equal, in the same order.

    Parameters
    ----------
    here, there
        One row an example: `EXAMPLE_COLUMNS`, and `content`, which is compared where both know it.
    what
        Name of the split.
    """
    found = []
    if here.height != there.height:
        found.append(f"{here.height:,} {what} examples here, {there.height:,} there")
    shared = min(here.height, there.height)
    for column, several in EXAMPLE_COLUMNS.items():
        ours, theirs = (frame[column].cast(pl.String)[:shared] for frame in (here, there))
        apart = ours.ne_missing(theirs).arg_true()
        if len(apart):
            row = apart[0]
            where = f"row {row}" if column == "id" else repr(here["id"][row])
            found.append(
                f"{several} differ in {len(apart):,} examples, first in {where}: {ours[row]!r}"
                f" here, {theirs[row]!r} there"
            )
            break  # other columns of other examples differ, too
    return found or _other_media(here, there)


def _other_media(here: pl.DataFrame, there: pl.DataFrame) -> list[str]:
    """Return a line if examples show other media; those of skipped ones are not known."""
    apart = (here["content"] != there["content"]).fill_null(False).arg_true()
    if not len(apart):
        return []
    return [f"media differ in {len(apart):,} examples, first in {here['id'][apart[0]]!r}"]


def joined_clusters(parts: Sequence[pl.Series]) -> pl.Series:
    """Return clusters in which units are together that are in any; skips make them differ."""
    first = parts[0]
    if all(first.equals(other) for other in parts):
        return first
    rows = zip(*parts, strict=True)
    ties = [[f"{number} {cluster}" for number, cluster in enumerate(row)] for row in rows]
    return pl.Series("cluster", cluster_ids(ties))
