"""Whether heads that were chosen on one store mean the same on another, or in a model."""

from dataclasses import replace

from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.config_json import SelectionConfig, grid_widths
from savs.stores import FeatureStore
from savs.stores.format.manifest import FeatureSource


def require_same_model(store: FeatureStore, selection: SelectionConfig) -> None:
    """Check that a selection's heads can be used on a store.

    Raises
    ------
    SelectionError
        The selection is of another model, or the store lacks one of its heads.
    """
    ours = store.manifest.identity.source()
    apart = ours.differences(usable_source(selection, ours), "in the selection")
    if apart:
        raise SelectionError(
            f"the selection does not fit {store.path}, they differ in:\n  "
            + "\n  ".join(apart)
            + "\nrun `savs select` on this store"
        )


def usable_source(selection: SelectionConfig, ours: FeatureSource) -> FeatureSource:
    """Return what a selection is of; with our heads, where all that it chose are among them."""
    held, meant = grid_widths(ours.grid), grid_widths(selection.source.grid)
    if all(head in held and held[head] == meant[head] for head in selection.heads):
        return replace(selection.source, grid=ours.grid)  # one of the two may be of a slim store
    return selection.source
