"""What would have changed a vote: other heads, or one training example less."""

from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.selection.heads.centroids import first_of_best, normalise
from savs.pipeline.selection.readouts.vote import count_votes, elect


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

    Parameters
    ----------
    table
        `(heads, classes)` cosines, heads best first.
    votes
        `(heads,)` class numbers.

    Examples
    --------
    >>> table = np.float32([[0.9, 0.1], [0.5, 0.4], [0.2, 0.3]])
    >>> flip = smallest_flip(table, np.array([0, 0, 1]))
    >>> flip.rival, flip.heads, round(flip.lead, 3)
    (1, (1,), 0.1)
    """
    classes = table.shape[1]
    first = winner(votes, classes)
    rival = _runner_up(table, votes, first)
    own = np.flatnonzero(votes == first)
    leads = table[own, first] - table[own, rival]
    order = own[np.argsort(leads, kind="stable")]
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

    Examples
    --------
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

    Parameters
    ----------
    query
        `(heads, d)` features of the example that is explained.
    features
        `(heads, n, d)` features of the training examples.
    labels
        `(n,)` class numbers.
    centroids
        `(heads, classes, d)`.

    Returns
    -------
    dict
        Number of the training example -> the class that wins without it.
    """
    classes = centroids.shape[1]
    unit = normalise(query)
    table = np.einsum("hd,hcd->hc", unit, normalise(centroids))
    first = winner(first_of_best(table), classes)
    counts = np.bincount(labels, minlength=classes)
    sums = centroids[:, labels] * counts[labels][:, None] - features
    left = normalise(sums / np.maximum(counts[labels] - 1, 1)[:, None])
    own = np.einsum("hd,hnd->hn", unit, left)  # cosine with the own centroid, the example left out
    found = {}
    for number in np.flatnonzero(counts[labels] > 1):
        changed = table.copy()
        changed[:, labels[number]] = own[:, number]
        other = winner(first_of_best(changed), classes)
        if other != first:
            found[int(number)] = other
    return found
