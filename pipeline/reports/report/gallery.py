"""The part of a report that shows examples: wrong ones, the least sure, the least typical."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.many_labels import UNKNOWN, label_table
from savs.pipeline.evaluation.results import Result
from savs.pipeline.reports.pages.pictures import Images, Picture, open_images
from savs.pipeline.reports.report.headline import is_paired
from savs.pipeline.targets.label_rules import threshold_distances

WRONG, UNSURE, ATYPICAL = "wrong", "least sure", "least typical"
SHARE_WRONG = 2 / 3
"""Part of the gallery that is kept for wrong examples, if there are enough."""
SHARE_ATYPICAL = 1 / 6
"""Part that is kept for examples that are least like any training example."""
OPEN = 12
"""Cards that stand above a fold."""
MOST_VOTES = 4
"""Most classes of an example's votes."""
ONE = 1.01
"""Scores of an example that add up to more are votes; else they are probabilities."""


@dataclass(frozen=True, slots=True)
class Vote:
    """A class with the part of the votes that it has."""

    name: str
    share: float
    text: str
    """Number of votes, or probability in percent."""


@dataclass(frozen=True, slots=True)
class Other:
    """What another result says about the same example."""

    result: str
    predictions: tuple[str, ...] | None
    is_right: bool


@dataclass(frozen=True, slots=True)
class Card:
    """One example."""

    id: str
    labels: tuple[str, ...]
    """Its label, or its many labels."""
    predictions: tuple[str, ...]
    """What was predicted, in the same form."""
    missed: tuple[str, ...]
    """Of many labels, those that the example has and were not predicted."""
    false: tuple[str, ...]
    """Of many labels, those that were predicted and the example lacks."""
    is_right: bool
    kinds: tuple[str, ...]
    margin: float
    votes: tuple[Vote, ...]
    others: tuple[Other, ...]
    prompt: str
    pictures: tuple[Picture, ...]
    facts: dict[str, str]
    """Subtask, group, category and typicality, where it has them, and whether training has seen
    it."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Examples with their images."""

    cards: tuple[Card, ...]
    classes: tuple[str, ...]
    """All labels and predictions of the cards, in order; their numbers filter the cards."""
    wrong: int
    """Wrong examples of the result, skipped ones left out; some may not be shown."""
    notes: tuple[str, ...]
    open: int = OPEN
    """Cards that are shown before the others are unfolded."""

    def numbers(self, names: Sequence[str]) -> str:
        """Return the numbers of classes as the filter has them."""
        return ",".join(str(self.classes.index(name)) for name in names)

    @property
    def subtasks(self) -> tuple[str, ...]:
        """The subtasks of the cards, in order of first appearance."""
        names = [card.facts.get("subtask") for card in self.cards]
        return tuple(name for name in dict.fromkeys(names) if name is not None)

    def subtask_number(self, card: Card) -> str:
        """Return the number of a card's subtask; empty without one."""
        name = card.facts.get("subtask")
        return "" if name is None else str(self.subtasks.index(name))

    def has(self, subtask: str | None, label: str, prediction: str | None) -> bool:
        """Return whether a card shows this confusion."""
        return any(
            (card.facts.get("subtask"), card.labels, card.predictions)
            == (subtask, (label,), (prediction,))
            for card in self.cards
        )

    def pick(self, subtask: str | None, label: str, prediction: str) -> str:
        """Return the filter's settings that show a confusion, as JSON."""
        values = {} if subtask is None else {"subtask": str(self.subtasks.index(subtask))}
        classes = {"label": self.numbers([label]), "prediction": self.numbers([prediction])}
        return json.dumps(values | classes)

    def errors(self, label: str) -> str | None:
        """Return the settings that show examples where a label is wrong; None without any."""
        if not any(label in card.missed + card.false for card in self.cards):
            return None
        return json.dumps({"wrong": self.numbers([label])})

    def count(self, kind: str) -> int:
        """Return how many cards are shown as one of a kind; each card counts once.

        A wrong example is a wrong one first, then one of the least typical.
        """
        order = (WRONG, ATYPICAL, UNSURE)
        # One without a margin is of no kind, and stands with the least sure.
        return sum(kind == min(card.kinds or (UNSURE,), key=order.index) for card in self.cards)


def gallery_part(
    results: Sequence[Result],
    count: int,
    media_root: str | Path | None,
    *,
    only_wrong: bool = False,
) -> Gallery | None:
    """Return examples of the first result: the surest mistakes, the least sure, the least typical.

    Or mistakes alone. None without any.

    Every class has its turn, so that no frequent confusion fills the gallery. Of many labels the
    margin is how far a logit is from that of its threshold: the farthest of the labels that are
    wrong, or the nearest of all.

    The other results say what they predict for the same examples.
    """
    first, *others = results
    predictions = _of_labels(first) if first.labels else first.predictions()
    rows = pick_examples(
        predictions,
        count,
        only_wrong=only_wrong,
        share_atypical=SHARE_ATYPICAL,
        turns=("decisive",) if first.labels else ("subtask", "label"),
    )
    if not rows.height:
        return None
    images = open_images(first.store, first.split, rows["id"].to_list(), media_root)
    answers_of = {other.name: _answers(other) for other in others if is_paired(first, other)}
    order = [row["label"] for row in first.labels]
    cards = tuple(_card(row, images, answers_of, order) for row in rows.iter_rows(named=True))
    names = [name for card in cards for name in (*card.labels, *card.predictions)]
    known = first.predictions().filter(pl.col("prediction").is_not_null())
    return Gallery(
        cards=cards,
        classes=tuple(sorted(dict.fromkeys(names))),
        wrong=int((~known["correct"]).sum()),
        notes=tuple(images.notes()),
    )


def _of_labels(result: Result) -> pl.DataFrame:
    """Return predictions of many labels with `margin`, and the label that is `decisive` for it."""
    known = result.predictions().filter(pl.col("prediction").is_not_null())
    names = [row["label"] for row in result.labels]
    states = label_table(known["label"], names).states.T
    predicted = label_table(known["prediction"], names).states.T
    thresholds = np.array([row["threshold"] for row in result.labels])
    shares = np.array(known["probabilities"].to_list(), np.float64).reshape(states.shape)
    distances = threshold_distances(shares, thresholds)
    is_known = states != UNKNOWN
    is_wrong = is_known & (states != predicted)
    # a label that is never predicted has no distance: it decides nothing
    farthest = np.where(is_wrong & np.isfinite(distances), distances, 0)
    nearest = np.where(is_known, distances, np.inf)
    decisive = np.where(is_wrong.any(axis=1), farthest.argmax(axis=1), nearest.argmin(axis=1))
    margins = np.where(is_wrong.any(axis=1), farthest.max(axis=1), nearest.min(axis=1))
    return known.with_columns(
        margin=pl.Series(margins, dtype=pl.Float32),
        decisive=pl.Series([names[number] for number in decisive], dtype=pl.String),
        typicality=pl.lit(None, pl.Float32),
    )


def pick_examples(
    predictions: pl.DataFrame,
    count: int,
    *,
    only_wrong: bool = False,
    share_atypical: float = 0.0,
    turns: Sequence[str] = ("subtask", "label"),
) -> pl.DataFrame:
    """Return examples to show with their `kinds`: wrong ones, surest first, then least sure ones.

    Each class of each subtask has its turn with a mistake, or each value of the columns `turns`.
    The least typical ones come last. Skipped examples are left out.

    `SHARE_WRONG` of the examples are kept for wrong ones, or all with `only_wrong`,
    `share_atypical` for the least typical ones, if there are enough.
    """
    known = predictions.filter(pl.col("prediction").is_not_null())
    wrong = known.filter(~pl.col("correct"))
    turn = pl.col("margin").rank("ordinal", descending=True).over(*turns)
    wrong = wrong.sort(turn, -pl.col("margin"), maintain_order=True)
    wrong = wrong.head(count if only_wrong else round(SHARE_WRONG * count))
    wrong = wrong.sort("margin", descending=True, maintain_order=True)
    odd = _without(known, wrong).filter(pl.col("typicality").is_not_null())
    odd = odd.sort("typicality", maintain_order=True).head(round(share_atypical * count))
    unsure = _without(_without(known, wrong), odd).sort("margin", maintain_order=True)
    unsure = unsure.head(count - wrong.height - odd.height)
    examples = pl.concat([wrong, unsure, odd])
    kinds = {
        WRONG: ~pl.col("correct"),
        UNSURE: pl.col("margin") <= pl.lit(unsure["margin"].max(), pl.Float32),
        ATYPICAL: pl.col("typicality") <= pl.lit(odd["typicality"].max(), pl.Float32),
    }
    if only_wrong:
        examples = examples.filter(~pl.col("correct"))
    return examples.with_columns(
        kinds=pl.concat_list(
            pl.when(is_kind).then(pl.lit(kind)) for kind, is_kind in kinds.items()
        ).list.drop_nulls()
    )


def _without(examples: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    return examples.join(others, on="id", how="anti", maintain_order="left")


def _answers(other: Result) -> dict[str, tuple[tuple[str, ...] | None, bool]]:
    column = "predicted" if other.labels else "prediction"
    rows = other.predictions().select("id", column, "correct").rows()
    return {name: (_names(prediction), right) for name, prediction, right in rows}


def _names(value: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return a label, or many, as names."""
    return None if value is None else (value,) if isinstance(value, str) else tuple(value)


def _card(
    row: dict[str, Any], images: Images, answers_of: dict[str, dict[str, Any]], order: Sequence[str]
) -> Card:
    """Return the card of an example; `order` has the labels in the order of their probabilities."""
    labels = _names(row["labels" if order else "label"]) or ()
    predictions = _names(row["predicted" if order else "prediction"]) or ()
    unknown = row["unknown"] if order else []
    facts = {name: row[name] for name in ("subtask", "group", "category") if row[name] is not None}
    if unknown:
        facts["not known"] = ", ".join(unknown)
    if row["typicality"] is not None:
        flag = " (atypical)" if row["atypical"] else ""
        facts["typicality"] = f"{row['typicality']:.3f}{flag}"
    leak = {"leak": f"{row['leak']} in training"} if row["leak"] is not None else {}
    return Card(
        id=row["id"],
        labels=labels,
        predictions=predictions,
        missed=tuple(name for name in labels if order and name not in predictions),
        false=tuple(name for name in predictions if order and name not in {*labels, *unknown}),
        is_right=row["correct"],
        kinds=tuple(row["kinds"]),
        margin=row["margin"],
        votes=_label_votes(row, order) if order else best_votes(row["votes"] or []),
        others=tuple(
            Other(name, *answers[row["id"]])
            for name, answers in answers_of.items()
            if row["id"] in answers
        ),
        prompt=row["prompt"] or "",
        pictures=images.find(row["id"], row["media"] or []),
        facts=facts | leak,
    )


def _label_votes(row: Mapping[str, Any], order: Sequence[str]) -> tuple[Vote, ...]:
    """Return the labels that are there or predicted, the most probable first."""
    shares = dict(zip(order, row["probabilities"], strict=True))
    names = {*row["labels"], *row["predicted"]}
    return tuple(
        Vote(name, shares[name], f"{100 * shares[name]:.0f} %")
        for name in sorted(names, key=lambda name: (-shares[name], name))
    )


def best_votes(votes: Sequence[dict[str, Any]]) -> tuple[Vote, ...]:
    """Return the classes with the most votes, from a prediction's `votes`."""
    total = sum(vote["score"] for vote in votes)
    are_counts = total > ONE
    return tuple(
        Vote(
            vote["class"],
            vote["score"] / (total if are_counts else 1),
            f"{vote['score']:g}" if are_counts else f"{100 * vote['score']:.0f} %",
        )
        for vote in votes[:MOST_VOTES]
        if vote["score"] > 0
    )
