"""Whether a selection was made before training examples were appended to its store."""

from pathlib import Path

from savs.foundation.errors import SavsError
from savs.pipeline.selection.config_json import SelectionConfig
from savs.pipeline.selection.heads.training_set import planned_digests, train_digest
from savs.stores import FeatureStore
from savs.stores.format.layout import MANIFEST, RESULTS
from savs.stores.format.manifest import Manifest, read_manifest


def appended_since(selection: SelectionConfig, manifest: Manifest) -> int:
    """Return how many training examples a store has more than when a selection was made from it.

    0 where the selection is of all of them, or of other examples.
    """
    plan = manifest.plan.splits.get("train")
    segments = () if plan is None else plan.segments
    known = planned_digests(selection.train)
    is_earlier = known == [segment.digest for segment in segments[: len(known)]]
    return sum(segment.rows for segment in segments[len(known) :]) if is_earlier else 0


def is_of_store(selection: SelectionConfig, store: FeatureStore) -> bool:
    """Return whether a selection is of a store's training examples, or of those before others."""
    store.examples("train")  # needed later; the same opening says which were skipped
    return bool(appended_since(selection, store.manifest)) or (
        selection.train == train_digest(store)
    )


def older_note(selection: SelectionConfig, manifest: Manifest) -> list[str]:
    """Return a note where a selection is older than the training examples of its store."""
    added = appended_since(selection, manifest)
    if not added:
        return []
    examples = "training example was" if added == 1 else "training examples were"
    return [
        f"the selection is older than its store: {added:,} {examples} appended since; run"
        " `savs select` again to use them"
    ]


def older_note_beside(folder: Path, selection: SelectionConfig) -> list[str]:
    """Return the same for a selection in the folder of results of a store; nothing elsewhere."""
    place = folder.absolute()
    store = place.parent.parent
    if place.parent.name != RESULTS or not (store / MANIFEST).is_file():
        return []
    try:
        return older_note(selection, read_manifest(store))
    except SavsError:
        return []  # the classifier is whole without its store
