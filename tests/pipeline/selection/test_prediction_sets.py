"""The quantile of nonconformity, and the sets that follow."""

import math

import numpy as np
import pytest

from savs.foundation.errors import ParameterError
from savs.pipeline.selection.calibration import (
    in_set,
    least_examples,
    most_nonconformity,
    require_risk,
)

HUNDREDTHS = np.arange(1, 20) / 100
"""19 left-out examples: .01 ... .19."""


@pytest.mark.parametrize(
    ("n", "risk", "expected"),
    [
        (19, 0.05, 0.19),  # ceil(20 x .95) = 19: the 19th
        (18, 0.05, math.inf),  # ceil(19 x .95) = ceil(18.05) = 19 of 18
        (19, 0.1, 0.18),  # 20 x .9 = 18 exactly, which floats would make 18.000000000000004
        (19, 0.5, 0.10),
        (10, 0.3, 0.08),  # ceil(11 x .7) = ceil(7.7) = 8
    ],
)
def test_the_quantile_is_the_stated_place(n, risk, expected):
    assert most_nonconformity(HUNDREDTHS[:n], risk) == expected


@pytest.mark.parametrize("risk", [0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 1 / 3, 0.5])
def test_the_least_number_is_the_first_that_has_a_quantile(risk):
    least = least_examples(risk)
    scores = np.linspace(0, 1, 200)
    assert most_nonconformity(scores[:least], risk) <= 1
    assert most_nonconformity(scores[: least - 1], risk) == math.inf


def test_a_set_holds_the_classes_that_conform():
    p = np.float32([[0.9, 0.05, 0.05], [0.5, 0.3, 0.2], [0.34, 0.33, 0.33]])
    scores = np.float32([0.1, 0.2, 0.5, 0.6])  # risk .4: ceil(5 x .6) = 3rd, .5
    expected = [[True, False, False], [True, False, False], [False, False, False]]
    assert in_set(p, scores, 0.4).tolist() == expected
    assert in_set(p, scores, 0.05).all()  # of four examples none can be left out


@pytest.mark.parametrize("risk", [0, 1, -0.1, 1.5, float("nan")])
def test_a_risk_lies_between_0_and_1(risk):
    with pytest.raises(ParameterError, match=r"risk is .*, expected a number between 0 and 1"):
        require_risk(risk)
