"""All of stage 2, straight from its formulas in float64, and other slow ways; no code is shared.

A head is `(rows, width)`, as wide as it is; heads come best first. Nothing is rearranged for speed:
examples are left out by leaving them out, `lda` inverts its matrix and takes its quadratic form,
and `logistic` is minimised to the end.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import minimize

from savs.datasets import Example, Units

Array = npt.NDArray[np.float64]
Labels = Sequence[int] | npt.NDArray[np.int64]
Heads = Sequence[npt.ArrayLike] | Array
TIE = 2.0**-19
"""The written rule: cosines within this of each other tie."""
TAU, LDA_TAU = 0.07, 10.0


def unit(rows: npt.ArrayLike) -> Array:
    """Return a vector, or rows, of length 1; zero stays zero."""
    rows = np.asarray(rows, np.float64)
    greatest = np.abs(rows).max(axis=-1, keepdims=True, initial=0)
    scaled = rows / np.where(greatest > 0, greatest, 1)
    lengths = np.sqrt((scaled**2).sum(axis=-1, keepdims=True))
    return scaled / np.where(lengths > 0, lengths, 1)


def cosine(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Return the cosine; 0 with a zero vector."""
    return float(unit(a) @ unit(b))


def cosines(rows: npt.ArrayLike, to: npt.ArrayLike) -> Array:
    """Return `(rows, of to)` cosines."""
    return unit(rows) @ unit(to).T


def softmax(values: npt.ArrayLike, tau: float) -> Array:
    """Return exp(v / tau), normalised along the last axis."""
    values = np.asarray(values, np.float64)
    powers = np.exp((values - values.max(axis=-1, keepdims=True)) / tau)
    return powers / powers.sum(axis=-1, keepdims=True)


def first_best(table: Array) -> Array:
    """Return the first class within TIE of each row's greatest value."""
    return (table >= table.max(axis=-1, keepdims=True) - TIE).argmax(axis=-1)


def lead(row: Array, own: int) -> float:
    """Return how far a class is ahead of the best other one."""
    return float(row[own] - np.delete(row, own).max())


def centroids_of(head: npt.ArrayLike, labels: Labels, classes: int) -> Array:
    """Return the plain mean of each class's rows."""
    head, labels = np.asarray(head, np.float64), np.asarray(labels)
    return np.array([head[labels == c].mean(axis=0) for c in range(classes)])


def nearest(x: npt.ArrayLike, centroids: npt.ArrayLike) -> int:
    """Return the first class within TIE of the greatest cosine."""
    return int(first_best(cosines([x], centroids))[0])


# --- scores of heads


def parts_of(labels: Labels, parts: int) -> list[int]:
    """Return the part of each example: the i-th of its class goes to part i modulo `parts`."""
    return [list(labels[:i]).count(y) % parts for i, y in enumerate(labels)]


def _left_out(labels: Labels, scoring: str | int) -> list[int] | None:
    """Return the part of each example that is left out as a whole: alone, or of some parts."""
    if scoring == "resubstitution":
        return None
    if scoring == "loo":
        return list(range(len(labels)))
    count = min(5, *Counter(list(labels)).values()) if scoring == "kfold" else int(scoring)
    return parts_of(labels, count)


def _held_out(head: Array, labels: Array, classes: int, parts: list[int] | None, i: int) -> Array:
    """Return the cosines of an example with centroids without its part.

    Its class keeps its examples where nothing else would be left of it.
    """
    kept = np.ones(len(labels), bool) if parts is None else np.array(parts) != parts[i]
    if not kept[labels == labels[i]].any():
        kept |= labels == labels[i]
    return cosines(head[[i]], centroids_of(head[kept], labels[kept], classes))[0]


def head_score(
    head: npt.ArrayLike, labels: Labels, classes: int, readout: str, scoring: str | int
) -> tuple[float, float]:
    """Return the train-side score of a head and its margin; `scoring` may be a number of parts."""
    parts = _left_out(labels, scoring)
    if readout in ("lda", "hec-v"):
        return lda_head_score(head, labels, classes, parts, readout)
    head, labels = np.asarray(head, np.float64), np.asarray(labels)
    score, margins, alone = 0, 0.0, list(range(len(labels)))
    for i, y in enumerate(labels):
        score += int(first_best(_held_out(head, labels, classes, parts, i)) == y)
        ahead = lead(_held_out(head, labels, classes, alone, i), y)
        margins += ahead if abs(ahead) > TIE else 0.0
    return float(score), margins / len(labels)


def successes(head: npt.ArrayLike, labels: Labels, classes: int, scoring: str | int) -> float:
    """Return how many training examples a head puts in the right class."""
    return head_score(head, labels, classes, "vote", scoring)[0]


def margin(head: npt.ArrayLike, labels: Labels, classes: int) -> float:
    """Return the mean held-out margin of a head; a tie counts 0."""
    return head_score(head, labels, classes, "vote", "loo")[1]


def ranking(features: Heads, labels: Labels, classes: int, scoring: str) -> list[int]:
    """Return the places of the heads, best first."""
    scores = [head_score(head, labels, classes, "vote", scoring) for head in features]
    return sorted(range(len(scores)), key=lambda place: (*np.negative(scores[place]), place))


def _means(column: Array, labels: Array, classes: int) -> Array:
    return centroids_of(column[:, None], labels, classes)[:, 0]


def nearest_mean(x: float, means: Array) -> int:
    """Return the first class whose mean is nearest, within TIE of their range."""
    away = np.abs(x - means)
    return int((away <= away.min() + TIE * np.ptp(means)).argmax())


def _near(away: float, spread: float) -> float:
    return spread / (spread + away) if spread else 0.0


def neuron_score(
    column: npt.ArrayLike, labels: Labels, classes: int, scoring: str
) -> tuple[float, float]:
    """Return the train-side score of one value of a head, and its margin."""
    column, labels = np.asarray(column, np.float64), np.asarray(labels)
    parts, score, margins = _left_out(labels, scoring), 0, 0.0
    spread = float(np.ptp(_means(column, labels, classes)))
    for i, y in enumerate(labels):
        out = np.zeros(len(labels), bool) if parts is None else np.array(parts) == parts[i]
        score += nearest_mean(column[i], _means(column[~out], labels[~out], classes)) == y
        alone = (labels == y).sum() == 1
        kept = np.arange(len(labels)) != (-1 if alone else i)
        away = np.abs(column[i] - _means(column[kept], labels[kept], classes))
        ahead = _near(away[y], spread) - _near(np.delete(away, y).min(), spread)
        margins += ahead if abs(ahead) > TIE else 0.0
    return float(score), margins / len(labels)


def lda_head_score(
    head: npt.ArrayLike,
    labels: Labels,
    classes: int,
    parts: Sequence[int] | None,
    readout: str = "lda",
) -> tuple[float, float]:
    """Return the sum of p of the right class and the mean lead of its logit, divided by tau.

    With `parts` (one number an example), the fit lacks the examples of the part that it scores.
    """
    head, labels = np.asarray(head, np.float64), np.asarray(labels)
    of = np.zeros(len(labels)) if parts is None else np.array(parts)
    score = leads = 0.0
    for part in np.unique(of):
        out = of == part
        kept = out if parts is None else ~out
        logits = lda_logits(head[kept], labels[kept], classes, head[out], readout)
        for row, y in zip(logits, labels[out], strict=True):
            score += softmax(row, LDA_TAU)[y]
            leads += lead(row, y) / LDA_TAU
    return score, leads / len(labels)


# --- readouts


def vote(
    train: Heads, labels: Labels, classes: int, test: Heads
) -> list[tuple[int, dict[int, int]]]:
    """Return each test example's class and its votes."""
    ballots = [
        first_best(cosines(x, centroids_of(head, labels, classes))).tolist()
        for head, x in zip(train, test, strict=True)
    ]
    counts = [Counter(of) for of in zip(*ballots, strict=True)]
    # the first to appear, of the best head, wins among equals
    return [(of.most_common(1)[0][0], dict(of)) for of in counts]


def neurons(
    train: Heads, labels: Labels, classes: int, test: Heads
) -> list[tuple[int, dict[int, int]]]:
    """Return each test example's class and its votes, from `(rows, 1)` values of neurons."""
    ballots = [
        [nearest_mean(x, _means(np.asarray(one, float)[:, 0], labels, classes)) for [x] in rows]
        for one, rows in zip(train, test, strict=True)
    ]
    counts = [Counter(of) for of in zip(*ballots, strict=True)]
    return [(of.most_common(1)[0][0], dict(of)) for of in counts]


def _softmaxes(train: Heads, labels: Labels, classes: int, test: Heads) -> list[Array]:
    return [
        softmax(cosines(x, centroids_of(head, labels, classes)), TAU)
        for head, x in zip(train, test, strict=True)
    ]


def posterior(train: Heads, labels: Labels, classes: int, test: Heads) -> Array:
    """Return `(n, classes)`: the mean over heads of softmax(cosine / 0.07)."""
    return np.mean(_softmaxes(train, labels, classes, test), axis=0)


def calm_weights(train: Heads, labels: Labels, classes: int, shrinkage: float = 0.0) -> Array:
    """Return `(heads, classes)` weights: w[h, c] = r[h, c] / sum over h."""
    labels, alone = np.asarray(labels), list(range(len(labels)))
    sizes = np.bincount(labels, minlength=classes)
    sure = np.zeros((len(train), classes))
    for h, head in enumerate(np.asarray(own, np.float64) for own in train):
        for i, y in enumerate(labels):
            if sizes[y] > 1:  # else nothing is left of the class
                row = _held_out(head, labels, classes, alone, i)
                sure[h, y] += lead(softmax(row, TAU), y) / sizes[y] if lead(row, y) > TIE else 0
    means = sure.mean(axis=1, keepdims=True)
    shrunk = (sure * sizes + means * shrinkage) / (sizes + shrinkage)
    total = shrunk.sum(axis=0)
    return np.where(total > 0, shrunk / np.where(total > 0, total, 1), 1 / len(train))


def calm(train: Heads, labels: Labels, classes: int, test: Heads) -> Array:
    """Return `(n, classes)`: the sum over heads of w[h, c] p[h, c]."""
    weights = calm_weights(train, labels, classes)
    return np.einsum("hc,hnc->nc", weights, _softmaxes(train, labels, classes, test))


def published_calm(
    train: Heads,
    labels: Labels,
    classes: int,
    test: Heads,
    *,
    tau: float,
    tau_w: float,
    top_k: int | None = None,
    leave_out: bool,
    shrinkage: float = 0.0,
    prior: str,
) -> tuple[Array, Array]:
    """Return CALM's `(heads, classes)` weights and `(n, classes)` scores, class by class.

    p = softmax(cos / tau); r[h, c] is the mean over class c of max(0, p_c - best other), shrunk to
    a prior; the top_k heads of each class have weights proportional to r^(1 / tau_w).
    """
    heads, labels = range(len(train)), np.asarray(labels)
    cosine = [cosines(own, centroids_of(own, labels, classes)) for own in train]
    sure = np.zeros((len(train), classes))
    for h in heads:
        head = np.asarray(train[h], np.float64)
        for i, y in enumerate(labels):
            row = _held_out(head, labels, classes, [*range(len(labels))], i) if leave_out else None
            own = cosine[h][i] if row is None else row
            p = np.exp((own - own.max()) / tau)
            p /= p.sum()
            sure[h, y] += max(0, p[y] - np.delete(p, y).max()) / (labels == y).sum()
    weights = np.zeros_like(sure)
    for c in range(classes):
        n = (labels == c).sum()
        before = sure.mean(axis=1) if prior == "head" else np.full(len(train), sure.mean())
        r = (sure[:, c] * n + before * shrinkage) / (n + shrinkage)
        for h in sorted(heads, key=lambda h, r=r: (-r[h], h))[:top_k]:
            weights[h, c] = r[h] ** (1 / tau_w)
        total = weights[:, c].sum()
        weights[:, c] = weights[:, c] / total if total > 0 else 1 / len(train)
    scores = np.zeros((len(test[0]), classes))
    for h in heads:
        table = cosines(test[h], centroids_of(train[h], labels, classes))
        p = np.exp((table - table.max(axis=1, keepdims=True)) / tau)
        scores += weights[h] * p / p.sum(axis=1, keepdims=True)
    return weights, scores


def lda_head(
    head: npt.ArrayLike,
    labels: Labels,
    classes: int,
    queries: npt.ArrayLike,
    readout: str = "lda",
) -> Array:
    """Return one head's `(n, classes)` probabilities by `lda` or `hec-v`, at its own width."""
    return softmax(lda_logits(head, labels, classes, queries, readout), LDA_TAU)


def lda_logits(
    head: npt.ArrayLike, labels: Labels, classes: int, queries: npt.ArrayLike, readout: str
) -> Array:
    """Return the same before the softmax."""
    rows, labels = unit(head), np.asarray(labels)
    means = centroids_of(rows, labels, classes)
    precision = lda_precision(rows - means[labels])
    apart = unit(queries)[:, None] - means  # (rows, classes, d)
    logits = -0.5 * np.einsum("ncd,de,nce->nc", apart, precision, apart)
    sizes = np.bincount(labels, minlength=classes)
    if readout == "hec-v":
        logits += np.log(sizes / len(labels))
    elif len(set(sizes)) > 1:  # else the same for all classes
        logits += mean_error(rows, labels, classes) / sizes / 2
    return logits


def lda_precision(centred: Array, ridge: float | None = None) -> Array:
    """Return P = d inv(X^T X + ridge I), by default of the trace of the covariance."""
    n, d = centred.shape
    ridge = float((centred**2).sum()) / max(n - 1, 1) if ridge is None else ridge
    # without spread, but for rounding, all directions count the same
    return (
        np.eye(d) if ridge < 1e-28 else d * np.linalg.inv(centred.T @ centred + ridge * np.eye(d))
    )


def mean_error(
    rows: Array, labels: npt.NDArray[np.int64], classes: int, ridge: float | None = None
) -> float:
    """Return tr(P Sigma): by how much the mean of one example is off, measured on left-out ones.

    Each example in turn is left out of the means and of X^T X. An example less the mean of n others
    has the covariance (1 + 1 / n) Sigma.
    """
    centred = rows - centroids_of(rows, labels, classes)[labels]
    ridge, total = float((centred**2).sum()) / (len(rows) - 1) if ridge is None else ridge, 0.0
    for i, y in enumerate(labels):
        kept = np.arange(len(rows)) != i
        others = int((labels[kept] == y).sum())
        if others:
            means = centroids_of(rows[kept], labels[kept], classes)
            p = lda_precision(rows[kept] - means[labels[kept]], ridge)
            total += (rows[i] - means[y]) @ p @ (rows[i] - means[y]) * (others / (others + 1)) ** 2
    return total / (len(rows) - classes)


def lda_errors(train: Heads, labels: Labels, classes: int, test: Heads, readout: str) -> Array:
    """Return `(n, classes)`: by how much mean probabilities may differ in a tie.

    A logit may be off by 2^-19 of the longest weights of its head, a probability by
    2 p (1 - p) times that, divided by the temperature.
    """
    errors = []
    for head, x in zip(train, test, strict=True):
        rows = unit(head)
        means = centroids_of(rows, labels, classes)
        precision = lda_precision(rows - means[np.asarray(labels)])
        longest = np.linalg.norm((means - means.mean(axis=0)) @ precision, axis=1).max()
        p = lda_head(head, labels, classes, x, readout)
        errors.append(2 * TIE * longest / LDA_TAU * p * (1 - p))
    return np.mean(errors, axis=0)


def lda(
    train: Heads,
    labels: Labels,
    classes: int,
    test: Heads,
    widths: Sequence[int] | None = None,
    readout: str = "lda",
) -> Array:
    """Return `(n, classes)`: the mean over heads, each cut to its width; `hec-v` likewise."""
    pairs = [(np.asarray(head), np.asarray(x)) for head, x in zip(train, test, strict=True)]
    cut = widths or [head.shape[1] for head, _ in pairs]
    tables = [
        lda_head(head[:, :width], labels, classes, x[:, :width], readout)
        for (head, x), width in zip(pairs, cut, strict=True)
    ]
    return np.mean(tables, axis=0)


def knn(
    train: Heads, labels: Labels, classes: int, test: Heads, k: int
) -> list[tuple[int, list[int]]]:
    """Return each test example's class and its neighbours' counts.

    The neighbours are those clearly nearer than the k-th, then the earliest of those that tie with
    it; equal counts go to the greatest mean cosine, and ties of these to the first class.
    """
    tables = [cosines(x, head) for head, x in zip(train, test, strict=True)]
    found = []
    for i in range(len(test[0])):
        counts, sums = np.zeros(classes, int), np.zeros(classes)
        for row in (table[i] for table in tables):
            last = np.sort(row)[::-1][k - 1]
            nearer = np.flatnonzero(row > last + TIE)
            tied = np.flatnonzero(np.abs(row - last) <= TIE)
            for j in np.concatenate([nearer, tied])[:k]:
                counts[labels[j]] += 1
                sums[labels[j]] += row[j]
        mean = np.where(counts == counts.max(), sums / counts.max(), -np.inf)
        found.append((int(first_best(mean)), counts.tolist()))
    return found


def logistic(train: Heads, labels: Labels, classes: int, test: Heads) -> Array:
    """Minimise the log-loss + |W|^2 / 2; two classes have one row of weights, as scikit-learn."""
    x, queries = (np.concatenate([unit(h) for h in heads], axis=1) for heads in (train, test))
    labels, rows = np.asarray(labels), classes if classes > 2 else 1
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
    return softmax(logits(found.x, queries), 1.0)


def mahalanobis(
    train: Heads, labels: Labels, classes: int, test: Heads, widths: Sequence[int] | None = None
) -> Array:
    """Take -1/2 (x - mu)^T inv(S) (x - mu) / heads, S shrunk as Ledoit and Wolf define it."""
    cut = widths or [np.asarray(head).shape[1] for head in train]
    x, queries = (
        np.concatenate([unit(np.asarray(h)[:, :w]) for h, w in zip(of, cut, strict=True)], axis=1)
        for of in (train, test)
    )
    labels = np.asarray(labels)
    means = centroids_of(x, labels, classes)
    centred, (n, d) = x - means[labels], x.shape
    sizes = np.bincount(labels, minlength=classes)
    precision, error = np.eye(d), 0.0
    if (total := float((centred**2).sum())) > 1e-28:
        s = centred.T @ centred / n
        away = ((s - np.trace(s) / d * np.eye(d)) ** 2).sum()
        noise = sum(((np.outer(row, row) - s) ** 2).sum() for row in centred) / n**2
        share = min(noise / away, 1 - 2**-20)
        unbiased = centred.T @ centred / (n - classes)
        target = np.trace(unbiased) / d * np.eye(d)
        precision = np.linalg.inv((1 - share) * unbiased + share * target)
        if len(set(sizes)) > 1:
            error = mean_error(x, labels, classes, share / (1 - share) * total / d)
            error *= (n - classes) / (1 - share) / d  # for the d of `lda`
    apart = queries[:, None] - means
    logits = -0.5 * np.einsum("ncd,de,nce->nc", apart, precision, apart) + error / sizes / 2
    return softmax(logits, len(train))


def ridge(train: Heads, labels: Labels, classes: int, test: Heads) -> Array:
    """Regress one-hot labels; the strength is the best at examples that are left out one by one."""
    x, queries = (np.concatenate([unit(h) for h in heads], axis=1) for heads in (train, test))
    labels = np.asarray(labels)
    weights = 1 / (classes * np.bincount(labels)[labels])
    targets = np.eye(classes)[labels]

    def outputs(kept: Array, strength: float, rows: Array) -> Array:
        w, own = weights[kept], weights[kept] / weights[kept].sum()
        middle, level = own @ x[kept], own @ targets[kept]
        a = np.sqrt(w)[:, None] * (x[kept] - middle)
        b = np.sqrt(w)[:, None] * (targets[kept] - level)
        return level + (rows - middle) @ a.T @ np.linalg.solve(
            a @ a.T + strength * np.eye(len(a)), b
        )

    everything = np.arange(len(x))
    length = weights @ ((x - weights @ x) ** 2).sum(axis=1)
    strengths = length * 10.0 ** np.arange(3, -4, -1)
    left_out = np.array(
        [[outputs(np.delete(everything, i), s, x[[i]])[0] for i in everything] for s in strengths]
    )
    best = int(np.argmin(weights @ ((left_out - targets) ** 2).sum(axis=2).T))
    found = outputs(everything, strengths[best], queries)
    if len(set(weights)) > 1:
        by_class = [left_out[best][labels == c].mean(axis=0) for c in range(classes)]
        found += 1 / classes - np.mean(by_class, axis=0)
    return softmax(found, 0.1)


@dataclass(frozen=True)
class Choices:
    """The classes of test examples, and where rounding in float32 may choose another."""

    choice: Array
    open: Array
    """`(rows, classes)`: whether a class may be chosen; one class a row where it is clear."""


def _likeliest(p: Array, ratio: float | Array, slack: float) -> Choices:
    """Choose the first class with at least `ratio` of the greatest probability."""
    relative = p / p.max(axis=1, keepdims=True)
    found = (relative >= ratio).argmax(axis=1)
    unsure = np.abs(relative - ratio) <= slack  # a class that may tie, or not
    sure = relative > ratio + slack
    first_sure = np.where(sure.any(axis=1), sure.argmax(axis=1), p.shape[1])
    before = np.arange(p.shape[1]) <= first_sure[:, None]
    return Choices(found, before & (unsure | sure))


def predict(readout: str, train: Heads, labels: Labels, classes: int, test: Heads) -> Choices:
    """Return the classes of the test rows, and which ones rounding could make them."""
    given = (train, labels, classes, test)
    k = min(5, int(np.bincount(labels).min()))
    counting = {"vote": vote, "neurons": neurons, "knn": lambda *given: knn(*given, k)}
    if readout in counting:
        choice = np.array([c for c, _ in counting[readout](*given)])
        return Choices(choice, np.arange(classes) == choice[:, None])
    table, ratio, slack = {
        "posterior": (posterior, np.exp(-TIE / TAU), 1e-5),
        "calm": (calm, np.exp(-TIE / TAU), 1e-5),
        "lda": (lda, 1.0, 1e-5),
        "hec-v": (partial(lda, readout="hec-v"), 1.0, 1e-5),
        "mahalanobis": (mahalanobis, 1.0, 1e-5),
        "logistic": (logistic, 1.0, 5e-3),
        "ridge": (ridge, 1.0, 1e-5),
    }[readout]
    p, rows = table(*given), np.arange(len(test[0]))
    if readout in ("lda", "hec-v"):
        best = p.argmax(axis=1)
        error = lda_errors(train, labels, classes, test, readout)[rows, best]
        ratio = 1 - (error / p[rows, best])[:, None]
    return _likeliest(p, ratio, slack)


# --- other oracles


def likelihood(model, inputs, tokens):
    """Return log p(tokens | inputs) of a model of transformers; `inputs` belong to one prompt."""
    import torch

    inputs, total = dict(inputs), 0.0
    for token in tokens:
        with torch.inference_mode():
            logits = model(**inputs, use_cache=False).logits[0, -1].double()
        total += float(logits.log_softmax(0)[token])
        one = torch.ones((1, 1), dtype=torch.long)
        for name, more in {"input_ids": token, "attention_mask": 1}.items():
            inputs[name] = torch.cat([inputs[name], more * one], dim=1)
        for name in {"token_type_ids", "mm_token_type_ids", "moe_mm_token_type_ids"} & set(inputs):
            kind = int(model.config.model_type == "paligemma")  # where 1 is what follows a prompt
            inputs[name] = torch.cat([inputs[name], kind * one], dim=1)
        if "image_embeds_position_mask" in inputs:
            places = inputs["image_embeds_position_mask"]
            inputs["image_embeds_position_mask"] = torch.cat([places, 0 * one], dim=1)
        if "cross_attention_mask" in inputs:
            seen = inputs["cross_attention_mask"]  # by an answer as by the prompt's last token
            inputs["cross_attention_mask"] = torch.cat([seen, seen[:, -1:]], dim=1)
    return total


VOTES = pl.List(pl.Struct({"class": pl.String, "score": pl.Float32, "soft": pl.Float32}))
NAMES = ("id", "label", "prompt", "media", "group", "subtask", "category")


def predictions_of(
    examples: Sequence[Example],
    scores: Sequence[float | None],
    classes: tuple[str, str] = ("Yes", "No"),
    clusters: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Return predictions: the first class where its score is over a half; None was skipped."""
    first, second = classes
    answers = [s if s is None else first if s > 0.5 else second for s in scores]
    votes = [
        s if s is None else [{"class": c, "soft": v} for c, v in ((first, s), (second, 1 - s))]
        for s in scores
    ]
    frame = pl.DataFrame([{n: getattr(e, n) for n in NAMES} for e in examples]).cast(
        dict.fromkeys(("group", "subtask", "category"), pl.String)
    )
    found = pl.Series(answers, dtype=pl.String)
    return frame.with_columns(
        cluster=pl.Series(clusters or [str(i) for i in range(len(examples))]),
        prediction=found,
        correct=(found == frame["label"]).fill_null(False),
        votes=pl.Series(votes, dtype=VOTES),
    )


def value(units: Units) -> float:
    """Return the mean over strata of the mean score in each."""
    means = units.scores.group_by("stratum").agg(pl.col("score").mean())
    return float(means["score"].to_numpy().mean())
