"""From the margin of one of many labels to a probability, and to a decision.

The probability is a sigmoid of the margin (Platt, 1999), whose slope and intercept, and a threshold
of the probability, come from left-out training examples. An intercept is needed: the classes of a
label are rarely of one size, and nearest centroids do not know their sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from savs.datasets.many_labels import ABSENT, PRESENT, UNKNOWN
from savs.foundation.arrays import Array
from savs.pipeline.targets.tasks import Decision

LEAST_SLOPE = 2.0**-7
"""Per standard deviation of the margins: a greater margin is always more probable, even of a label
that nothing was learned of."""
MOST = 2.0**40
"""Slopes and intercepts are smaller."""
STEPS = 200
"""Steps of Newton's method at most; some ten are usual."""
CLOSE = 1e-9
"""It ends when no slope and no intercept changes by more."""
LEAST = 2.0**-24
"""Probabilities are at least this, and at most 1 less it: float32 has no others next to 1."""
NEVER = 1.0
"""Threshold that no probability reaches."""
RISKS = 50
"""Risks of sets of labels, in percent, from 1 on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRule(Decision):
    """How the margin of a label becomes a probability and a decision."""

    kind: Literal["label"] = "label"  # pyrefly: ignore[bad-override]
    slope: Annotated[float, Meta(gt=0, lt=MOST)]
    intercept: Annotated[float, Meta(gt=-MOST, lt=MOST)]
    threshold: Annotated[float, Meta(gt=0, le=NEVER)]
    """Probability from which the label is predicted; `NEVER` where none has the precision."""
    kept: tuple[Annotated[float, Meta(ge=-MOST, le=MOST)], ...] = ()
    """Logit from which the label is in the set of an example, at each risk of 1 to `RISKS` %;
    `-MOST` at risks for which it is there too rarely. Nothing where no example was left out."""

    def least_kept(self, risk: float) -> float:
        """Return the logit from which the label is in a set at a risk."""
        percent = int(100 * risk + CLOSE)
        return self.kept[percent - 1] if self.kept and percent else -MOST

    @property
    def least_logit(self) -> float:
        """The logit of the threshold; infinite for `NEVER`."""
        return float(logits_of(np.array(self.threshold)))


def logits_of(shares: Array) -> Array:
    """Return the logits of probabilities; infinite for 0 and 1."""
    with np.errstate(divide="ignore"):
        return np.log(shares) - np.log1p(-shares)


def threshold_distances(shares: Array, thresholds: Array) -> Array:
    """Return how far the logits of `(n, labels)` probabilities are from those of thresholds.

    Infinite for `NEVER`.
    """
    return np.abs(logits_of(np.clip(shares, LEAST, 1 - LEAST)) - logits_of(thresholds))


PLAIN = LabelRule(slope=1.0, intercept=0.0, threshold=0.5)
"""Rule of a label without one: it is predicted where its margin is not negative."""


def fit_rules(margins: Array, states: Array, precision: float | None) -> list[LabelRule | None]:
    """Return the rule of each label, from its left-out examples; None if it has none.

    `margins` are `(labels, rows)`, of examples by fits that never saw them; `states` `(labels,
    rows)` int8: `PRESENT`, `ABSENT`, or `UNKNOWN` where the margin does not count. `precision` is
    what the threshold is chosen for, see `fit_threshold`; None for F1.
    """
    is_left = ((states == PRESENT).any(axis=1)) & ((states == ABSENT).any(axis=1))
    slopes, intercepts = fit_sigmoids(margins[is_left], states[is_left])
    rules: list[LabelRule | None] = [None] * len(margins)
    for place, slope, intercept in zip(np.flatnonzero(is_left), slopes, intercepts, strict=True):
        known = states[place] != UNKNOWN
        logits = slope * margins[place, known] + intercept
        threshold = fit_threshold(logits, states[place, known] == PRESENT, precision)
        share = float(1 / (1 + np.exp(-threshold)))
        least, most = np.finfo(np.float64).tiny, float(np.nextafter(1, 0))
        if threshold < np.inf:
            share = min(max(share, least), most)
        rules[place] = LabelRule(
            slope=float(slope),
            intercept=float(intercept),
            threshold=share,
            kept=kept_levels(logits[states[place, known] == PRESENT]),
        )
    return rules


def kept_levels(logits: Array) -> tuple[float, ...]:
    """Return the logits from which a label is in a set, at each risk of 1 to `RISKS` percent.

    `logits` are those of m left-out examples that have the label. A new one like these has a rank
    among all m + 1 that may be any: that its logit is below the k-th smallest has a probability of
    k / (m + 1), which is the risk at most (conformal prediction for one class; Vovk, Lindsay,
    Nouretdinov and Gammerman, Mondrian confidence machine, 2003).

    >>> kept_levels(np.array([3.0, 1.0, 2.0]))[24], kept_levels(np.array([3.0, 1.0, 2.0]))[49]
    (1.0, 2.0)
    """
    ascending = np.clip(np.sort(logits), -MOST, MOST)
    ranks = (len(logits) + 1) * np.arange(1, RISKS + 1) // 100
    return tuple(float(ascending[rank - 1]) if rank else -MOST for rank in ranks)


def fit_sigmoids(margins: Array, states: Array) -> tuple[Array, Array]:
    """Return the slope and intercept of each label that make its left-out examples likeliest.

    Targets are (p + 1) / (p + 2) and 1 / (n + 2) for p positive and n negative examples, as Platt
    has them, so that slopes stay finite where margins tell all examples apart. Newton's method, for
    all labels at once; a slope of less than `LEAST_SLOPE` becomes that. Arguments as `fit_rules`,
    where each label has positive and negative examples.
    """
    known = states != UNKNOWN
    count = known.sum(axis=1, keepdims=True)
    positive = (states == PRESENT).sum(axis=1, keepdims=True)
    centre = (margins * known).sum(axis=1, keepdims=True) / count
    spread = np.sqrt(((margins - centre) ** 2 * known).sum(axis=1, keepdims=True) / count)
    spread[spread == 0] = 1
    x = (margins - centre) / spread
    target = np.where(
        states == PRESENT, (positive + 1) / (positive + 2), 1 / (count - positive + 2)
    )
    slope, intercept = np.zeros(len(x)), np.log(positive / (count - positive))[:, 0]
    slope += LEAST_SLOPE
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-(slope[:, None] * x + intercept[:, None])))
        error, weight = (p - target) * known, p * (1 - p) * known
        by_slope, by_intercept = (error * x).sum(axis=1), error.sum(axis=1)
        ss, si, ii = ((weight * x**2).sum(axis=1), (weight * x).sum(axis=1), weight.sum(axis=1))
        ss, ii = ss + CLOSE, ii + CLOSE
        determinant = ss * ii - si**2  # the step solves two equations, by Cramer's rule
        step = (ii * by_slope - si * by_intercept) / determinant
        held = (slope <= LEAST_SLOPE) & (step > 0)  # the slope stays: the intercept moves alone
        step = np.where(held, 0, np.clip(step, -2, 2))
        lower = np.maximum(slope - step, LEAST_SLOPE)
        moved = np.clip((by_intercept - si * (slope - lower)) / ii, -2, 2)
        change = max(np.abs(slope - lower).max(initial=0), np.abs(moved).max(initial=0))
        slope, intercept = lower, intercept - moved
        if change < CLOSE:
            break
    slope = slope / spread[:, 0]
    return slope, intercept - slope * centre[:, 0]


def fit_threshold(logits: Array, positive: Array, precision: float | None = None) -> float:
    """Return the logit from which on a label is best predicted.

    That is the best F1; of equal ones the highest threshold. Or the lowest threshold with at least
    a `precision`; infinity where none has it. It lies between two examples, or at the lowest.

    >>> fit_threshold(np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, False, True, False]))
    0.5
    >>> fit_threshold(np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, False, True, False]), 0.9)
    2.5
    """
    levels, level = np.unique(logits, return_inverse=True)
    hits = np.bincount(level, positive)[::-1].cumsum()[::-1]
    predicted = np.bincount(level)[::-1].cumsum()[::-1]
    if precision is None:
        f1 = 2 * hits / (predicted + positive.sum())
        best = int(np.flatnonzero(f1 >= f1.max() * (1 - CLOSE))[-1])
    else:
        enough = np.flatnonzero(hits >= precision * predicted * (1 - CLOSE))
        if not len(enough):
            return float("inf")
        best = int(enough[0])
    return float(levels[best] if best == 0 else (levels[best - 1] + levels[best]) / 2)


def rule_of_whole(rule: LabelRule, of_folds: Array, of_whole: Array) -> LabelRule:
    """Return the rule of a fit to all examples, from that of folds.

    The margins of a fit to more examples may be larger or smaller. By how much is seen on examples
    that each was fitted on: `(m,)` margins of those of folds, and of all.
    """
    folds, whole = np.abs(of_folds).mean(), np.abs(of_whole).mean()
    return replace(rule, slope=float(rule.slope * folds / whole)) if folds and whole else rule


def rules_of(decisions: Sequence[Decision | None]) -> list[LabelRule]:
    """Return the rules of labels, `PLAIN` for those without."""
    return [rule if isinstance(rule, LabelRule) else PLAIN for rule in decisions]
