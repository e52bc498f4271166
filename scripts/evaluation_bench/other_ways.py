"""The same work without savs: a few lines of numpy, and the loop of the public reference.

Neither reads a store, has a rule for ties, counts what cannot be scored, or makes intervals.
"""

import time
from collections import Counter

import numpy as np

from savs.foundation.arrays import Array


def numpy_select(features: Array, labels: Array, classes: int, heads: int) -> Array:
    """Return the best heads by nearest centroids."""
    means = _means(features, labels, classes)
    right = (_cosines(features, means).argmax(axis=2) == labels).sum(axis=1)
    return np.argsort(-right, kind="stable")[:heads]


def numpy_evaluate(features: Array, centroids: Array) -> Array:
    """Return the class that most heads vote for."""
    votes = np.stack(
        [
            _cosines(head[None], of_head[None])[0].argmax(axis=1)
            for head, of_head in zip(features, centroids, strict=True)
        ]
    )
    n, classes = votes.shape[1], centroids.shape[1]
    cells = np.bincount((votes + classes * np.arange(n)).ravel(), minlength=n * classes)
    return cells.reshape(n, classes).argmax(axis=1)


def numpy_lda_evaluate(features: Array, weights: Array, bias: Array) -> Array:
    """Return the class of the greatest mean probability."""
    total = np.zeros((features.shape[1], weights.shape[1]), np.float32)
    for head, of_head, offset in zip(features, weights, bias, strict=True):
        unit = head / np.linalg.norm(head, axis=1, keepdims=True)
        logits = (unit @ of_head.T + offset) / 10
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        total += powers / powers.sum(axis=1, keepdims=True)
    return total.argmax(axis=1)


def loop_evaluate(features: Array, centroids: Array) -> list[int]:
    """Classify one example and one head at a time, as the public reference does."""
    classes = []
    for i in range(features.shape[1]):
        votes = []
        for head in range(len(features)):
            x, c = features[head, i], centroids[head]
            cosines = (c @ x) / (np.linalg.norm(c, axis=1) * np.linalg.norm(x))
            votes.append(int(cosines.argmax()))
        classes.append(Counter(votes).most_common(1)[0][0])
    return classes


def loop_select(features: Array, labels: Array, classes: int, heads: int) -> Array:
    """Score one example and one head at a time."""
    means = _means(features, labels, classes)
    right = np.zeros(len(features))
    for i, label in enumerate(labels):
        for head in range(len(features)):
            x, c = features[head, i], means[head]
            cosines = (c @ x) / (np.linalg.norm(c, axis=1) * np.linalg.norm(x))
            right[head] += cosines.argmax() == label
    return np.argsort(-right)[:heads]


def cpu_seconds(work: object, *arguments: object) -> float:
    """Return the processor time of a call."""
    started = time.process_time()
    work(*arguments)  # type: ignore[operator]
    return time.process_time() - started


def _means(features: Array, labels: Array, classes: int) -> Array:
    return np.stack([features[:, labels == c].mean(axis=1) for c in range(classes)], axis=1)


def _cosines(features: Array, centroids: Array) -> Array:
    x, c = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (features, centroids))
    return x @ c.swapaxes(1, 2)
