"""Heads chosen, and a readout fitted, on features in memory: what `select` does on a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.names import DEFAULT_HEADS
from savs.pipeline.selection.calibration import Calibration
from savs.pipeline.selection.heads.head_scores import HeadScores, rank_heads
from savs.pipeline.selection.readouts import ClassScores, Fitted, Readout, choose_readout
from savs.pipeline.selection.selection import require_scoring
from savs.stores import Head

LEAD = 1e-9
"""By how much the chosen class is ahead of classes that tie with it."""


@dataclass(frozen=True, slots=True)
class ChosenHeads:
    """The best heads of some features, and the readout that was fitted on them."""

    places: list[int]
    """Their places among the heads, best first."""
    scores: HeadScores
    """Of all heads."""
    fitted: Fitted
    rule: Readout

    def classify(self, features: Array) -> ClassScores:
        """Return the scores of `(heads, n, d)` features of all heads."""
        return self.fitted.scores(features[self.places])


def choose_heads(
    features: Array,
    labels: Array,
    classes: Sequence[str],
    heads: Sequence[Head],
    widths: Sequence[int],
    *,
    count: int | None,
    readout: str | Path | Readout,
    scoring: str,
) -> ChosenHeads:
    """Score all heads, keep the best and fit a readout on them, as `select` does on a store.

    Parameters
    ----------
    features
        `(heads, n, d)` float32; heads narrower than `d` are padded with zeros.
    labels
        `(n,)` class numbers, each class at least once.
    classes
        Their names.
    heads
        Layer and number of each head: of equal ones the first is taken.
    widths
        The width of each head.
    count
        How many to keep; None for 20, or all if there are fewer.
    readout, scoring
        As in `select`.

    Raises
    ------
    SelectionError
        One class only, more heads than there are, or an unknown readout or scoring.
    """
    rule = choose_readout(readout)
    require_scoring(scoring)
    if rule.texts:
        raise SelectionError(
            f"readout {rule.name!r} compares images with the names of classes, which a store has:"
            " extract with --classes labels, and use savs select"
        )
    if len(classes) < 2:
        raise SelectionError(
            f"the training examples have one class only, {classes[0]!r}; a classifier needs two"
        )
    kept = min(DEFAULT_HEADS, len(heads)) if count is None else count
    if isinstance(kept, bool) or not isinstance(kept, int | np.integer):
        raise SelectionError(f"heads is {kept!r}, expected a whole number, or None")
    if not 1 <= kept <= len(heads):
        raise SelectionError(
            f"heads is {kept}, but there are {len(heads)} heads; use 1 to {len(heads)}, or None"
        )
    scores = rule.score_heads(features, labels, classes, widths, scoring)
    places = [int(place) for place in rank_heads(scores, heads)[:kept]]
    own = [widths[place] for place in places]
    fitted = rule.fit(features[places], labels, classes, own)
    return ChosenHeads(places, scores, fitted, rule)


def probabilities(
    found: ClassScores, readout: str, calibration: Calibration | None = None
) -> Array:
    """Return `(n, classes)` calibrated probabilities, float64, which sum to 1.

    Without a calibration they are shares of the scores. The chosen class has the greatest, by a
    billionth where the readout's tie rule decided.

    Raises
    ------
    ParameterError
        A user's readout gives negative scores, or none at all.
    """
    shares = _shares(found, readout) if calibration is None else calibration.probabilities(found)
    shares = shares.astype(np.float64)
    tied = np.flatnonzero(shares.argmax(axis=1) != found.choice)
    shares[tied, found.choice[tied]] = shares[tied].max(axis=1) * (1 + LEAD)
    return shares / shares.sum(axis=1, keepdims=True)


def _shares(found: ClassScores, readout: str) -> Array:
    scores = found.scores.astype(np.float64)
    total = scores.sum(axis=1, keepdims=True)
    if (scores < 0).any() or not (total > 0).all():
        raise ParameterError(
            f"readout {readout!r} gives scores that are no probabilities; use predict"
        )
    return scores / total
