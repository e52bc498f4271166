"""The part of a report that shows examples: wrong ones, the least sure, the least typical."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from savs.pipeline.reports.pages.pictures import Images, Picture, open_images
from savs.pipeline.reports.report.evaluated import Evaluated
from savs.pipeline.reports.report.headline import is_paired

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
    prediction: str | None
    is_right: bool


@dataclass(frozen=True, slots=True)
class Card:
    """One example."""

    id: str
    label: str
    prediction: str
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

    @property
    def subtasks(self) -> tuple[str, ...]:
        """The subtasks of the cards, in order of first appearance."""
        names = [card.facts.get("subtask") for card in self.cards]
        return tuple(name for name in dict.fromkeys(names) if name is not None)

    def number(self, name: str) -> int:
        """Return the number of a class."""
        return self.classes.index(name)

    def subtask_number(self, card: Card) -> str:
        """Return the number of a card's subtask; empty without one."""
        name = card.facts.get("subtask")
        return "" if name is None else str(self.subtasks.index(name))

    def has(self, subtask: str | None, label: str, prediction: str | None) -> bool:
        """Return whether a card shows this confusion."""
        return any(
            (card.facts.get("subtask"), card.label, card.prediction) == (subtask, label, prediction)
            for card in self.cards
        )

    def pick(self, subtask: str | None, label: str, prediction: str) -> str:
        """Return the filter's settings that show a confusion, as JSON."""
        values = {} if subtask is None else {"subtask": str(self.subtasks.index(subtask))}
        classes = {"label": self.number(label), "prediction": self.number(prediction)}
        return json.dumps(values | {name: str(number) for name, number in classes.items()})

    def count(self, kind: str) -> int:
        """Return how many cards are shown as one of a kind; each card counts once.

        A wrong example is a wrong one first, then one of the least typical.
        """
        order = (WRONG, ATYPICAL, UNSURE)
        # One without a margin is of no kind, and stands with the least sure.
        return sum(kind == min(card.kinds or (UNSURE,), key=order.index) for card in self.cards)


def gallery_part(
    results: Sequence[Evaluated], count: int, media_root: str | Path | None
) -> Gallery | None:
    """Return examples of the first result: the surest mistakes, the least sure, the least typical.

    Every class has its turn, so that no frequent confusion fills the gallery.

    The other results say what they predict for the same examples.
    """
    first, *others = results
    rows = pick_examples(first.predictions, count, share_atypical=SHARE_ATYPICAL)
    if not rows.height:
        return None
    images = open_images(first.store, first.split, rows["id"].to_list(), media_root)
    said = {other.name: _said(other) for other in others if is_paired(first, other)}
    cards = tuple(_card(row, images, said) for row in rows.iter_rows(named=True))
    names = [name for card in cards for name in (card.label, card.prediction)]
    known = first.predictions.filter(pl.col("prediction").is_not_null())
    return Gallery(
        cards=cards,
        classes=tuple(sorted(dict.fromkeys(names))),
        wrong=int((~known["correct"]).sum()),
        notes=tuple(images.notes()),
    )


def pick_examples(
    predictions: pl.DataFrame,
    count: int,
    *,
    share_wrong: float = SHARE_WRONG,
    share_atypical: float = 0.0,
) -> pl.DataFrame:
    """Return examples to show with their `kinds`: wrong ones, surest first, then least sure ones.

    Each class of each subtask has its turn with a mistake. The least typical ones come last.
    Skipped examples are left out.

    `share_wrong` of the examples are kept for wrong ones, `share_atypical` for the least typical
    ones, if there are enough.
    """
    known = predictions.filter(pl.col("prediction").is_not_null())
    wrong = known.filter(~pl.col("correct"))
    turns = pl.col("margin").rank("ordinal", descending=True).over("subtask", "label")
    wrong = wrong.sort(turns, -pl.col("margin"), maintain_order=True)
    wrong = wrong.head(round(share_wrong * count))
    wrong = wrong.sort("margin", descending=True, maintain_order=True)
    odd = _without(known, wrong).filter(pl.col("typicality").is_not_null())
    odd = odd.sort("typicality", maintain_order=True).head(round(share_atypical * count))
    unsure = _without(_without(known, wrong), odd).sort("margin", maintain_order=True)
    unsure = unsure.head(count - wrong.height - odd.height)
    shown = pl.concat([wrong, unsure, odd])
    kinds = {
        WRONG: ~pl.col("correct"),
        UNSURE: pl.col("margin") <= pl.lit(unsure["margin"].max(), pl.Float32),
        ATYPICAL: pl.col("typicality") <= pl.lit(odd["typicality"].max(), pl.Float32),
    }
    return shown.with_columns(
        kinds=pl.concat_list(
            pl.when(is_kind).then(pl.lit(kind)) for kind, is_kind in kinds.items()
        ).list.drop_nulls()
    )


def _without(examples: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    return examples.join(others, on="id", how="anti", maintain_order="left")


def _said(other: Evaluated) -> dict[str, tuple[str | None, bool]]:
    rows = other.predictions.select("id", "prediction", "correct").rows()
    return {name: (prediction, right) for name, prediction, right in rows}


def _card(row: dict[str, Any], images: Images, said: dict[str, dict[str, Any]]) -> Card:
    facts = {name: row[name] for name in ("subtask", "group", "category") if row[name] is not None}
    if row["typicality"] is not None:
        flag = " (atypical)" if row["atypical"] else ""
        facts["typicality"] = f"{row['typicality']:.3f}{flag}"
    leak = {"leak": f"{row['leak']} in training"} if row["leak"] is not None else {}
    return Card(
        id=row["id"],
        label=row["label"],
        prediction=row["prediction"],
        is_right=row["correct"],
        kinds=tuple(row["kinds"]),
        margin=row["margin"],
        votes=best_votes(row["votes"] or []),
        others=tuple(
            Other(name, *answers[row["id"]])
            for name, answers in said.items()
            if row["id"] in answers
        ),
        prompt=row["prompt"] or "",
        pictures=images.find(row["id"], row["media"] or []),
        facts=facts | leak,
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
