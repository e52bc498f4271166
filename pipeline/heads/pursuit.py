"""`pursuit`: heads are chosen one after the other, each by what the ones before leave unexplained.

Known of Head Pursuit (arXiv 2510.21518): it ranks each attention head alone, by how much of the
head's outputs simultaneous orthogonal matching pursuit (SOMP: Tropp, Gilbert and Strauss,
doi 10.1016/j.sigpro.2005.05.030) rebuilds from the unembedded words of a concept.

This scoring is ours. It applies matching pursuit to the labels, so that it needs neither words nor
the model: the signal is the one-hot `(examples, classes)` matrix of labels, and a head's atom is
the same matrix of the classes that it names, each example left out of its own class's centroid. All
columns share the coefficient of a head, where SOMP has one for each column: with a few examples,
some heads' columns would span all labels. A head that repeats another one comes late, however good
it is; scores of single heads put such heads side by side.
"""

from collections.abc import Sequence

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import TIE, first_of_best, leads
from savs.pipeline.heads.head_scores import HeadScores, held_out_cosines, require_pairs

PURSUIT = "pursuit"
MOST = 200
"""Heads that are pursued at most; those after them are ordered by their margins."""


def name_left_out(features: Array, labels: Array, classes: Sequence[str]) -> HeadScores:
    """Return what `pursue` needs of some heads: the class that each names of each example.

    SelectionError if a class has one example only.
    """
    require_pairs(labels, classes, PURSUIT)
    named = np.empty(features.shape[:2], np.int32)
    margin = np.zeros(len(features))
    for heads, rows, table in held_out_cosines(features, labels, len(classes)):
        named[heads, rows] = first_of_best(table)
        margin[heads] += leads(table, labels[rows]).sum(axis=1, dtype=np.float64)
    right = (named == labels).sum(axis=1).astype(np.float64)
    return HeadScores(right, margin / len(labels), named)


def pursue(alone: HeadScores, labels: Array) -> HeadScores:
    """Return scores that fall in the order in which heads are pursued; margins stay.

    The score of a head is how many examples' labels the heads before it leave unexplained: all for
    the first; 0 for those that explain nothing more, or are not among the first `MOST`. The next
    head is the one whose atom has the greatest product with what is left, after a least-squares fit
    of all heads before it. Of products within `TIE` of each other per example the greatest margin
    is next, then the first head.
    """
    named, count = alone.named, len(labels)
    assert named is not None  # from `name_left_out`
    product, unexplained = alone.score.copy(), float(count)
    score = np.zeros(len(named))
    # Gram-Schmidt without the atoms: `basis` has the product of each orthonormal direction, of the
    # heads before, with the atoms of all heads; two atoms' own product is how often they agree.
    basis: list[Array] = []
    for _ in range(min(MOST, len(named))):
        best = product.max()
        if best <= TIE * count:
            break
        close = np.flatnonzero(product >= best - TIE * count)
        head = int(close[alone.margin[close].argmax()])
        agreements = (named == named[head]).sum(axis=1, dtype=np.float64)
        for direction in basis:
            agreements -= direction[head] * direction
        length = np.sqrt(agreements[head])  # of the atom, less its part along those before
        basis.append(agreements / length)
        score[head] = unexplained
        along = product[head] / length
        product -= along * basis[-1]
        product[head] = -np.inf
        unexplained -= along**2
    return HeadScores(score, alone.margin)
