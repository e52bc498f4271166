"""An example has a number: any of a range, or one of a few levels.

Fits are of numbers less their mean, in standard deviations, so that float32 keeps their digits.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
from msgspec import Meta

from savs.datasets.label_texts import MOST, number_text, parse_number
from savs.datasets.metrics.metrics import Classes
from savs.datasets.metrics.numbers import NumberPredictions, number_metrics
from savs.datasets.rows.label_kinds import Numbers as NumbersOfRows
from savs.foundation.arrays import Array
from savs.foundation.frames import schema_of
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.centroids import normalise
from savs.pipeline.heads.folds import number_folds
from savs.pipeline.heads.head_scores import HeadScores
from savs.pipeline.names import DEFAULT_READOUT_OF_NUMBERS, DEFAULT_SHOTS_OF_NUMBERS
from savs.pipeline.readouts import ClassScores, Fitted, HeadsFit, Readout
from savs.pipeline.readouts.readout import Widths
from savs.pipeline.readouts.ridge import score_numbers
from savs.pipeline.running.formatting import counted
from savs.pipeline.running.table import Column, Table
from savs.pipeline.statistics.intervals import Estimate, ends_of, one_stratum
from savs.pipeline.statistics.per_class import RangeRow
from savs.pipeline.targets.tables import Rows, number_cell, ranges_table
from savs.pipeline.targets.target import Target, in_schema, prompt_of, strengths
from savs.pipeline.targets.tasks import (
    EXAMPLE_SCHEMA,
    Decision,
    Features,
    Folds,
    LeftOut,
    Measured,
    Measuring,
    Run,
    Said,
    ScoredRows,
    Selected,
    Shown,
    Tables,
    TaskConfig,
    Tasks,
    TaskSelection,
    TrainingRows,
    TrainingTask,
)

NUMBER = "number"
"""The one class of a task of numbers: its score is the number."""
COVERAGE = 0.95
"""Share of the numbers that lie in their intervals."""
LEAST = 5
"""Independent training examples that a task of numbers needs: some are left out twice."""
ROUNDING = 1e-9
FENCES = 1.5
"""Interquartile ranges from the middle half of the errors, beyond which one is outlying."""
Finite = Annotated[float, Meta(gt=-MOST, lt=MOST)]
DIGITS = 7
"""Significant digits of a prediction as text: those of float32."""
NUMBER_COLUMNS = {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
NUMBER_SCHEMA = {
    "id": pl.String,
    "split": pl.String,
    "label": pl.String,
    "prediction": pl.String,
    "correct": pl.Boolean,
    **NUMBER_COLUMNS,
    **EXAMPLE_SCHEMA,
}
"""Columns of the predictions of numbers. `value` is the predicted number, `prediction` its text, or
that of the level next to it; the truth lies from `low` to `high` with a probability of 95 %, null
if too few examples were left out to know. `correct` is whether the level is the right one, or of
a regression whether the number lies in its interval, null without one. A skipped example has no
prediction."""
NUMBERS_SCHEMA = {
    "id": pl.String,
    "media": pl.List(pl.String),
    "prompt": pl.String,
    "prediction": pl.String,
    **NUMBER_COLUMNS,
    "reason": pl.String,
}
"""Columns of the predictions of numbers, see `NUMBER_SCHEMA`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRule(Decision):
    """What is known of the numbers of training examples, and how far predictions are from them."""

    kind: Literal["number"] = "number"  # pyrefly: ignore[bad-override]
    mean: Finite
    median: Finite
    """What is predicted of an example by nothing else: chance."""
    spread: Annotated[float, Meta(gt=0, lt=MOST)]
    """Standard deviation."""
    levels: tuple[Finite, ...] = ()
    """The levels of an ordinal task, ascending; empty for a regression."""
    reach: Annotated[float, Meta(ge=0, lt=MOST)] | None = None
    """Half the width of an interval; None if too few examples were left out for one."""

    @property
    def is_fitted(self) -> bool:  # type: ignore[override]
        """Whether intervals are known."""
        return self.reach is not None

    @classmethod
    def of(cls, numbers: Array, *, is_ordinal: bool) -> "NumberRule":
        """Return the rule of the `(n,)` numbers of training examples, which are not all equal."""
        return cls(
            mean=float(numbers.mean()),
            median=float(np.median(numbers)),
            spread=float(numbers.std()),
            levels=tuple(np.unique(numbers).tolist()) if is_ordinal else (),
        )

    def numbers(self, soft: Array) -> Array:
        """Return `(n,)` float64 numbers of the `(n, 1)` soft scores of a fit."""
        return self.mean + self.spread * soft[:, 0].astype(np.float64)

    def nearest(self, numbers: Array) -> Array:
        """Return the level next to each number, the lower of two; without levels the numbers."""
        if not self.levels:
            return numbers
        levels = np.array(self.levels)
        return levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, numbers)]

    def intervals(self, numbers: Array, reach: Array | float) -> tuple[Array, Array]:
        """Return the ends of intervals: of an ordinal task the outer levels inside, one at least.

        >>> rule = NumberRule.of(np.array([1.0, 2, 3, 5]), is_ordinal=True)
        >>> [ends.tolist() for ends in rule.intervals(np.array([2.5, 9]), 1.0)]
        [[2.0, 5.0], [3.0, 5.0]]
        """
        low, high = numbers - reach, numbers + reach
        if not self.levels:
            return low, high
        levels, choice = np.array(self.levels), self.nearest(numbers)
        first = np.minimum(np.searchsorted(levels, low), len(levels) - 1)
        last = np.maximum(np.searchsorted(levels, high, side="right") - 1, 0)
        return np.minimum(levels[first], choice), np.maximum(levels[last], choice)


def fit_reach(errors: Array, clusters: Array | Sequence[str]) -> float | None:
    """Return how far from its prediction a number lies in 95 % of new clusters; None if unknown.

    Split conformal for examples in clusters (Lee, Barber and Willett, arXiv 2306.06342): of C
    clusters each, and the new one, which may be anything, have the weight 1 / (C + 1), and their
    examples equal shares of it. Where each example is its own cluster that is the
    ceil((n + 1) 0.95)-th smallest error.

    >>> fit_reach(np.arange(1.0, 20), np.arange(19)), fit_reach(np.arange(1.0, 19), np.arange(18))
    (19.0, None)
    """
    names, sizes = np.unique(np.asarray(clusters), return_inverse=True, return_counts=True)[1:]
    order = np.argsort(np.abs(errors))
    weights = np.cumsum(1 / sizes[names][order]) / (len(sizes) + 1)
    enough = np.flatnonzero(weights >= COVERAGE - ROUNDING)
    return float(np.abs(errors)[order][enough[0]]) if len(enough) else None


class Numbers(Target):
    """An example has a number."""

    headline = "MAE"
    estimated_as = "cross-validated MAE"
    heading = "Numbers"
    decides, decision = "number", NumberRule
    kinds_of_task = False
    default_readout = DEFAULT_READOUT_OF_NUMBERS
    default_scoring = "kfold"
    tried_readouts = compared_readouts = (DEFAULT_READOUT_OF_NUMBERS,)
    tried_shots = DEFAULT_SHOTS_OF_NUMBERS
    schema = NUMBER_SCHEMA
    tables: ClassVar = {"ranges": RangeRow}
    new_schema = NUMBERS_SCHEMA
    always = ("id", "split", "cluster")
    skipped_as = "with the mean of the training numbers as its prediction"
    calibrated = "the truth lies in 95 % of the intervals, as it did in left-out training examples"
    uncalibrated = "numbers have no intervals"
    suspected_as = "have a number far from its own"
    suspected_how = "the share of all examples that are not farther off"
    has_mean_over_data_sets = False
    scores_are_strengths = True
    strength_of = ("explains", "the variance")
    share_of = " of the variance"
    has_classes = False
    is_standalone = True
    heads_alone = ("they explain", "of the variance of left-out training examples")
    first_shown = ("the farthest off first", "others, the widest intervals first")
    refused: ClassVar = {
        "a risk": "omit `risk`: intervals hold 95 %",
        "the model's own answer": "use ridge",
        "a readout of class names": "use a readout that learns from examples",
        "a table of votes": "use `savs explain`, which shows what heads say of each example",
        "`pseudo_labels`": "omit it: it gives each example one class",
        "an attention map": "omit `attention_maps`",
        "`sort_into`": "omit it, or write a table",
        "a probability": "use predict: intervals are in the table of savs classify",
        "SavsClassifier": "use SavsRegressor",
        "several classifiers": "classify with each alone",
    }
    is_ordinal: ClassVar[bool]

    def check(self, task: TaskConfig) -> None:
        """Raise ValueError unless a task is one of numbers, with their rule."""
        if task.classes != (NUMBER,) or not isinstance(task.decision, NumberRule):
            raise ValueError(f"classes: expected {NUMBER!r} alone of numbers, and their rule")

    def tasks(self, rows: TrainingRows) -> list[TrainingTask]:
        """Return the one task.

        SelectionError if too few examples are independent, or all have the same number.
        """
        examples = rows.readable
        numbers = np.array([float(text) for text in examples["label"]])
        clusters = np.unique(np.asarray(rows.clusters(examples)), return_inverse=True)[1]
        ids = f"from {examples['id'][0]!r} to {examples['id'][-1]!r}" if len(examples) else "none"
        if (independent := len(set(clusters.tolist()))) < LEAST:
            raise SelectionError(
                f"{rows.name} has {counted(independent, 'independent training example')}, {ids},"
                f" and numbers need {LEAST}: examples that share an image or a group count once;"
                " add others"
            )
        if (numbers == numbers[0]).all():
            raise SelectionError(
                f"all {len(numbers):,} training examples of {rows.name}, {ids}, have the number"
                f" {examples['label'][0]}, so that nothing can be learned; add some with other"
                " numbers"
            )
        rule = NumberRule.of(numbers, is_ordinal=self.is_ordinal)
        question, media = prompt_of(examples)
        return [
            TrainingTask(
                subtask=None,
                classes=(NUMBER,),
                rows=examples["row"].to_numpy(),
                labels=(numbers - rule.mean) / rule.spread,
                question=question,
                media=media,
                decision=rule,
                clusters=clusters,
            )
        ]

    def require_method(
        self, rule: Readout, scoring: str, name: str, *, joint_heads: bool, precision: float | None
    ) -> None:
        """Raise SelectionError for a readout or a scoring of classes."""
        super().require_method(rule, scoring, name, joint_heads=joint_heads, precision=precision)
        if rule.fit_numbers is None or scoring != self.default_scoring:
            field, value, other = "readout", rule.name, self.default_readout
            if rule.fit_numbers is not None:
                field, value, other = "scoring", scoring, self.default_scoring
            raise SelectionError(
                f"`{field}` {value} is for classes, and the labels of {name} are numbers; use"
                f" {other}"
            )

    def score(
        self, rule: Readout, features: Array, task: TrainingTask, *given: Any, **texts: Any
    ) -> HeadScores:
        """Return how much of the variance each head explains, on left-out examples."""
        assert task.clusters is not None
        return score_numbers(features, task.labels, task.clusters)

    def fit(
        self, rule: Readout, features: Array, task: TrainingTask, widths: Widths, **given: Any
    ) -> Fitted:
        """Return the regression."""
        assert rule.fit_numbers is not None
        return rule.fit_numbers(features, task.labels, task.clusters)

    def folds(
        self, tasks: Tasks, clusters: Sequence[str], order: Array, folds: Folds, scoring: str
    ) -> list[dict[int, Array]]:
        """Return folds with small and large numbers each."""
        return [_folds(task, folds) for task in tasks]

    def decide(
        self, selection: Selected, parts: Sequence[LeftOut], features: Features, rows: int
    ) -> list[Decision | None]:
        """Return the rules with the reach of intervals, see `fit_reach`."""
        rules = [_rule_of(task) for task in selection.tasks]
        return [
            replace(rule, reach=fit_reach(_errors(part, rule), part.clusters))
            for rule, part in zip(rules, parts, strict=True)
        ]

    def right(self, parts: Sequence[LeftOut]) -> float:
        """Return the share of the variance that left-out predictions explain."""
        ((part),) = parts
        errors = part.labels - part.scores.soft[:, 0]
        return float(1 - (errors**2).mean() / part.labels.var())

    def columns(
        self, examples: pl.DataFrame, parts: Sequence[ScoredRows], risk: float | None
    ) -> Iterator[pl.DataFrame]:
        """Yield the examples with their numbers and intervals."""
        for part in parts:
            scores, rule = part.scores.scores, _rule_of(part.scores.task)
            yield with_numbers(examples[part.rows], rule, scores, rule.reach)

    def sureness(self, run: Run, scores: Any) -> tuple[pl.Series, Array]:
        """Return the numbers, and their intervals: the widest is the least sure."""
        rule = _rule_of(scores.task)
        numbers = rule.numbers(scores.scores.soft)
        low, high = rule.intervals(numbers, rule.reach or 0.0)
        return _texts(rule, numbers), (low - high).astype(np.float32)[:, None]

    def said(self, run: Run, scores: Any) -> list[Said]:
        """Return numbers with their intervals."""
        rule = _rule_of(scores.task)
        numbers = rule.numbers(scores.scores.soft)
        low, high = (_texts(rule, ends) for ends in rule.intervals(numbers, rule.reach or 0.0))
        ends = zip(low, high, strict=True)
        return [
            Said(text, interval=None if rule.reach is None else of_row)
            for text, of_row in zip(_texts(rule, numbers), ends, strict=True)
        ]

    def values(self, scores: Any) -> Array:
        """Return the numbers, or the levels next to them."""
        rule = _rule_of(scores.task)
        return rule.nearest(rule.numbers(scores.scores.soft))

    def left_out(
        self, selection: Selected, examples: pl.DataFrame, parts: Sequence[LeftOut]
    ) -> pl.DataFrame:
        """Return left-out examples, whose intervals come from the other folds."""
        tables = []
        for task, part in zip(selection.tasks, parts, strict=True):
            rule = _rule_of(task)
            reaches = np.full(len(part.fold), np.nan)
            for turn in np.unique(part.fold).tolist():
                errors, others = _errors(part.in_turn(turn), rule), part.fold != turn
                reach = fit_reach(errors[others], part.clusters[others])
                reaches[~others] = np.nan if reach is None else reach
            tables.append(with_numbers(examples[part.rows], rule, part.scores, reaches))
        return pl.concat(tables).sort("row")

    def texts(self, task: TrainingTask, labels: Sequence[str]) -> list[str]:
        """Return the numbers as they are."""
        return list(labels)

    def moves(
        self, task: TrainingTask, fitted: Fitted, train: Array, features: Array
    ) -> Array | None:
        """Return the part of each head in the regression, in the unit of the numbers."""
        assert isinstance(fitted, HeadsFit)
        rule, slopes = _rule_of(task), fitted.directions[:, 0].astype(np.float64)
        width = slopes.shape[1]
        means = normalise(train)[..., :width].astype(np.float64).mean(axis=1)
        apart = normalise(features)[:, :width] - means
        return rule.spread * np.einsum("hd,hd->h", slopes, apart)

    def gives(self, selected: TaskSelection, scores: ClassScores, known: pl.DataFrame) -> bool:
        """Return whether the numbers are the same."""
        rule = _rule_of(selected)
        apart = rule.numbers(scores.soft) - known["value"].fill_null(np.nan).to_numpy()
        return bool((np.abs(apart) < 1e-3 * rule.spread).all())

    def contradicted(
        self, selection: Selected, predictions: pl.DataFrame
    ) -> Iterator[pl.DataFrame]:
        """Yield the examples whose number is outlying: beyond Tukey's fences of all errors.

        These lie `FENCES` interquartile ranges outside of the middle half of the errors; 7 in 1,000
        normal ones do. `margin` is how far the number is from its prediction, `strength` the share
        of all examples that are not farther. Source: Tukey, Exploratory Data Analysis, 1977.
        """
        error = pl.col("value") - pl.col("label").cast(pl.Float64)
        known = predictions.drop_nulls(["label", "value"]).with_columns(error=error)
        errors, margins = known["error"].to_numpy(), np.abs(known["error"].to_numpy())
        low, high = np.quantile(errors, (0.25, 0.75))
        reach = FENCES * (high - low)
        far = (errors < low - reach) | (errors > high + reach)
        share = strengths(margins[far], margins)
        rows = known.filter(pl.Series(far))
        yield rows.with_columns(margin=margins[far].astype(np.float32), strength=share)

    def limits(self, selection: Selected, quoted: Callable[[str], str]) -> list[str]:
        """Return that all images get a number, and whether intervals are known."""
        reach = _rule_of(selection.tasks[0]).reach
        sure = (
            "Intervals are not known: too few training examples were left out."
            if reach is None
            else f"The truth lies within {reach:.4g} of the number in 95 % of new examples like"
            " the training ones."
        )
        return ["Each image gets a number, also one that shows nothing to measure.", sure]

    def learned(self, decision: Decision | None) -> list[list[Any]]:
        """Return the mean, the median, the standard deviation and the levels."""
        assert isinstance(decision, NumberRule)
        facts = {"mean": decision.mean, "median": decision.median, "SD": decision.spread}
        rows: list[list[Any]] = [[name, f"{value:.4g}"] for name, value in facts.items()]
        levels = ", ".join(f"{level:g}" for level in decision.levels)
        return [*rows, ["levels", levels]] if levels else rows

    def facts(self, decision: Decision | None) -> dict[str, Any]:
        """Return the reach of intervals."""
        return super().facts(decision) | {"reach": getattr(decision, "reach", None)}

    def grouped(self, examples: pl.DataFrame) -> pl.DataFrame:
        """Return examples in the order of their numbers."""
        number = pl.col("label").cast(pl.Float64)
        return examples.with_columns(number=number).sort("number", maintain_order=True)

    def in_words(self, classes: Sequence[str]) -> str:
        """Return the name of the task."""
        return self.name

    def measure(
        self, table: pl.LazyFrame, selection: Selected | None, classes: Classes, how: Measuring
    ) -> Measured:
        """Return the metrics; of a skipped example the mean counts as predicted.

        The coverage of intervals is that of the examples with one, and a skipped example is
        outside.
        """
        assert selection is not None
        rule = _rule_of(selection.tasks[0])
        table = in_schema(table, NUMBER_SCHEMA)
        columns = table.select("label", "cluster", *NUMBER_COLUMNS).collect()
        if not columns["label"].count():
            none = {"ranges": pl.DataFrame(schema=schema_of(RangeRow))}
            return Measured(table=table, units=[], notes=[*_notes(table, rule)], tables=none)
        predictions = _predicted(columns, rule)
        units = number_metrics(predictions, columns["cluster"], rule.mean, rule.median, COVERAGE)
        if how.only_units:
            return Measured(table=table, units=units, notes=[])
        ranges = range_table(predictions, columns["cluster"], inflation=how.inflation)
        return Measured(
            table=table, units=units, notes=[*_notes(table, rule)], tables={"ranges": ranges}
        )

    def worded(self, tables: Mapping[str, Rows]) -> list[Table]:
        """Return the errors of ranges."""
        return [ranges_table(tables["ranges"])] if len(tables.get("ranges", ())) else []

    def range_of(self, predictions: Sequence[str]) -> str:
        """Return the least and the greatest number."""
        ends = (end(predictions, key=float) for end in (min, max)) if predictions else ()
        return " to ".join(dict.fromkeys(ends))

    def counted(self, predictions: pl.DataFrame) -> Table:
        """Return the least, the median and the greatest number."""
        numbers = predictions["value"].drop_nulls()
        row = pl.DataFrame(
            {
                "images": len(numbers),
                "lowest": [numbers.min()],
                "median": [numbers.median()],
                "highest": [numbers.max()],
            }
        )
        columns = [Column(name, name, number_cell) for name in ("lowest", "median", "highest")]
        return Table(row, [Column("images", "images"), *columns])

    def new_columns(self, predictions: pl.DataFrame) -> list[Column]:
        """Return the number with the ends of its interval."""
        numbers = [Column(name, name, number_cell) for name in ("value", "low", "high")]
        return [*super().new_columns(predictions), *numbers]

    def ranked(self, predictions: pl.DataFrame, tables: Tables) -> pl.DataFrame:
        """Return the wrong ones that are farthest off, then those with the widest intervals.

        Without intervals none is known to be wrong, and those that are farthest off come first.
        """
        known = predictions.filter(pl.col("prediction").is_not_null())
        error = (pl.col("value") - pl.col("label").cast(pl.Float64)).abs()
        width = pl.col("high") - pl.col("low")
        return known.with_columns(
            margin=pl.when(~pl.col("correct")).then(error).otherwise(-width.fill_null(error)),
            turn=pl.col("label") if self.is_ordinal else pl.lit(""),
            typicality=pl.lit(None, pl.Float32),
        )

    def shown(self, row: Mapping[str, Any], tables: Tables) -> Shown:
        """Return the numbers, with the interval and how far the prediction is off."""
        facts = {}
        if row["label"] is not None:
            facts["off by"] = f"{row['value'] - float(row['label']):+.4g}"
        if row["low"] is not None:
            facts["95 % interval"] = f"{row['low']:.4g} .. {row['high']:.4g}"
        right, wrong = ("right", "wrong") if self.is_ordinal else ("inside", "outside")
        is_known = self.is_ordinal or row["low"] is not None
        return Shown(
            labels=() if row["label"] is None else (row["label"],),
            predictions=(row["prediction"],),
            verdict=(right if row["correct"] else wrong) if is_known else "",
            facts=facts,
        )


class Regression(Numbers):
    """An example has any number."""

    name, noun, is_ordinal = "regression", "a number", False
    kind = NumbersOfRows("a number", ("regression",), can_be_drawn=False)
    is_filtered = False
    given_as = "number"

    def grouped(self, examples: pl.DataFrame) -> pl.DataFrame:
        """Return examples with the ends between which all numbers lie as their label."""
        table = super().grouped(examples)
        numbers = table["number"].drop_nulls().to_list()
        if not numbers:
            return table
        ends = " to ".join(number_text(end) for end in (numbers[0], numbers[-1]))
        known = pl.col("label").is_not_null()
        return table.with_columns(label=pl.when(known).then(pl.lit(ends)))


class Ordinal(Numbers):
    """An example has one of a few levels."""

    name, noun, is_ordinal = "ordinal", "a number on a scale", True
    kind = NumbersOfRows("a number", ("ordinal",))

    def wrong_name(self, name: str) -> str:
        """Return what a level must be."""
        try:
            parse_number(name)
        except ValueError as error:
            return str(error)
        return ""

    def levels(self, labels: pl.Series) -> list[str]:
        """Return them in the order of the numbers."""
        return sorted(labels.drop_nulls().unique(), key=float)


REGRESSIONS, ORDINALS = Regression(), Ordinal()


def _rule_of(task: TaskSelection | TrainingTask) -> NumberRule:
    assert isinstance(task.decision, NumberRule)
    return task.decision


def _folds(task: TrainingTask, folds: Folds) -> dict[int, Array]:
    assert task.clusters is not None
    numbers = task.clusters
    if folds != "loo":
        numbers = number_folds(task.labels, folds, numbers)
    return {turn: numbers == turn for turn in np.unique(numbers).tolist()}


def _errors(part: LeftOut, rule: NumberRule) -> Array:
    """Return how far predictions of left-out numbers are from these, `(n,)`."""
    return np.abs(rule.mean + rule.spread * part.labels - rule.numbers(part.scores.soft))


def _texts(rule: NumberRule, numbers: Array) -> pl.Series:
    """Return the text of each number, or of the level next to it."""
    said = rule.nearest(numbers) if rule.levels else [float(f"{n:.{DIGITS}g}") for n in numbers]
    return pl.Series([number_text(float(n)) for n in said], dtype=pl.String)


def with_numbers(
    examples: pl.DataFrame, rule: NumberRule, scores: ClassScores, reach: Array | float | None
) -> pl.DataFrame:
    """Return examples with their predictions; `reach` is one for all or one each, maybe NaN."""
    numbers = rule.numbers(scores.soft)
    reaches = np.full(len(numbers), np.nan if reach is None else reach)
    low, high = rule.intervals(numbers, reaches)
    known = ~np.isnan(reaches)
    table = examples.with_columns(
        prediction=_texts(rule, numbers),
        value=pl.Series(numbers, dtype=pl.Float64),
        low=pl.Series(np.where(known, low, np.nan), dtype=pl.Float64).fill_nan(None),
        high=pl.Series(np.where(known, high, np.nan), dtype=pl.Float64).fill_nan(None),
    )
    truth = pl.col("label").cast(pl.Float64)
    right = (
        pl.col("prediction") == pl.col("label") if rule.levels else truth.is_between("low", "high")
    )
    return table.with_columns(correct=right)


def _predicted(columns: pl.DataFrame, rule: NumberRule) -> NumberPredictions:
    """Return numbers and predictions; of a skipped example the mean counts as predicted."""
    truth = columns["label"].cast(pl.Float64).to_numpy()
    value = columns["value"].fill_null(rule.mean).to_numpy()
    inside = None
    if columns["low"].count():
        low, high = (columns[name].fill_null(np.nan).to_numpy() for name in ("low", "high"))
        has_none = (columns["low"].is_null() & columns["value"].is_not_null()).to_numpy()
        inside = np.where(has_none, np.nan, (low <= truth) & (truth <= high))
    level = rule.nearest(value) if rule.levels else None
    return NumberPredictions(truth, value, level, rule.levels, inside)


RANGES = 5
"""Ranges of numbers that have as many examples each."""


def range_table(
    predictions: NumberPredictions, cluster: pl.Series, *, inflation: float = 1.0
) -> pl.DataFrame:
    """Return the errors of each range of true numbers, or of each level: rows `RangeRow`.

    `cluster` is that of each example, `inflation` multiplies the variance of a mean error.
    """
    truth = predictions.truth
    if predictions.levels:
        ends = [(level, level) for level in np.unique(truth).tolist()]
    else:
        edges = np.unique(np.quantile(truth, np.linspace(0, 1, RANGES + 1), method="higher"))
        ends = list(pairwise(edges.tolist())) or [(edges[0], edges[0])]
    rows = []
    for place, (first, last) in enumerate(ends):
        is_last = place == len(ends) - 1 or first == last
        inside = (truth >= first) & ((truth <= last) if is_last else (truth < last))
        errors = predictions.value[inside] - truth[inside]
        weights = one_stratum(cluster.filter(pl.Series(inside)))
        mae = Estimate.of(np.abs(errors), weights, inflation=inflation, scale="error")
        low, high = ends_of("error", mae.value, mae.reach())
        held = np.zeros(0) if predictions.inside is None else predictions.inside[inside]
        held = held[~np.isnan(held)]
        rows.append(
            RangeRow(
                range=" to ".join(dict.fromkeys(f"{end:.4g}" for end in (first, last))),
                n=len(errors),
                mae=mae.value,
                low=low,
                high=high,
                bias=float(errors.mean()),
                inside=float(held.mean()) if len(held) else None,
            )
        )
    return pl.DataFrame(rows, schema=schema_of(RangeRow))


def _notes(table: pl.LazyFrame, rule: NumberRule) -> Iterator[str]:
    """Yield notes on levels that training lacks, and on predictions without an interval."""
    if rule.levels:
        texts = table.select("label").drop_nulls().collect()["label"]
        for text, count in texts.value_counts(sort=True).iter_rows():
            if float(text) not in rule.levels:
                yield (
                    f"level {text} of {counted(count, 'example')} is in no training example; it is"
                    " never predicted"
                )
    count = table.select(pl.col("value").count() - pl.col("low").count()).collect().item()
    if count:
        yield (
            f"there are no intervals for {counted(count, 'example')}: they need 19 independent"
            " training examples that were left out"
        )
