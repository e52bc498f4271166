"""`posterior`: the mean over heads of class probabilities, and `calm`: that mean with weights.

Source: CALM, arXiv 2602.07077, where heads are weighted by their confidence in each class on
held-out examples. `calm_readout` has the settings of its repository.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.pipeline.heads.centroids import class_centroids, leads, normalise
from savs.pipeline.heads.head_scores import held_out_cosines
from savs.pipeline.readouts.heads_fit import HeadsFit, softmax
from savs.pipeline.readouts.readout import Readout, Widths

TAU = 0.07
"""Temperature of the cosines."""
HEAD, ALL = "head", "all"
"""What rare classes are shrunk to: each head's own mean over classes, or the mean of all."""


def fit_posterior(
    features: Array, labels: Array, classes: Sequence[str], widths: Widths
) -> HeadsFit:
    """Take each class's centroid in each chosen head."""
    return HeadsFit.of_centroids("mean", features, labels, len(classes), TAU)


POSTERIOR = Readout(
    name="posterior",
    summary="mean over heads of softmax(cosine / 0.07) (CALM's posterior, arXiv 2602.07077)",
    fit=fit_posterior,
    is_nested=True,
    has_centroids=True,
)


@dataclass(frozen=True, slots=True)
class CalmOptions:
    """How the weights of heads are found.

    Raises
    ------
    ParameterError
        A temperature is not above 0, `top_k` below 1, or another value unknown.
    """

    tau: float = TAU
    """Temperature of the cosines."""
    tau_w: float = 1.0
    """Temperature of the weights: they are a head's confidence to the power of 1 / tau_w."""
    top_k: int | None = None
    """Heads of each class that have a weight, the surest first; None for all that are given."""
    leave_out: bool = True
    """Leave each example out of its own class's centroid; else confidence is measured on the
    examples that the centroids are made of."""
    shrinkage: float = 0.0
    """How many examples' worth of trust the prior r' has: r n / (n + s) + r' s / (n + s) with n
    examples of the class."""
    prior: str = HEAD
    """That prior: `head` or `all`."""

    def __post_init__(self) -> None:
        wrong = {
            "tau": self.tau <= 0,
            "tau_w": self.tau_w <= 0,
            "top_k": self.top_k is not None and self.top_k < 1,
            "shrinkage": self.shrinkage < 0,
            "prior": self.prior not in (HEAD, ALL),
        }
        for name in (name for name, is_wrong in wrong.items() if is_wrong):
            expected = f"{HEAD} or {ALL}" if name == "prior" else "more than 0"
            raise ParameterError(f"`{name}` is {getattr(self, name)!r}, expected {expected}")


PUBLISHED = CalmOptions(tau=0.03, tau_w=0.5, leave_out=False, prior=ALL)
"""The settings in CALM's scripts, which choose `top_k` on test examples: give your own."""


def reliability(
    features: Array, labels: Array, classes: int, options: CalmOptions = CalmOptions()
) -> Array:
    """Return how sure each head is of each class: the mean of max(0, p_true - p_best_other).

    Tied cosines count 0. `(heads, classes)` float64; 0 for a class with one example that is left
    out, of which nothing is left.
    """
    total = np.zeros((len(features), classes))
    tables = held_out_cosines if options.leave_out else _cosines
    for heads, rows, table in tables(features, labels, classes):
        own_class, at = labels[rows], np.arange(table.shape[1])
        ahead = leads(table, own_class) > 0
        p = softmax(table / table.dtype.type(options.tau))
        true = p[:, at, own_class]
        p[:, at, own_class] = -np.inf
        sure = np.where(ahead, true - p.max(axis=2), 0)  # (heads, rows)
        np.add.at(total[heads].T, own_class, sure.T)
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts > int(options.leave_out), total / counts, 0.0)


def _cosines(features: Array, labels: Array, classes: int) -> Iterator[tuple[slice, slice, Array]]:
    """Yield what `held_out_cosines` does, with no example left out, head by head.

    They are float64, so that probabilities near 1, which `top_k` ranks, are not all 1.
    """
    directions = normalise(class_centroids(features, labels, classes))
    for head, direction in enumerate(directions):
        table = normalise(features[head]) @ direction.T
        yield slice(head, head + 1), slice(0, len(labels)), table[None].astype(np.float64)


def fit(
    features: Array,
    labels: Array,
    classes: Sequence[str],
    widths: Widths,
    options: CalmOptions = CalmOptions(),
) -> HeadsFit:
    """Take centroids, and weights from the training examples.

    Of heads that are equally sure of a class, the first are among the `top_k`. A class of which no
    head is sure has equal weights.
    """
    sure = reliability(features, labels, len(classes), options)
    counts = np.bincount(labels, minlength=len(classes))
    trust = counts / (counts + options.shrinkage)
    prior = sure.mean() if options.prior == ALL else sure.mean(axis=1, keepdims=True)
    sure = sure * trust + prior * (1 - trust)
    if options.top_k is not None:
        ranks = np.argsort(np.argsort(-sure, axis=0, kind="stable"), axis=0)
        sure = np.where(ranks < options.top_k, sure, 0)
    best = sure.max(axis=0)
    sharp = (sure / np.where(best > 0, best, 1)) ** (1 / options.tau_w)  # large powers vanish
    sums = sharp.sum(axis=0)
    weights = np.where(sums > 0, sharp / np.where(sums > 0, sums, 1), 1 / len(features))
    return HeadsFit.of_centroids("mean", features, labels, len(classes), options.tau, weights)


CALM = Readout(
    name="calm",
    summary="probabilities weighted by head and class on left-out examples (arXiv 2602.07077)",
    fit=fit,
    has_centroids=True,
)


def calm_readout(name: str, **options: Any) -> Readout:
    """Return CALM as its authors published it, under a name of your own, which names the results.

    Use it with all heads of a store: `options` are the fields of `CalmOptions` that differ from
    `PUBLISHED`, above all `top_k`, the heads of each class.

    >>> import savs
    >>> rule = calm_readout("calm-20", top_k=20)
    >>> savs.select("heard", heads="all", readout=rule)  # doctest: +SKIP
    """
    chosen = replace(PUBLISHED, **options)
    return replace(
        CALM,
        name=name,
        summary=f"CALM as published (arXiv 2602.07077): {chosen}",
        fit=partial(fit, options=chosen),
    )
