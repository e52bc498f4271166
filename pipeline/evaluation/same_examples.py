"""Which measurements are about the same examples, so that they can be compared unit by unit."""

from collections.abc import Sequence

import polars as pl

from savs.datasets.splits.clusters import cluster_ids

EXAMPLE_COLUMNS = {
    "id": "ids",
    "label": "labels",
    "group": "groups",
    "subtask": "subtasks",
    "category": "categories",
}
"""Columns that identify an example, with their plurals for messages."""
IDENTITY_SCHEMA = {
    "data_set": pl.String(),
    **dict.fromkeys(EXAMPLE_COLUMNS, pl.String()),
    "content": pl.String(),
    "cluster": pl.String(),
    "is_skipped": pl.Boolean(),
}
"""Columns of the examples that a measurement is about, in the order of its units."""


def as_examples(table: pl.DataFrame, is_skipped: pl.Expr) -> pl.DataFrame:
    """Return the examples of a table of them or of predictions; columns `IDENTITY_SCHEMA`.

    A cluster is called by the row of its first example, as in other tables of the same examples.
    """
    first = pl.col("row").first().over("cluster")
    whole = table.with_row_index("row").with_columns(
        data_set=pl.lit(None, pl.String), cluster=first, is_skipped=is_skipped
    )
    return whole.select(pl.col(name).cast(dtype) for name, dtype in IDENTITY_SCHEMA.items())


def differences(here: pl.DataFrame, there: pl.DataFrame) -> list[str]:
    """Return how examples ("here") differ from others; nothing if they are the same.

    The same examples have the same ids, labels, groups, subtasks, categories, media and clusters in
    the same order; prompts may differ, as methods need other ones. Where examples were skipped,
    clusters may differ: the images of a skipped one are not known.
    """
    lines = example_differences(here, there)
    skipped = here["is_skipped"].any() or there["is_skipped"].any()
    if not lines and not skipped and not here["cluster"].equals(there["cluster"]):
        lines.append("ids and labels are the same, but other examples share an image")
    return lines


def example_differences(here: pl.DataFrame, there: pl.DataFrame) -> list[str]:
    """Return how test examples differ from others; nothing if they are equal, in the same order.

    One row an example: `EXAMPLE_COLUMNS`, and `content`, which is compared where both know it.
    """
    lines = []
    if here.height != there.height:
        lines.append(f"{here.height:,} test examples here, {there.height:,} there")
    shared = min(here.height, there.height)
    for column, several in EXAMPLE_COLUMNS.items():
        ours, theirs = (frame[column].cast(pl.String)[:shared] for frame in (here, there))
        apart = ours.ne_missing(theirs).arg_true()
        if len(apart):
            row = apart[0]
            where = f"row {row}" if column == "id" else repr(here["id"][row])
            lines.append(
                f"{several} differ in {len(apart):,} examples, first in {where}: {ours[row]!r}"
                f" here, {theirs[row]!r} there"
            )
            break  # other columns of other examples differ, too
    if not lines:
        # the media of skipped examples are null, which differs from nothing
        apart = (here["content"] != there["content"]).fill_null(False).arg_true()
        if len(apart):
            first = here["id"][apart[0]]
            lines.append(f"media differ in {len(apart):,} examples, first in {first!r}")
    return lines


def joined_clusters(parts: Sequence[pl.Series]) -> pl.Series:
    """Return clusters in which units are together that are in any; skips make them differ."""
    # An example that one store skipped has no digest there, which cuts the ties that its image
    # makes. The other stores still have them: units are dependent if any table says so.
    first = parts[0]
    if all(first.equals(other) for other in parts):
        return first
    rows = zip(*parts, strict=True)
    ties = [[f"{number} {cluster}" for number, cluster in enumerate(row)] for row in rows]
    return pl.Series("cluster", cluster_ids(ties))
