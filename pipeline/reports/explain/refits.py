"""What would have changed a prediction, of any readout: it is fitted again with one thing less."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.readouts import Readout
from savs.pipeline.selection.readouts.readout import Widths

MOST_EXAMPLES = 200
"""Training examples of which each is left out once; a readout of more is not fitted so often."""


@dataclass(frozen=True, slots=True)
class Refitted:
    """What refits say of one example."""

    rival: int
    """Number of the class with the second greatest score, and of equal ones the softest."""
    heads: dict[int, int]
    """Rank of a head, from 0 -> the class that wins without it."""
    examples: dict[int, int] | None
    """Number of a training example -> the class that wins without it; None if none was tried."""


def refit(
    rule: Readout,
    features: Array,
    labels: Array,
    classes: Sequence[str],
    widths: Widths,
    queries: Array,
) -> list[Refitted]:
    """Return for each query what another fit would have said, the heads being the same.

    An example that is the only one of its class stays. With more than `MOST_EXAMPLES` none is left
    out.

    Parameters
    ----------
    rule
        A readout that takes no class texts.
    features
        `(heads, n, d)` of the training examples.
    labels
        `(n,)` class numbers.
    classes, widths
        As in `Readout.fit`.
    queries
        `(heads, q, d)` of the examples that are explained.
    """

    def choices(heads: Sequence[int], kept: Array) -> Array:
        own = [widths[head] for head in heads]
        fitted = rule.fit(features[heads][:, kept], labels[kept], classes, own)
        return fitted.scores(queries[heads]).choice

    whole = rule.fit(features, labels, classes, widths).scores(queries)
    others = whole.scores.copy()
    others[np.arange(len(others)), whole.choice] = -np.inf
    is_next = others == others.max(axis=1, keepdims=True)
    every, ranks = np.ones(len(labels), bool), list(range(len(features)))
    fewer = ((rank, [r for r in ranks if r != rank]) for rank in ranks if len(ranks) > 1)
    heads = _changed(whole.choice, ((rank, choices(kept, every)) for rank, kept in fewer))
    examples: Sequence[dict[int, int] | None] = [None] * len(heads)
    if len(labels) <= MOST_EXAMPLES:
        left_out = np.flatnonzero(np.bincount(labels)[labels] > 1).tolist()
        numbers = np.arange(len(labels))
        without = ((number, choices(ranks, numbers != number)) for number in left_out)
        examples = _changed(whole.choice, without)
    rivals = np.where(is_next, whole.soft, -np.inf).argmax(axis=1).tolist()
    return [Refitted(*own) for own in zip(rivals, heads, examples, strict=True)]


def _changed(choice: Array, tried: Iterable[tuple[int, Array]]) -> list[dict[int, int]]:
    """Return for each query what was left out -> the class that wins then, if it is another."""
    found: list[dict[int, int]] = [{} for _ in choice]
    for number, other in tried:
        for query in np.flatnonzero(other != choice):
            found[query][number] = int(other[query])
    return found
