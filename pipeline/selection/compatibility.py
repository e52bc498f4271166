"""Whether heads that were chosen on one store mean the same on another."""

from dataclasses import replace

from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.config_json import SelectionConfig, grid_widths
from savs.stores import FeatureStore


def require_same_model(store: FeatureStore, selection: SelectionConfig) -> None:
    """Check that a selection's heads can be used on a store.

    Raises
    ------
    SelectionError
        The selection is of another model, or the store lacks one of its heads.
    """
    ours, theirs = store.manifest.identity.source(), selection.source
    held, meant = grid_widths(ours.grid), grid_widths(theirs.grid)
    if all(head in held and held[head] == meant[head] for head in selection.heads):
        theirs = replace(theirs, grid=ours.grid)  # a slim store has fewer heads than it chose from
    apart = ours.differences(theirs, "in the selection")
    if apart:
        raise SelectionError(
            f"the selection was not made from features of the same kind as {store.path}:\n  "
            + "\n  ".join(apart)
            + "\nselect again from this store"
        )
