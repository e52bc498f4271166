"""The parts of a report about groups, and about what limits its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from savs.foundation.errors import SavsError
from savs.pipeline.reports.report.evaluated import Evaluated

NAMED = 20
"""Most ids that are named."""


@dataclass(frozen=True, slots=True)
class GroupCount:
    """Groups of one size with the same number of right examples."""

    size: int
    right: int
    groups: int
    share: float
    """Of the groups of this size."""


def groups_part(predictions: pl.DataFrame) -> tuple[GroupCount, ...]:
    """Return how many groups have how many right examples; none where no group has several."""
    groups = (
        predictions.drop_nulls("group")
        .group_by("group")
        .agg(size=pl.len(), right=pl.col("correct").sum())
        .filter(pl.col("size") > 1)
    )
    counts = (
        groups.group_by("size", "right")
        .agg(groups=pl.len())
        .with_columns(share=pl.col("groups") / pl.col("groups").sum().over("size"))
        .sort("size", "right", descending=[False, True])
    )
    return tuple(GroupCount(**row) for row in counts.iter_rows(named=True))


@dataclass(frozen=True, slots=True)
class Checks:
    """What limits the numbers."""

    planned: int
    scored: int
    skipped: int
    left_out: int
    leaks: Mapping[str, Sequence[str]]
    """Kind of leak -> ids."""
    reasons: tuple[tuple[str, str], ...]
    """Id and reason of the first skipped examples."""
    notes: tuple[str, ...]


def checks_part(result: Evaluated) -> Checks:
    """Return the counts, leaks, skips and notes of a result."""
    found = result.metrics
    counts = {name: found[name] for name in ("planned", "scored", "skipped", "left_out")}
    return Checks(
        **counts,
        leaks={kind: ids for kind, ids in found["leaks"].items() if ids},
        reasons=tuple(_reasons(result)),
        notes=tuple(found["notes"]),
    )


def _reasons(result: Evaluated) -> list[tuple[str, str]]:
    """Return the skipped examples; the store knows why."""
    ids = result.predictions.filter(pl.col("prediction").is_null())["id"].head(NAMED).to_list()
    known: dict[str, str] = {}
    if result.store is not None and ids:
        try:
            rows = result.store.skipped(result.split).select("id", "reason").rows()
            known = dict(rows)
        except SavsError:
            known = {}  # shards that are gone
    return [(name, known.get(name, "the store, which knows why, is not there")) for name in ids]
