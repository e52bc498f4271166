"""Whether heads that were chosen on one store mean the same on another."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from savs.pipeline.errors import SelectionError
from savs.stores import FeatureStore, Head
from savs.stores.format.manifest import differences


def require_same_model(
    store: FeatureStore, source: Mapping[str, Any], heads: Iterable[Head]
) -> None:
    """Raise SelectionError where a selection is of another model, or its heads are not there.

    Parameters
    ----------
    store
        Features that the heads shall be used on.
    source
        `Selection.source`.
    heads
        The chosen heads.
    """
    ours, theirs = store.manifest.identity.source(), dict(source)
    held, meant = (_widths(found["heads"]) for found in (ours, theirs))
    if all(head in held and held[head] == meant.get(head) for head in heads):
        theirs["heads"] = ours["heads"]  # a slim store has fewer heads than it was chosen from
    apart = differences(ours, theirs, "in the selection")
    if apart:
        raise SelectionError(
            f"the selection was not made from features of the same kind as {store.path}:\n  "
            + "\n  ".join(apart)
            + "\nselect again from this store"
        )


def _widths(grids: Sequence[Mapping[str, Any]]) -> dict[Head, int]:
    """Return the width of every head in a grid, as JSON has it."""
    return {(grid["layer"], head): grid["head_dim"] for grid in grids for head in grid["heads"]}
