"""Logits of all labels of examples with many labels, as one matrix.

A head is multiplied once with the directions of all labels that chose it, see `HeadsFit.binary`:
features are not gathered for each label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from savs.foundation.arrays import Array
from savs.pipeline.heads.centroids import few_threads, normalise
from savs.pipeline.readouts import HeadsFit
from savs.pipeline.readouts.heads_fit import shares
from savs.pipeline.readouts.readout import margins
from savs.pipeline.targets.label_rules import LabelRule, rules_of
from savs.pipeline.targets.tasks import Selected
from savs.stores import Head


@dataclass(frozen=True, slots=True)
class LabelScores:
    """What a selection says of some examples."""

    logits: Array
    """`(labels, n)` float32."""
    rules: Sequence[LabelRule]

    @property
    def called(self) -> Array:
        """`(labels, n)` bool: the labels that are predicted."""
        pairs = zip(self.logits, self.rules, strict=True)
        return np.stack([row >= rule.least_logit for row, rule in pairs])

    @property
    def probabilities(self) -> Array:
        """`(n, labels)` float64."""
        return 1 / (1 + np.exp(-self.logits.T.astype(np.float64)))


class LabelLogits:
    """The logits of a selection of many labels, from the features of its heads."""

    def __init__(self, selection: Selected, widths: Mapping[Head, int]) -> None:
        """Sort the fits of labels by head."""
        self._tasks, self._heads = selection.tasks, selection.heads
        self._rules = rules_of([task.decision for task in selection.tasks])
        self._widths = widths
        self._terms: dict[tuple[Head, bool], list[tuple[int, Array, float, float]]] = {}
        self._others: list[int] = []
        for number, task in enumerate(self._tasks):
            fitted = task.fitted
            if not isinstance(fitted, HeadsFit) or len(fitted.directions) != len(task.heads):
                self._others.append(number)
                continue
            one = fitted.binary()
            columns = (one.directions[:, 0], one.offsets[:, 0], one.weights[:, 0])
            for head, direction, offset, weight in zip(task.heads, *columns, strict=True):
                terms = self._terms.setdefault((head, one.pool == "mean"), [])
                terms.append((number, direction, offset, weight))

    def scores(self, features: Array) -> LabelScores:
        """Return the scores of `(heads, n, d)` features of `selection.heads`."""
        return LabelScores(self.of(features), self._rules)

    def of(self, features: Array) -> Array:
        """Return `(labels, n)` float32 logits of `(heads, n, d)` features of `selection.heads`."""
        logits = np.zeros((len(self._tasks), features.shape[1]), np.float32)
        for (head, is_mean), terms in self._terms.items():
            units = normalise(features[self._heads.index(head)])
            self._add(logits, units, terms, is_mean=is_mean)
        for number in self._others:
            task = self._tasks[number]
            places = [self._heads.index(head) for head in task.heads]
            width = max(self._widths[head] for head in task.heads)
            logits[number] = margins(task.fitted.scores(features[places, :, :width]))
        for of_label, rule in zip(logits, self._rules, strict=True):
            of_label *= np.float32(rule.slope)
            of_label += np.float32(rule.intercept)
        return logits

    def _add(
        self,
        logits: Array,
        units: Array,
        terms: Sequence[tuple[int, Array, float, float]],
        *,
        is_mean: bool,
    ) -> None:
        """Add what one head says; `units` are its `(n, d)` normalised features."""
        numbers = np.array([number for number, *_ in terms])
        directions = np.zeros((len(terms), units.shape[1]), np.float32)
        for row, (_, direction, *_) in zip(directions, terms, strict=True):
            row[: len(direction)] = direction[: len(row)]
        with few_threads(directions.size * len(units)):
            values = directions @ units.T
        values += np.array([offset for *_, offset, _ in terms], np.float32)[:, None]
        if is_mean:
            values = shares(values[:, None], axis=1)[:, 0]
        values *= np.array([weight for *_, weight in terms], np.float32)[:, None]
        if len(numbers) == len(logits):
            logits += values  # the terms are in the order of the labels
        else:
            logits[numbers] += values
