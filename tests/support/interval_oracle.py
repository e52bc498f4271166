"""Clustered intervals the slow way: matrices of regression, and roots; no code is shared.

A mean over strata is a regression on one indicator a stratum, whose coefficients are averaged.
"""

import numpy as np
from scipy import linalg, optimize, stats

from savs.foundation.arrays import Array


def contributions(scores: Array, cluster: Array, stratum: Array) -> Array:
    """Return what each cluster adds to the error of the mean over strata, of which CR2 is made.

    Residuals of a cluster are multiplied by (I - H_cc)^(-1/2), Moore-Penrose: Pustejovsky and
    Tipton 2018, formula 6 with the identity as working covariance.
    """
    design = (stratum[:, None] == np.unique(stratum)).astype(float)
    bread = np.linalg.inv(design.T @ design)
    residuals = scores - design @ bread @ design.T @ scores
    average = np.full(design.shape[1], 1 / design.shape[1])
    found = []
    for number in np.unique(cluster):
        rows = cluster == number
        block = np.eye(rows.sum()) - design[rows] @ bread @ design[rows].T
        values, vectors = linalg.eigh(block)
        powers = np.where(values > 1e-9, np.maximum(values, 1e-9) ** -0.5, 0)
        adjusted = vectors @ np.diag(powers) @ vectors.T @ residuals[rows]
        found.append(average @ bread @ design[rows].T @ adjusted)
    return np.array(found)


def interval(scores: Array, cluster: Array) -> tuple[float, float]:
    """Return the 95 % interval of a share of one stratum whose scores differ.

    Its ends are where a share p has |mean - p| equal to t standard errors, the squared standard
    error being that of the sample times p (1 - p) over the sample's; or, if these are closer
    together, where it has that of all units of a cluster being equal.
    """
    q = contributions(scores, cluster, np.zeros(len(scores)))
    freedom = min(len(q) - 1, 1.5 * np.sum(q**2) ** 2 / np.sum(q**4))
    mean = scores.mean()
    sampled = np.sum(q**2) / (mean * (1 - mean)), stats.t.ppf(0.975, freedom)
    both = [_ends(mean, *pair) for pair in (sampled, (1 / kish(cluster), stats.norm.ppf(0.975)))]
    return min(both, key=lambda ends: ends[1] - ends[0])


def _ends(mean: float, ratio: float, quantile: float) -> tuple[float, float]:
    def beyond(p: float) -> float:
        return (mean - p) ** 2 - quantile**2 * p * (1 - p) * ratio

    return optimize.brentq(beyond, 0, mean), optimize.brentq(beyond, mean, 1)


def kish(cluster: Array) -> float:
    """Return n^2 over the sum of squared cluster sizes, unit by unit."""
    pairs = sum(float(a == b) for a in cluster for b in cluster)
    return len(cluster) ** 2 / pairs
