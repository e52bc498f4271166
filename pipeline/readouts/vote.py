"""`vote`: every chosen head votes for its nearest class centroid, the majority wins."""

from collections.abc import Sequence

from savs.foundation.arrays import Array
from savs.pipeline.readouts.heads_fit import HeadsFit
from savs.pipeline.readouts.readout import Readout, Widths


def fit(features: Array, labels: Array, classes: Sequence[str], widths: Widths) -> HeadsFit:
    """Take each class's centroid in each chosen head."""
    return HeadsFit.of_centroids("vote", features, labels, len(classes))


VOTE = Readout(
    name="vote",
    summary="nearest class centroid a head, majority over heads (SAVs, arXiv 2412.00142)",
    fit=fit,
    is_nested=True,
    has_centroids=True,
)
