"""Neurons: single values of heads, each a classifier by the nearest class mean of its value.

A value has no direction, so that distances stand where heads have cosines. They are measured in the
range of the neuron's class means, which makes neurons of any scale comparable.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.centroids import TIE, class_sums, cosines, not_finite, row_blocks
from savs.pipeline.heads.folds import fold_count, stratified_folds
from savs.pipeline.heads.head_scores import HeadScores, require_pairs
from savs.stores import Head, head_name
from savs.stores.format.layout import is_neuron

BLOCK = 2**16
"""Values in work at a time, heads x examples x width: 512 kB in float64, which stay in a cache."""


def class_means(values: Array, labels: Array, classes: int) -> Array:
    """Return the class means of `(heads, n, d)` features, `(heads, classes, d)` float32.

    ParameterError if one is NaN or infinite.
    """
    sums, counts = class_sums(values, labels, classes), np.bincount(labels, minlength=classes)
    means = (sums / counts[:, None]).astype(np.float32)
    if not np.isfinite(means).all():
        raise not_finite()
    return means


def nearest_means(values: Array, means: Array) -> Array:
    """Return the class of the nearest mean; of classes within `TIE` of the range the first.

    `(neurons, n, 1)` values and `(neurons, classes, 1)` means give `(neurons, n)` class numbers.

    >>> nearest_means(np.float32([[[2], [5.5], [9]]]), np.float32([[[1], [5], [6]]]))
    array([[0, 1, 2]])
    """
    if not np.isfinite(values).all():
        raise not_finite()
    away = _distances(values, means)
    floor = away.min(axis=2, keepdims=True) + TIE * _spreads(means)[:, None]
    return (away <= floor).argmax(axis=2)


def closeness(values: Array, means: Array) -> Array:
    """Return how near values are to means: r / (r + distance), r the range of the means.

    It is 1 at a mean, 1/2 at a distance of r, and 0 where all means are equal. `(neurons, n, 1)`
    values and `(neurons, m, 1)` means give `(neurons, n, m)` float32.

    >>> closeness(np.float32([[[1], [3]]]), np.float32([[[1], [3]]])).tolist()
    [[[1.0, 0.5], [0.5, 1.0]]]
    """
    spread = _spreads(means) if means.shape[1] else np.zeros((len(means), 1))
    return _closeness(_distances(values, means), spread[:, None]).astype(np.float32)


def likeness(heads: Sequence[Head], features: Array, centroids: Array) -> Array:
    """Return the cosines of features with centroids, or of neurons their `closeness`.

    `(heads, n, d)` and `(heads, classes, d)` give `(heads, n, classes)`. ParameterError if only
    some are neurons.
    """
    kinds = set(map(is_neuron, heads))
    if len(kinds) > 1:
        raise ParameterError("some are heads and some are neurons; compare each kind by itself")
    return (closeness if True in kinds else cosines)(features, centroids)


def score_neurons(
    features: Array, labels: Array, classes: Sequence[str], widths: Sequence[int], scoring: str
) -> HeadScores:
    """Count the training examples that each value of each head puts in the right class.

    `(heads, n, d)` float32 features, `(n,)` class numbers and the widths of the heads give scores
    of all their values, head by head. What is left out of the means is as in `BY_CENTROIDS`. The
    margin is the mean over the examples of the closeness to the own mean less that to the nearest
    other one, the example left out where its class has another one.

    SelectionError if a class has one example only, and `scoring` leaves it out; ParameterError
    if a feature is NaN or infinite.
    """
    if scoring != "resubstitution":
        require_pairs(labels, classes, "leave-one-out" if scoring == "loo" else "k-fold")
    order = np.argsort(labels, kind="stable")
    parts = [
        _score_values(features[some][:, order], labels[order], len(classes), scoring)
        for some in row_blocks(len(features), len(labels) * features.shape[2], BLOCK)
    ]
    score, margin = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    held = np.arange(features.shape[2]) < np.asarray(widths)[:, None]  # the rest is padding
    return HeadScores(score[held], margin[held] / len(labels))


def _score_values(values: Array, labels: Array, classes: int, scoring: str) -> tuple[Array, Array]:
    """Return counts and sums of margins of some heads, `(heads, d)` each.

    `(heads, n, d)` values and `(n,)` class numbers, ascending.
    """
    means, counts = class_means(values, labels, classes), np.bincount(labels)[labels]
    spread = _spreads(means)[:, None]
    own, earlier, others = _distances_by_class(values, labels, means)
    # without x, the mean of its n examples is (n mean - x) / (n - 1): x is n / (n - 1) as far away
    left = own * (counts / np.maximum(counts - 1, 1))[:, None]
    if scoring == "kfold":
        score = _score_folds(values, labels, classes)
    else:
        nearer = left if scoring == "loo" else own
        score = _are_right(nearer, earlier, others, spread).sum(axis=1)
    lead = _closeness(left, spread) - _closeness(others, spread)
    return score, np.where(np.abs(lead) <= TIE, 0, lead).sum(axis=1)


def _score_folds(values: Array, labels: Array, classes: int) -> Array:
    """Count the right examples where a fifth of each class is left out at a time."""
    score = np.zeros((len(values), values.shape[2]))
    folds = stratified_folds(labels, fold_count(labels))
    for fold in range(fold_count(labels)):
        out = folds == fold
        means = class_means(values[:, ~out], labels[~out], classes)
        own, earlier, others = _distances_by_class(values[:, out], labels[out], means)
        score += _are_right(own, earlier, others, _spreads(means)[:, None]).sum(axis=1)
    return score


def _distances_by_class(values: Array, labels: Array, means: Array) -> tuple[Array, Array, Array]:
    """Return distances to the own mean, and to the nearest mean of an earlier, and of any other.

    `(heads, n, d)` float64 each; infinite for the first class, which has no earlier one. Labels
    ascend, so that rows of a class, and of those before and after it, are slices.
    """
    own, earlier, others = np.full((3, *values.shape), np.inf)
    ends = np.searchsorted(labels, np.arange(means.shape[1] + 1))
    for number, (start, end) in enumerate(pairwise(ends.tolist())):
        away = np.abs(values - means[:, number, None].astype(np.float64))
        own[:, start:end] = away[:, start:end]
        np.minimum(earlier[:, end:], away[:, end:], out=earlier[:, end:])
        np.minimum(others[:, :start], away[:, :start], out=others[:, :start])
    return own, earlier, np.minimum(others, earlier, out=others)


def _are_right(own: Array, earlier: Array, others: Array, spread: Array) -> Array:
    """Return whether the own class is the first of those whose means are nearest."""
    floor = np.minimum(own, others) + TIE * spread
    return (own <= floor) & (earlier > floor)


def _distances(values: Array, means: Array) -> Array:
    """Return `(neurons, n, classes)` float64 distances; of float32 they are all but exact."""
    return np.abs(values.astype(np.float64) - means.swapaxes(1, 2))


def _spreads(means: Array) -> Array:
    """Return the range of `(heads, classes, d)` means, `(heads, d)` float64."""
    return np.ptp(means.astype(np.float64), axis=1)


def _closeness(away: Array, spread: Array) -> Array:
    total = spread + away
    return np.divide(spread, total, out=np.zeros_like(total), where=spread > 0)


def require_neurons(heads: Sequence[Head], name: str, *, of_neurons: bool) -> None:
    """Raise SelectionError unless heads that were given to a readout are what it reads."""
    for head in heads:
        if is_neuron(head) != of_neurons:
            wanted = "single neurons, such as L12.H7.N5" if of_neurons else "whole heads"
            raise SelectionError(f"readout {name!r} reads {wanted}, and got {head_name(head)}")
