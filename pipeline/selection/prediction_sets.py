"""Prediction sets whose risk is chosen: P(truth outside the set) is at most that.

The nonconformity of an example is 1 - p(its class), by a classifier that was not fitted on it. A
set holds each class whose nonconformity is at most the ceil((n + 1)(1 - risk))-th smallest of n
left-out training examples. Where these are pooled over folds this is cross-conformal prediction
(Vovk, arXiv 1208.0806), which in practice is rather too careful than too bold.
"""

import math
from fractions import Fraction

import numpy as np

from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError


def require_risk(risk: float) -> None:
    """Raise ParameterError unless a risk lies between 0 and 1."""
    if not 0 < risk < 1:
        raise ParameterError(f"risk is {risk}, expected a number between 0 and 1, such as 0.05")


def least_examples(risk: float) -> int:
    """Return the smallest number of left-out examples with which a set can lack a class.

    Examples
    --------
    >>> least_examples(0.05), least_examples(0.1)
    (19, 9)
    """
    return math.ceil(1 / Fraction(str(risk))) - 1


def most_nonconformity(nonconformity: Array, risk: float) -> float:
    """Return the greatest nonconformity that a class in a set may have.

    Infinity, so that all classes are in it, where the examples are fewer than `least_examples`.

    Parameters
    ----------
    nonconformity
        `(n,)`, ascending.
    risk
        Above 0 and below 1.

    Examples
    --------
    >>> scores = np.arange(1, 11) / 10
    >>> most_nonconformity(scores, 0.2), most_nonconformity(scores, 0.05)
    (0.9, inf)
    """
    require_risk(risk)
    place = math.ceil((len(nonconformity) + 1) * (1 - Fraction(str(risk))))
    return math.inf if place > len(nonconformity) else float(nonconformity[place - 1])


def in_set(probabilities: Array, nonconformity: Array, risk: float) -> Array:
    """Return whether each class is in the set of each example, `(n, classes)` -> the same shape."""
    most = most_nonconformity(nonconformity, risk)
    return np.float32(1) - probabilities.astype(np.float32) <= np.float32(most)
