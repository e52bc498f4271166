"""What would have changed a prediction, of any readout: it is fitted again with one thing less."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.readouts import Readout
from savs.pipeline.readouts.readout import Widths

MOST_EXAMPLES = 200
"""Training examples of which each is left out once; a readout of more is not fitted so often."""


@dataclass(frozen=True, slots=True)
class Refitted:
    """What refits say of one example."""

    rival: int
    """Number of the class with the second greatest score."""
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
    whole = rule.fit(features, labels, classes, widths).scores(queries)
    others = whole.scores + whole.soft * 1e-6  # the soft scores decide between equal ones
    others[np.arange(len(others)), whole.choice] = -np.inf
    given = (rule, features, labels, classes, widths, queries)
    heads = _changed(whole.choice, _without_heads(*given))
    examples: Sequence[dict[int, int] | None] = [None] * len(heads)
    if len(labels) <= MOST_EXAMPLES:
        examples = _changed(whole.choice, _without_examples(*given))
    rivals = others.argmax(axis=1).tolist()
    return [Refitted(*own) for own in zip(rivals, heads, examples, strict=True)]


def _changed(choice: Array, tried: Iterator[tuple[int, Array]]) -> list[dict[int, int]]:
    """Return for each query what was left out -> the class that wins then, if it is another."""
    found: list[dict[int, int]] = [{} for _ in choice]
    for number, other in tried:
        for query in np.flatnonzero(other != choice):
            found[query][number] = int(other[query])
    return found


def _without_examples(
    rule: Readout,
    features: Array,
    labels: Array,
    classes: Sequence[str],
    widths: Widths,
    queries: Array,
) -> Iterator[tuple[int, Array]]:
    """Yield the number of each training example that may be left out, and the choices then."""
    for number in np.flatnonzero(np.bincount(labels)[labels] > 1):
        kept = np.arange(len(labels)) != number
        fitted = rule.fit(features[:, kept], labels[kept], classes, widths)
        yield int(number), fitted.scores(queries).choice


def _without_heads(
    rule: Readout,
    features: Array,
    labels: Array,
    classes: Sequence[str],
    widths: Widths,
    queries: Array,
) -> Iterator[tuple[int, Array]]:
    """Yield each head's rank, and the choices without it; nothing of a single head."""
    ranks = range(len(features)) if len(features) > 1 else ()
    for rank in ranks:
        kept = [other for other in ranks if other != rank]
        own = rule.fit(features[kept], labels, classes, [widths[other] for other in kept])
        yield rank, own.scores(queries[kept]).choice
