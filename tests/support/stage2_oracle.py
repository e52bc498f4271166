"""All of stage 2, straight from its formulas in float64. No import from the package.

A head is `(rows, width)`, as wide as it is. Nothing is rearranged for speed: examples are left out
by leaving them out, `lda` inverts its matrix and takes its quadratic form, and `logistic` is
minimised to the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Array = npt.NDArray[np.float64]
TIE = 2.0**-19
"""Cosines within this of each other tie."""
LOGIT_TIE = 2.0**-13
"""Logits of `lda` within this of each other tie."""
TAU, LDA_TAU = 0.07, 10.0


@dataclass(frozen=True)
class Choices:
    """The classes of test examples, and where rounding in float32 may choose another."""

    choice: Array
    open: Array
    """`(rows, classes)`: whether a class may be chosen; one class a row where it is clear."""


def unit(rows: Array) -> Array:
    """Return rows of length 1; zero rows stay zero."""
    rows = np.asarray(rows, np.float64)
    greatest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    scaled = rows / np.where(greatest > 0, greatest, 1)
    lengths = np.sqrt((scaled**2).sum(axis=1, keepdims=True))
    return scaled / np.where(lengths > 0, lengths, 1)


def means(rows: Array, labels: Array, classes: int) -> Array:
    """Return the mean of each class."""
    return np.array([np.asarray(rows, float)[labels == c].mean(axis=0) for c in range(classes)])


def cosines(rows: Array, to: Array) -> Array:
    """Return `(rows, of to)` cosines; 0 with a zero vector."""
    return unit(rows) @ unit(to).T


def softmax(values: Array, tau: float) -> Array:
    """Return exp(v / tau), normalised along the last axis."""
    powers = np.exp((values - values.max(axis=-1, keepdims=True)) / tau)
    return powers / powers.sum(axis=-1, keepdims=True)


def first_best(table: Array, tie: float = TIE) -> Array:
    """Return the first class within `tie` of each row's greatest value."""
    return (table >= table.max(axis=1, keepdims=True) - tie).argmax(axis=1)


def parts_of(labels: Array, scoring: str) -> Array:
    """Return the part of each example: alone, or the i-th of its class modulo the parts."""
    if scoring == "loo":
        return np.arange(len(labels))
    count = min(5, int(np.bincount(labels).min()))
    return np.array([int((labels[:i] == y).sum()) % count for i, y in enumerate(labels)])


def head_score(
    head: Array, labels: Array, classes: int, readout: str, scoring: str
) -> tuple[float, float]:
    """Return the train-side score of a head and its margin."""
    if readout == "lda":
        return _lda_score(head, labels, classes, scoring)
    score, lead = 0, 0.0
    parts = None if scoring == "resubstitution" else parts_of(labels, scoring)
    for i, y in enumerate(labels):
        kept = np.ones(len(labels), bool) if parts is None else parts != parts[i]
        own = cosines(head[i : i + 1], means(head[kept], labels[kept], classes))
        score += int(first_best(own)[0] == y)
        others = np.arange(len(labels)) != i
        if (labels == y).sum() == 1:
            others[i] = True  # nothing else is left of its class
        row = cosines(head[i : i + 1], means(head[others], labels[others], classes))[0]
        ahead = row[y] - np.delete(row, y).max()
        lead += ahead if abs(ahead) > TIE else 0.0
    return float(score), lead / len(labels)


def _lda_score(head: Array, labels: Array, classes: int, scoring: str) -> tuple[float, float]:
    parts = np.zeros(len(labels)) if scoring == "resubstitution" else parts_of(labels, scoring)
    score = lead = 0.0
    for part in np.unique(parts):
        out = parts == part
        kept = out if scoring == "resubstitution" else ~out
        p = lda_head(head[kept], labels[kept], classes, head[out])
        for row, y in zip(p, labels[out], strict=True):
            score += row[y]
            lead += row[y] - np.delete(row, y).max()
    return score, lead / len(labels)


def lda_head(head: Array, labels: Array, classes: int, queries: Array) -> Array:
    """Return one head's probabilities."""
    rows, n, d = unit(head), len(head), head.shape[1]
    mu = means(rows, labels, classes)
    centred = rows - mu[labels]
    scatter = centred.T @ centred
    ridge = float((centred**2).sum()) / max(n - 1, 1)  # the trace of the covariance
    precision = np.eye(d) if ridge < 1e-28 else d * np.linalg.inv(scatter + ridge * np.eye(d))
    prior = np.log(np.bincount(labels, minlength=classes) / n)
    apart = unit(queries)[:, None] - mu  # (rows, classes, d)
    logits = -0.5 * np.einsum("ncd,de,nce->nc", apart, precision, apart) + prior
    return softmax(logits, LDA_TAU)


def predict(
    readout: str, train: Sequence[Array], labels: Array, classes: int, test: Sequence[Array]
) -> Choices:
    """Return the classes of the test rows, from heads given best first."""
    return {
        "vote": _vote,
        "posterior": _posterior,
        "calm": _calm,
        "lda": _lda,
        "logistic": _logistic,
        "knn": _knn,
    }[readout](train, labels, classes, test)


def _clear(choice: Array, classes: int) -> Choices:
    return Choices(choice, np.arange(classes) == choice[:, None])


def _likeliest(p: Array, ratio: float, slack: float) -> Choices:
    """Choose the first class with at least `ratio` of the greatest probability."""
    relative = p / p.max(axis=1, keepdims=True)
    found = (relative >= ratio).argmax(axis=1)
    unsure = np.abs(relative - ratio) <= slack  # a class that may tie, or not
    sure = relative > ratio + slack
    first_sure = np.where(sure.any(axis=1), sure.argmax(axis=1), p.shape[1])
    before = np.arange(p.shape[1]) <= first_sure[:, None]
    return Choices(found, before & (unsure | sure))


def _vote(train: Sequence[Array], labels: Array, classes: int, test: Sequence[Array]) -> Choices:
    votes = [
        first_best(cosines(x, means(head, labels, classes)))
        for head, x in zip(train, test, strict=True)
    ]
    choice = []
    for ballots in np.array(votes).T.tolist():
        most = max(ballots.count(c) for c in ballots)
        choice.append(next(c for c in ballots if ballots.count(c) == most))
    return _clear(np.array(choice), classes)


def _posterior(
    train: Sequence[Array], labels: Array, classes: int, test: Sequence[Array]
) -> Choices:
    tables = [
        softmax(cosines(x, means(head, labels, classes)), TAU)
        for head, x in zip(train, test, strict=True)
    ]
    return _likeliest(np.mean(tables, axis=0), np.exp(-TIE / TAU), 1e-5)


def _calm(train: Sequence[Array], labels: Array, classes: int, test: Sequence[Array]) -> Choices:
    sure = np.zeros((len(train), classes))
    for h, head in enumerate(train):
        for c in range(classes):
            members = np.flatnonzero(labels == c)
            for i in members if len(members) > 1 else []:
                kept = np.arange(len(labels)) != i
                row = cosines(head[i : i + 1], means(head[kept], labels[kept], classes))[0]
                p = softmax(row, TAU)
                ahead = row[c] - np.delete(row, c).max() > TIE
                sure[h, c] += (p[c] - np.delete(p, c).max()) / len(members) if ahead else 0
    total = sure.sum(axis=0)
    weights = np.where(total > 0, sure / np.where(total > 0, total, 1), 1 / len(train))
    found = sum(
        own * softmax(cosines(x, means(head, labels, classes)), TAU)
        for head, x, own in zip(train, test, weights, strict=True)
    )
    return _likeliest(np.asarray(found), np.exp(-TIE / TAU), 1e-5)


def _lda(train: Sequence[Array], labels: Array, classes: int, test: Sequence[Array]) -> Choices:
    tables = [lda_head(head, labels, classes, x) for head, x in zip(train, test, strict=True)]
    return _likeliest(np.mean(tables, axis=0), np.exp(-LOGIT_TIE / LDA_TAU), 1e-5)


def _logistic(
    train: Sequence[Array], labels: Array, classes: int, test: Sequence[Array]
) -> Choices:
    """Minimise the log-loss + |W|^2 / 2; two classes have one row of weights, as scikit-learn."""
    x, queries = (np.concatenate([unit(h) for h in heads], axis=1) for heads in (train, test))
    rows = classes if classes > 2 else 1
    shape = (rows, x.shape[1] + 1)

    def logits(parameters: Array, features: Array) -> Array:
        w = parameters.reshape(shape)
        z = features @ w[:, :-1].T + w[:, -1]
        return z if classes > 2 else np.hstack([0 * z, z])

    def loss(parameters: Array) -> tuple[float, Array]:
        w = parameters.reshape(shape)
        p = softmax(logits(parameters, x), 1.0)
        error = p - np.eye(classes)[labels]
        error = error if classes > 2 else error[:, 1:]
        slope = np.hstack([error.T @ x + w[:, :-1], error.sum(axis=0)[:, None]])
        true = p[np.arange(len(labels)), labels]
        return float(-np.log(true).sum() + (w[:, :-1] ** 2).sum() / 2), slope.ravel()

    found = minimize(
        loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B",
        options={"maxiter": 5000, "gtol": 1e-9, "ftol": 1e-15},
    )  # fmt: skip
    return _likeliest(softmax(logits(found.x, queries), 1.0), 1.0, 5e-3)


def _knn(train: Sequence[Array], labels: Array, classes: int, test: Sequence[Array]) -> Choices:
    """Take k = min(5, smallest class) neighbours a head.

    They are those clearly nearer than the k-th, then the earliest of those that tie with it. The
    class with most neighbours wins, then the greatest mean cosine, then the first class.
    """
    k = min(5, int(np.bincount(labels).min()))
    tables = [cosines(x, head) for head, x in zip(train, test, strict=True)]
    choice = []
    for i in range(len(test[0])):
        counts, sums = np.zeros(classes), np.zeros(classes)
        for row in (table[i] for table in tables):
            last = np.sort(row)[::-1][k - 1]
            nearer = np.flatnonzero(row > last + TIE)
            tied = np.flatnonzero(np.abs(row - last) <= TIE)
            for j in np.concatenate([nearer, tied])[:k]:
                counts[labels[j]] += 1
                sums[labels[j]] += row[j]
        best = counts == counts.max()
        mean = np.where(best, sums / counts.max(), -np.inf)
        choice.append(int(first_best(mean[None])[0]))
    return _clear(np.array(choice), classes)
