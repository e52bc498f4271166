"""What would have changed a prediction: other votes, a head less, a training example less.

For `vote` that follows from votes and centroids; any other readout is fitted again with one thing
less.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import first_of_best, normalise
from savs.pipeline.readouts import Readout
from savs.pipeline.readouts.heads_fit import count_votes, elect
from savs.pipeline.readouts.readout import Widths


@dataclass(frozen=True, slots=True)
class Flip:
    """The smallest change of the winner's heads that elects the runner-up."""

    rival: int
    """Number of the runner-up's class."""
    heads: tuple[int, ...]
    """Ranks, from 0, of heads that would have to vote for it instead, the closest first."""
    lead: float
    """Greatest cosine that one of these heads would have to gain on the winner."""


def winner(votes: Array, classes: int) -> int:
    """Return the class that `(heads,)` votes elect, heads best first."""
    return int(elect(count_votes(votes[:, None], classes), votes[:, None])[0])


def smallest_flip(table: Array, votes: Array) -> Flip:
    """Return the fewest heads of the winner that would have to change sides.

    The runner-up is the class that wins where the winner's heads have no vote; without any other
    vote, the class of the greatest mean cosine but the winner. Of the winner's heads those change
    first whose cosine with the runner-up is closest.

    `table` has `(heads, classes)` cosines, heads best first, `votes` the `(heads,)` class numbers.

    >>> table = np.float32([[0.9, 0.1], [0.5, 0.4], [0.2, 0.3]])
    >>> flip = smallest_flip(table, np.array([0, 0, 1]))
    >>> flip.rival, flip.heads, round(flip.lead, 3)
    (1, (1,), 0.1)
    """
    classes = table.shape[1]
    first = winner(votes, classes)
    rival = _runner_up(table, votes, first)
    voters = np.flatnonzero(votes == first)
    leads = table[voters, first] - table[voters, rival]
    order = voters[np.argsort(leads, kind="stable")]
    changed, turned = votes.copy(), []
    while winner(changed, classes) != rival:
        turned.append(int(order[len(turned)]))
        changed[turned[-1]] = rival
    lead = max(float(table[head, first] - table[head, rival]) for head in turned)
    return Flip(rival, tuple(turned), lead)


def _runner_up(table: Array, votes: Array, first: int) -> int:
    others = votes[votes != first]
    if len(others):
        return winner(others, table.shape[1])
    means = table.mean(axis=0)
    means[first] = -np.inf
    return int(means.argmax())


def without_each_head(votes: Array, classes: int) -> dict[int, int]:
    """Return the heads without which another class wins: rank from 0 -> that class.

    >>> without_each_head(np.array([2, 0, 2, 0]), 3)  # 2 : 2, the first head decides
    {0: 0, 2: 0}
    """
    if len(votes) < 2:
        return {}
    first = winner(votes, classes)
    left = {head: winner(np.delete(votes, head), classes) for head in range(len(votes))}
    return {head: other for head, other in left.items() if other != first}


def without_each_example(
    query: Array, features: Array, labels: Array, centroids: Array
) -> dict[int, int]:
    """Return the training examples without which another class wins, the heads being the same.

    Each is taken out of its class's centroid in all heads; a class with one example keeps it.

    `query` are the `(heads, d)` features of the example that is explained; `features` are those of
    the training examples, `(heads, n, d)`, `labels` their class numbers, and `centroids` have shape
    `(heads, classes, d)`. Returns number of a training example -> the class that wins without it.
    """
    classes = centroids.shape[1]
    unit = normalise(query)
    table = np.einsum("hd,hcd->hc", unit, normalise(centroids))
    first = winner(first_of_best(table), classes)
    counts = np.bincount(labels, minlength=classes)
    left = normalise(centroids[:, labels] * counts[labels][:, None] - features)
    cosines = np.einsum("hd,hnd->hn", unit, left)  # with each one's centroid without it
    winners = {}
    for number in np.flatnonzero(counts[labels] > 1):
        changed = table.copy()
        changed[:, labels[number]] = cosines[:, number]
        other = winner(first_of_best(changed), classes)
        if other != first:
            winners[int(number)] = other
    return winners


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

    An example that is the only one of its class stays, and so do the model's own answers. With more
    than `MOST_EXAMPLES` none is left out.

    `features` are the `(heads, n, d)` of the training examples, `labels` their `(n,)` class
    numbers, `queries` the `(heads, q, d)` of the examples that are explained. `rule` takes no class
    texts.
    """

    def choices(heads: Sequence[int], rows: Array) -> Array:
        head_widths = [widths[head] for head in heads]
        fitted = rule.fit(features[heads][:, rows], labels[rows], classes, head_widths)
        return fitted.scores(queries[heads]).choice

    whole = rule.fit(features, labels, classes, widths).scores(queries)
    others = whole.scores.copy()
    others[np.arange(len(others)), whole.choice] = -np.inf
    is_next = others == others.max(axis=1, keepdims=True)
    every, ranks = np.ones(len(labels), bool), list(range(len(features)))
    chosen = ranks[:-1] if rule.answers else ranks  # the model's own answers, the last, stay
    fewer = ((rank, [r for r in ranks if r != rank]) for rank in chosen if len(chosen) > 1)
    heads = _changed(whole.choice, ((rank, choices(rows, every)) for rank, rows in fewer))
    examples: Sequence[dict[int, int] | None] = [None] * len(heads)
    if len(labels) <= MOST_EXAMPLES:
        left_out = np.flatnonzero(np.bincount(labels)[labels] > 1).tolist()
        numbers = np.arange(len(labels))
        without = ((number, choices(ranks, numbers != number)) for number in left_out)
        examples = _changed(whole.choice, without)
    rivals = np.where(is_next, whole.soft, -np.inf).argmax(axis=1).tolist()
    return [Refitted(*changes) for changes in zip(rivals, heads, examples, strict=True)]


def _changed(choice: Array, tried: Iterable[tuple[int, Array]]) -> list[dict[int, int]]:
    """Return for each query what was left out -> the class that wins then, if it is another."""
    winners: list[dict[int, int]] = [{} for _ in choice]
    for number, other in tried:
        for query in np.flatnonzero(other != choice):
            winners[query][number] = int(other[query])
    return winners
