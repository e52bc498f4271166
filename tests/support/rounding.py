"""Features that were computed in other batches: equal up to the rounding of their type."""

import numpy as np

from savs.pipeline.extraction.checks.trial import TOLERANCES, distances
from savs.stores import FeatureStore


def check_same_features(found: FeatureStore, expected: FeatureStore) -> None:
    """Assert that two stores have the same features of each split, as far as batches leave them so.

    Matrix products of another size may take another path through the processor and round in another
    order: a store that was resumed or shared equals another to the bit only where its batches were
    the same. The bound is the one that `savs` holds the batches of a model to.
    """
    bound = TOLERANCES[expected.manifest.identity.dtype]
    assert found.manifest.identity.dtype == expected.manifest.identity.dtype
    for split in expected.manifest.plan.splits:
        ours, theirs = found.features(split), expected.features(split)
        assert ours.shape == theirs.shape
        if ours.size:
            assert float(np.max(distances(theirs, ours))) <= bound, split
