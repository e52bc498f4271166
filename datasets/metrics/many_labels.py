"""Metrics of examples with many labels.

Average precision and macro and micro F1 do not average over examples, so that their units are
influence values, see `ranking.py`.

Average precision is higher on small tests, since a positive example counts itself: with 40 positive
examples a label by about a point. Over many labels that does not average out, so that the interval
of mAP is about the mAP of tests of this size.

Chance is what the same predictions reach when they are dealt to examples at random: exactly so, but
for metrics by example, whose predictions are dealt in `SHIFTS` ways. For other metrics each label's
are dealt by themselves.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import polars as pl

from savs.datasets.many_labels import PRESENT, UNKNOWN
from savs.datasets.metrics.metrics import Units
from savs.datasets.metrics.ranking import (
    PrecisionSteps,
    average_precision_units,
    expected_precision,
)
from savs.foundation.arrays import Array

METRICS = ("mAP", "mAP, micro", "F1", "F1, micro", "F1, by example", "exact match")
"""What `label_metrics` returns, in this order."""
SHIFTS = 16
"""Ways in which predictions are dealt to other examples, for the chance of metrics by example."""
BLOCK = 2**22
"""Cells of labels x examples that are float64 at a time."""
THREADS = 2


@dataclass(frozen=True, slots=True)
class LabelPredictions:
    """What was predicted of examples, and what is so. Labels first: columns are examples."""

    logits: Array
    """`(labels, examples)` float32, whose order is that of the probabilities."""
    predicted: Array
    """`(labels, examples)` bool; False of skipped examples."""
    states: Array
    """`(labels, examples)` int8, see `LabelTable`."""
    others: Array
    """`(examples,)` number of labels that are there and that cannot be predicted."""
    skipped: Array
    """`(examples,)` bool: nothing is predicted of them, and they rank worst."""

    def ranked(self, label: int) -> tuple[Array, Array, Array]:
        """Return the examples that know of a label, their logits, and whether it is there."""
        rows = np.flatnonzero(self.states[label] != UNKNOWN)
        positive = self.states[label, rows] == PRESENT
        logits = self.logits[label, rows]
        is_out = self.skipped[rows]
        logits[is_out] = np.where(positive[is_out], -np.inf, np.inf)
        return rows, logits, positive


Ends = tuple[float | None, float | None]
"""Ends of an interval."""


@dataclass(frozen=True, slots=True)
class LabelUnits:
    """Metrics of examples with many labels, before their means are taken."""

    metrics: list[Units]
    """`METRICS`; without those that no example says anything of."""
    table: pl.DataFrame
    """One row a label: `n` examples that know of it, `positive`, `predicted` and `correct` ones,
    `average_precision` with the ends `low` and `high` of its interval and its `chance`,
    `precision`, `recall` and `f1`. Null is what nothing is known of: precision of a label that is
    never predicted."""


def label_metrics(
    predictions: LabelPredictions, cluster: pl.Series, interval: Callable[[Array, Array], Ends]
) -> LabelUnits:
    """Return the metrics of some examples, at least one, and of each label.

    Macro metrics are means over labels: of average precision those that are there in some examples
    and absent in others, of F1 those that are there or predicted in some. A label that training
    does not know counts as missed in micro F1, F1 by example and exact match. What an example does
    not know of does not count. F1 of an example is 1 where no label is there and none is predicted.

    Parameters
    ----------
    predictions
        What was predicted.
    cluster
        The cluster of each example.
    interval
        Returns the interval of a mean, given the numbers of its examples, and their units.
    """
    known = predictions.states != UNKNOWN
    counts = _counts(predictions)
    macro, of_labels = _macro_precision(predictions, interval)
    metrics = []
    if of_labels.height:
        metrics.append((METRICS[0], macro, float(of_labels["chance"].to_numpy().mean())))
        metrics.append((METRICS[1], *_micro_precision(predictions, known)))
    metrics += [*_f1_units(predictions, counts), *_by_example(predictions, known)]
    notes: tuple[str, ...] = ()
    if unscored := counts.height - of_labels.height:
        notes = (
            f"{unscored:,} of {counts.height:,} labels are there in no test example, or absent in"
            " none: they have no average precision",
        )
    units = [
        Units(
            name,
            pl.DataFrame({"score": scores, "cluster": cluster, "stratum": "all"}),
            chance,
            notes=notes if name == METRICS[0] else (),
        )
        for name, scores, chance in metrics
    ]
    table = counts.with_row_index("number").join(
        of_labels, on="number", how="left", maintain_order="left"
    )
    return LabelUnits(units, table.drop("number"))


def _counts(predictions: LabelPredictions) -> pl.DataFrame:
    positive = predictions.states == PRESENT
    predicted = predictions.predicted & (predictions.states != UNKNOWN)
    counts = pl.DataFrame(
        {
            "n": (predictions.states != UNKNOWN).sum(axis=1),
            "positive": positive.sum(axis=1),
            "predicted": predicted.sum(axis=1),
            "correct": (positive & predicted).sum(axis=1),
        }
    )

    def share(of: pl.Expr, among: pl.Expr) -> pl.Expr:
        return pl.when(among > 0).then(of / among)

    right, predicted_count, positive_count = map(pl.col, ("correct", "predicted", "positive"))
    return counts.with_columns(
        precision=share(right, predicted_count),
        recall=share(right, positive_count),
        f1=share(2 * right, predicted_count + positive_count),
    )


def _macro_precision(
    predictions: LabelPredictions, interval: Callable[[Array, Array], Ends]
) -> tuple[Array, pl.DataFrame]:
    """Return the units of macro average precision, and a row for each label that has one."""
    labels, n = predictions.states.shape

    def of_some(
        first: int,
    ) -> tuple[Array, list[tuple[int, float, float | None, float | None, float]]]:
        total, rows_of_table = np.zeros(n), []
        for label in range(first, labels, THREADS):
            rows, logits, positive = predictions.ranked(label)
            if positive.all() or not positive.any():
                continue
            values = average_precision_units(logits, positive)
            value = float(values.mean())
            total += value  # what an example does not know of changes nothing
            total[rows] += (values - value) * (n / len(rows))
            ends = interval(rows, values)
            rows_of_table.append((label, value, *ends, expected_precision(logits, positive)))
        return total, rows_of_table

    with ThreadPoolExecutor(THREADS, thread_name_prefix="savs-labels") as pool:
        parts = list(pool.map(of_some, range(THREADS)))
    label_rows = [row for _, of_part in parts for row in of_part]
    kinds = {"number": pl.UInt32} | dict.fromkeys(
        ("average_precision", "low", "high", "chance"), pl.Float64
    )
    table = pl.DataFrame(label_rows, schema=kinds, orient="row").sort("number")
    return np.sum([total for total, _ in parts], axis=0) / max(len(label_rows), 1), table


def _micro_precision(predictions: LabelPredictions, known: Array) -> tuple[Array, float]:
    """Return the units and the chance of the average precision of all pairs of label and example.

    A unit is an example: its pairs have one weight.
    """
    labels, n = predictions.states.shape
    positive_logits = [r[1][r[2]] for r in map(predictions.ranked, range(labels))]
    steps = PrecisionSteps.of(np.concatenate(positive_logits))
    places = np.zeros((labels, n), np.int32)

    def find(label: int) -> None:
        rows, logits, _ = predictions.ranked(label)
        order = np.argsort(logits)  # of ascending ones the search is several times as fast
        places[label, rows[order]] = steps.places(logits[order])

    with ThreadPoolExecutor(THREADS, thread_name_prefix="savs-labels") as pool:
        list(pool.map(find, range(labels)))
    parts = _blocks(labels, n)
    for part in parts:
        of_part = known[part]
        steps.count(places[part][of_part], predictions.states[part][of_part] == PRESENT)
    value, if_negative, if_positive = steps.slopes()
    slopes = np.zeros(n)
    for part in parts:
        of_pairs = np.where(
            predictions.states[part] == PRESENT,
            if_positive[places[part]],
            if_negative[places[part]],
        )
        slopes += (of_pairs * known[part]).sum(axis=0)
    return value + n * slopes, _micro_chance(predictions)


def _micro_chance(predictions: LabelPredictions) -> float:
    """Return the average precision of all pairs to expect if each label's logits were dealt anew.

    A pair at a logit that N pairs reach, N_l of them of its label, is positive with k_l / n_l. If
    so, it expects 1 + (N_l - 1) (k_l - 1) / (n_l - 1) hits of its label among these, and of each
    other label N_m k_m / n_m. Skipped examples stay where they are.
    """
    ordered, shares, others = [], [], []
    first, last, hits = 0, 0, 0.0
    for label in range(len(predictions.states)):
        _, logits, positive = predictions.ranked(label)
        dealt = np.isfinite(logits)
        n, k = int(dealt.sum()), int(positive[dealt].sum())
        ordered.append(np.sort(logits[dealt]))
        shares.append(k / max(n, 1))
        others.append((k - 1) / max(n - 1, 1))
        first += int((~dealt & ~positive).sum())
        last += int((~dealt & positive).sum())
        hits += k
    total, reached, expected = 0.0, first, 0.0
    for low, high in _ranges(ordered):  # from the greatest logits on
        ends = [np.searchsorted(logits, (low, high), "right") for logits in ordered]
        parts = [logits[start:end] for logits, (start, end) in zip(ordered, ends, strict=True)]
        sizes = [len(part) for part in parts]
        of_label = [
            len(logits) - start - np.searchsorted(part, part)
            for logits, part, (start, _) in zip(ordered, parts, ends, strict=True)
        ]
        values = np.concatenate(parts)
        order = np.argsort(values)[::-1]
        values, own = values[order], np.concatenate(of_label)[order]
        share, other = (np.repeat(of, sizes)[order] for of in (shares, others))
        tied = np.flatnonzero(np.append(values[1:] != values[:-1], True)[: len(values)])
        place = np.repeat(tied, np.diff(tied, prepend=-1))  # the last of equal ones: all reach it
        hits_there = expected + np.cumsum(share)[place]
        of_pairs = share * (1 + (own - 1) * other + hits_there - own * share)
        total += float((of_pairs / (reached + place + 1)).sum())
        reached, expected = reached + len(values), expected + float(share.sum())
    all_hits = hits + last
    return (total + last * all_hits / (reached + last)) / all_hits


def _ranges(ordered: list[Array]) -> Iterator[tuple[float, float]]:
    """Yield ranges (low, high] of logits, the greatest first, with some `BLOCK` pairs each."""
    count = -(-sum(map(len, ordered)) // BLOCK)
    some = np.sort(np.concatenate([logits[:: max(1, count)] for logits in ordered]))
    inner = [float(some[number * len(some) // count]) for number in range(1, count)]
    cuts = [-np.inf, *dict.fromkeys(inner), np.inf]
    yield from zip(cuts[-2::-1], cuts[:0:-1], strict=True)


def _f1_units(
    predictions: LabelPredictions, counts: pl.DataFrame
) -> Iterator[tuple[str, Array, float]]:
    """Yield the names, units and chances of macro and micro F1.

    With hits h and errors as sums over examples, F1 = 2 h / s for s = predicted + positive, so that
    dF1/dw_i = (2 h_i - F1 s_i) / s.
    """
    n = predictions.states.shape[1]
    known, positive, predicted, right = (
        counts[name].to_numpy().astype(np.float64)
        for name in ("n", "positive", "predicted", "correct")
    )
    total, lost = predicted + positive, float(predictions.others.sum())
    used = total > 0
    if not used.any() and not lost:
        return
    f1 = np.where(used, 2 * right / np.where(used, total, 1), 0)
    per = np.where(used, 1 / np.where(used, total, 1), 0)
    whole = float(total.sum() + lost)
    micro = 2 * float(right.sum()) / whole
    macro_slopes, hits, sums = np.zeros(n), np.zeros(n), predictions.others.astype(np.float64)
    for part in _blocks(len(total), n):
        there = predictions.states[part] == PRESENT
        names = predictions.predicted[part] & (predictions.states[part] != UNKNOWN)
        hit = (there & names).astype(np.float64)
        either = there.astype(np.float64) + names
        macro_slopes += (2 * per[part]) @ hit - (f1 * per)[part] @ either
        hits += hit.sum(axis=0)
        sums += either.sum(axis=0)
    expected = 2 * predicted * positive / np.maximum(known, 1)  # right ones twice, dealt at random
    if used.any():
        chance = float((expected * per)[used].mean())
        yield METRICS[2], f1[used].mean() + n * macro_slopes / used.sum(), chance
    units = micro + n * (2 * hits - micro * sums) / whole
    yield METRICS[3], units, float(expected.sum()) / whole


def _by_example(predictions: LabelPredictions, known: Array) -> Iterator[tuple[str, Array, float]]:
    """Yield the same of F1 by example and exact match."""
    there, names = predictions.states == PRESENT, predictions.predicted
    f1, exact = _match(there, names & known, predictions.others)
    f1[predictions.skipped] = exact[predictions.skipped] = 0
    n = len(f1)
    chances = []
    for shift in dict.fromkeys(round(n * (k + 1) / (SHIFTS + 1)) % n for k in range(SHIFTS)):
        dealt = np.roll(names, shift, axis=1) & known
        chances.append([scores.mean() for scores in _match(there, dealt, predictions.others)])
    yield METRICS[4], f1, float(np.mean([pair[0] for pair in chances]))
    yield METRICS[5], exact, float(np.mean([pair[1] for pair in chances]))


def _match(there: Array, names: Array, others: Array) -> tuple[Array, Array]:
    """Return F1 of each example, and whether it is right altogether."""
    hits = _sums(there & names)
    total = _sums(there) + _sums(names) + others
    f1 = np.where(total > 0, 2 * hits / np.maximum(total, 1), 1.0)
    return f1, (2 * hits == total).astype(np.float64)


def _blocks(count: int, width: int) -> list[slice]:
    """Return parts of rows of a width that have at most `BLOCK` cells each."""
    step = max(1, BLOCK // width)
    return [slice(start, start + step) for start in range(0, count, step)]


def _sums(flags: Array) -> Array:
    return flags.sum(axis=0, dtype=np.int32)


def cooccurrence(states: Array) -> Array:
    """Return in how many examples two labels are there, `(labels, labels)`; of one its own number.

    `states` are `(labels, examples)`.
    """
    labels, n = states.shape
    counts = np.zeros((labels, labels))
    for part in _blocks(n, labels):
        there = (states[:, part] == PRESENT).astype(np.float32)
        counts += there @ there.T
    return counts.astype(np.int64)
