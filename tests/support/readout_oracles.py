"""The readouts' formulas, slowly: one head, one example, one class at a time, in float64.

Nothing is shared with the pipeline, and nothing is rearranged: `calm` leaves out by leaving out,
`lda` has its pseudo-inverse and its quadratic form.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array

TIE = 2**-19
"""The written rule: cosines within this of each other tie."""


def unit(x: Array) -> Array:
    """Return x divided by its length; a zero vector as it is."""
    x = np.asarray(x, np.float64)
    length = math.sqrt(sum(float(v) ** 2 for v in x))
    return x / length if length else x


def cosine(a: Array, b: Array) -> float:
    """Return the cosine; 0 with a zero vector."""
    return math.fsum(unit(a) * unit(b))


def softmax(values: Sequence[float], tau: float) -> list[float]:
    """Return exp(v / tau), normalised."""
    powers = [math.exp((v - max(values)) / tau) for v in values]
    return [p / sum(powers) for p in powers]


def centroids(head: Array, labels: Sequence[int], classes: int) -> list[Array]:
    """Return the plain mean of each class's rows, `(n, d)` -> classes times `(d,)`."""
    head = np.asarray(head, np.float64)
    return [
        np.mean([x for x, y in zip(head, labels, strict=True) if y == c], axis=0)
        for c in range(classes)
    ]


def posterior(train: Array, labels: Sequence[int], classes: int, test: Array) -> Array:
    """Return `(n, classes)`: the mean over heads of softmax(cosine / 0.07)."""
    found = np.zeros((test.shape[1], classes))
    for head, queries in zip(train, test, strict=True):
        means = centroids(head, labels, classes)
        for i, x in enumerate(queries):
            found[i] += softmax([cosine(x, mean) for mean in means], 0.07)
    return found / len(train)


def calm_weights(
    train: Array, labels: Sequence[int], classes: int, shrinkage: float = 0.0
) -> Array:
    """Return `(heads, classes)` weights: w[h, c] = r[h, c] / sum over h."""
    found = np.zeros((len(train), classes))
    for h, head in enumerate(train):
        sure: list[list[float]] = [[] for _ in range(classes)]
        for i, y in enumerate(labels):
            if list(labels).count(y) == 1:
                continue  # nothing is left of the class
            rest = [j for j in range(len(labels)) if j != i]
            means = centroids(head[rest], [labels[j] for j in rest], classes)
            values = [cosine(head[i], mean) for mean in means]
            p = softmax(values, 0.07)
            ahead = values[y] - max(v for c, v in enumerate(values) if c != y) > TIE
            sure[y].append(p[y] - max(v for c, v in enumerate(p) if c != y) if ahead else 0.0)
        found[h] = [sum(values) / len(values) if values else 0.0 for values in sure]
    weights = np.zeros_like(found)
    for c in range(classes):
        n = list(labels).count(c)
        column = [
            (r[c] * n + sum(r) / classes * shrinkage) / (n + shrinkage) for r in found.tolist()
        ]
        total = sum(column)
        weights[:, c] = [r / total if total else 1 / len(train) for r in column]
    return weights


def calm(train: Array, labels: Sequence[int], classes: int, test: Array) -> Array:
    """Return `(n, classes)`: the sum over heads of w[h, c] p[h, c]."""
    weights = calm_weights(train, labels, classes)
    found = np.zeros((test.shape[1], classes))
    for head, queries, own in zip(train, test, weights, strict=True):
        means = centroids(head, labels, classes)
        for i, x in enumerate(queries):
            p = softmax([cosine(x, mean) for mean in means], 0.07)
            found[i] += [w * v for w, v in zip(own, p, strict=True)]
    return found


def lda_head(head: Array, labels: Sequence[int], classes: int, queries: Array) -> Array:
    """Return one head's `(n, classes)` probabilities; the head has its own width."""
    rows = np.array([unit(x) for x in head])
    n, d = rows.shape
    means = centroids(rows, labels, classes)
    centred = np.array([x - means[y] for x, y in zip(rows, labels, strict=True)])
    covariance = centred.T @ centred / (n - 1)
    trace = float(np.trace(covariance))
    precision = d * np.linalg.pinv((n - 1) * covariance + 1.0 * trace * np.eye(d))
    if trace < 1e-28:  # no spread, but for rounding
        precision = np.eye(d)
    found = np.zeros((len(queries), classes))
    for i, x in enumerate(queries):
        logits = []
        for c in range(classes):
            apart = unit(x) - means[c]
            prior = list(labels).count(c) / n
            logits.append(-0.5 * float(apart @ precision @ apart) + math.log(prior))
        found[i] = softmax(logits, 10.0)
    return found


def lda(
    train: Array, labels: Sequence[int], classes: int, test: Array, widths: Sequence[int]
) -> Array:
    """Return `(n, classes)`: the mean over heads, each cut to its width."""
    heads = [
        lda_head(head[:, :width], labels, classes, queries[:, :width])
        for head, queries, width in zip(train, test, widths, strict=True)
    ]
    return np.mean(heads, axis=0)


def lda_head_score(
    head: Array, labels: Sequence[int], classes: int, parts: Sequence[int] | None
) -> tuple[float, float]:
    """Return the sum of p of the right class and the mean lead over the best other.

    With `parts` (one number an example), the fit lacks the examples of the part that it scores.
    """
    score = lead = 0.0
    for i, y in enumerate(labels):
        kept = [j for j in range(len(labels)) if parts is None or parts[j] != parts[i]]
        (p,) = lda_head(head[kept], [labels[j] for j in kept], classes, head[i : i + 1])
        score += p[y]
        lead += p[y] - max(v for c, v in enumerate(p) if c != y)
    return score, lead / len(labels)


def knn(
    train: Array, labels: Sequence[int], classes: int, test: Array, k: int
) -> list[tuple[int, list[int]]]:
    """Return each test example's class and its neighbours' counts.

    The neighbours are those clearly nearer than the k-th, then the earliest of those that tie with
    it; equal counts go to the greatest mean cosine, and ties of these to the first class.
    """
    found = []
    for i in range(test.shape[1]):
        counts, sums = [0] * classes, [0.0] * classes
        for head, queries in zip(train, test, strict=True):
            values = [cosine(queries[i], x) for x in head]
            last = sorted(values, reverse=True)[k - 1]
            nearer = [j for j, v in enumerate(values) if v > last + TIE]
            tied = [j for j, v in enumerate(values) if abs(v - last) <= TIE]
            for j in (nearer + tied)[:k]:
                counts[labels[j]] += 1
                sums[labels[j]] += values[j]
        means = {c: sums[c] / n for c, n in enumerate(counts) if n == max(counts)}
        found.append((next(c for c in means if means[c] >= max(means.values()) - TIE), counts))
    return found


def parts_of(labels: Sequence[int], parts: int) -> list[int]:
    """Return the part of each example: the i-th of its class goes to part i modulo `parts`."""
    return [list(labels[:i]).count(y) % parts for i, y in enumerate(labels)]


def k_fold_successes(head: Array, labels: Sequence[int], classes: int, parts: int) -> int:
    """Return how many examples are nearest to their class's mean without all of their part."""
    of = parts_of(labels, parts)
    count = 0
    for i, y in enumerate(labels):
        kept = [j for j in range(len(labels)) if of[j] != of[i]]
        means = centroids(head[kept], [labels[j] for j in kept], classes)
        values = [cosine(head[i], mean) for mean in means]
        count += next(c for c, v in enumerate(values) if v >= max(values) - TIE) == y
    return count


@dataclass(frozen=True, slots=True)
class Case:
    """A few-shot problem on some chosen heads."""

    train: Array
    """`(heads, n, d)` float32, narrow heads padded with zeros."""
    labels: Array
    """`(n,)` class numbers in any order."""
    test: Array
    """`(heads, rows, d)` float32."""
    widths: tuple[int, ...]
    """Width of each head."""

    @property
    def classes(self) -> list[str]:
        """The names of the classes."""
        return [f"class {c}" for c in range(int(self.labels.max()) + 1)]


def draw(
    seed: int, heads: int, counts: Sequence[int], width: int, *, widths: Sequence[int] = ()
) -> Case:
    """Return a case with `counts` examples of the classes, shuffled; heads differ in strength."""
    rng = np.random.default_rng(seed)
    pull = rng.normal(size=(heads, len(counts), width)) * np.linspace(0, 1.5, heads)[:, None, None]
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    truth = rng.integers(0, len(counts), 9)
    train = pull[:, labels] + rng.normal(size=(heads, len(labels), width))
    test = pull[:, truth] + rng.normal(size=(heads, len(truth), width))
    for head, own in enumerate(widths):
        train[head, :, own:] = test[head, :, own:] = 0
    return Case(
        train.astype(np.float32),
        labels,
        test.astype(np.float32),
        tuple(widths) or (width,) * heads,
    )


def _zeros() -> Case:
    case = draw(6, 3, (4, 3, 3), 6)
    case.train[0, [0, 4]] = 0
    case.train[1] = case.test[1] = 0  # a dead head
    case.train[2, case.labels == 1] = 0  # a zero centroid
    case.test[:, 0] = case.test[2, 3] = 0
    return case


def _duplicates() -> Case:
    case = draw(7, 3, (4, 3, 4), 6)
    first, last = (np.flatnonzero(case.labels == c) for c in (0, 2))
    case.train[:, first[1]] = case.train[:, first[0]]  # within a class
    case.train[:, last] = case.train[:, first]  # whole classes: bit-identical centroids
    return case


def _constant() -> Case:
    case = draw(8, 3, (4, 5), 6)
    case.train[0] = case.test[0] = case.train[0, 0]  # says the same of everything
    for part in (case.train, case.test):  # says nearly the same
        part[1] = case.train[0, 0] + np.float32(1e-3) * part[1]
    return case


CASES: dict[str, Callable[[], Case]] = {
    "1 head, 2 classes": lambda: draw(1, 1, (5, 5), 8),
    "3 heads, 5 unbalanced classes": lambda: draw(2, 3, (6, 1, 3, 2, 4), 8),
    "20 heads, 12 classes, n < d": lambda: draw(3, 20, (2,) * 12, 32),
    "n > d": lambda: draw(4, 3, (9, 7, 8), 4),
    "one example a class": lambda: draw(5, 3, (1, 1, 1, 1), 6),
    "zero vectors": _zeros,
    "duplicates": _duplicates,
    "heads that hardly vary": _constant,
    "heads of three widths": lambda: draw(9, 3, (5, 6, 4), 8, widths=(8, 3, 5)),
}


def assert_choices(choice: Array, slow: Array, gap: float = 1e-5) -> None:
    """Assert that choices are the best class, or as good as it where rounding decides."""
    chosen = slow[np.arange(len(slow)), choice]
    clear = np.sort(slow, axis=1)[:, -1] - np.sort(slow, axis=1)[:, -2] > gap
    assert clear.any()
    assert choice[clear].tolist() == slow.argmax(axis=1)[clear].tolist()
    assert (chosen >= slow.max(axis=1) - gap).all()
