"""The part of a report that shows examples: wrong ones, the least sure, the least typical."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from savs.pipeline.evaluation.results import Result
from savs.pipeline.reports.pages.pictures import Images, Picture, open_images
from savs.pipeline.reports.report.headline import is_paired, is_same
from savs.pipeline.targets.tasks import Shown

WRONG, UNSURE, ATYPICAL = "wrong", "least sure", "least like training examples"
SHARE_WRONG = 2 / 3
"""Part of the gallery that is kept for wrong examples, if there are enough."""
SHARE_ATYPICAL = 1 / 6
"""Part that is kept for examples that are least like any training example."""
OPEN = 12
"""Cards that stand above a fold."""


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
    shown: Shown
    is_right: bool
    kinds: tuple[str, ...]
    margin: float
    others: tuple[Other, ...]
    prompt: str
    pictures: tuple[Picture, ...]
    facts: dict[str, str]
    """Subtask, group and category, where it has them; whether it is unlike all training examples,
    and whether training has seen it."""


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
            (card.facts.get("subtask"), card.shown.labels, card.shown.predictions)
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
        if not any(label in card.shown.missed + card.shown.false for card in self.cards):
            return None
        return json.dumps({"wrong": self.numbers([label])})

    @property
    def has_misses(self) -> bool:
        """Whether single labels of an example can be wrong."""
        return any(card.shown.are_several for card in self.cards)

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

    Every class has its turn, so that no frequent confusion fills the gallery; see `Target.ranked`.

    The other results say what they predict for the same examples.
    """
    first, *others = results
    target, tables = first.target, first.metrics
    ranked = target.ranked(first.predictions(), tables)
    rows = pick_examples(ranked, count, only_wrong=only_wrong, share_atypical=SHARE_ATYPICAL)
    if not rows.height:
        return None
    images = open_images(first.store, first.split, rows["id"].to_list(), media_root)
    compared = [other for other in others if is_paired(first, other) and not is_same(first, other)]
    answers_of = {other.name: _answers(other) for other in compared}
    cards = tuple(
        _card(row, target.shown(row, tables), images, answers_of)
        for row in rows.iter_rows(named=True)
    )
    names = [name for card in cards for name in (*card.shown.labels, *card.shown.predictions)]
    return Gallery(
        cards=cards,
        classes=tuple(sorted(dict.fromkeys(names))),
        wrong=int((~ranked["correct"]).sum()),
        notes=tuple(images.notes()),
    )


def pick_examples(
    known: pl.DataFrame, count: int, *, only_wrong: bool = False, share_atypical: float = 0.0
) -> pl.DataFrame:
    """Return examples to show with their `kinds`: wrong ones, surest first, then least sure ones.

    `known` are examples as `Target.ranked` returns them: each `turn`, such as a class, has its turn
    with a mistake. The least typical ones come last.

    `SHARE_WRONG` of the examples are kept for wrong ones, or all with `only_wrong`,
    `share_atypical` for the least typical ones, if there are enough.
    """
    wrong = known.filter(~pl.col("correct"))
    turn = pl.col("margin").rank("ordinal", descending=True).over("turn")
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
        UNSURE: pl.col("margin") <= pl.lit(unsure["margin"].max()),
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
    table = other.predictions()
    column = "predicted" if "predicted" in table.columns else "prediction"
    return {
        name: (_names(prediction), right)
        for name, prediction, right in table.select("id", column, "correct").rows()
    }


def _names(value: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return a label, or many, as names."""
    return None if value is None else (value,) if isinstance(value, str) else tuple(value)


def _card(
    row: dict[str, Any], shown: Shown, images: Images, answers_of: dict[str, dict[str, Any]]
) -> Card:
    """Return the card of an example."""
    facts = {name: row[name] for name in ("subtask", "group", "category") if row[name] is not None}
    facts |= shown.facts
    if row["typicality"] is not None and row["atypical"]:
        facts["atypical"] = "unlike all training examples"
    leak = {"leak": f"{row['leak']} in training"} if row["leak"] is not None else {}
    return Card(
        id=row["id"],
        shown=shown,
        is_right=row["correct"] is not False,  # a number without an interval is neither
        kinds=tuple(row["kinds"]),
        margin=row["margin"],
        others=tuple(
            Other(name, *answers[row["id"]])
            for name, answers in answers_of.items()
            if row["id"] in answers
        ),
        prompt=row["prompt"] or "",
        pictures=images.find(row["id"], row["media"] or []),
        facts=facts | leak,
    )
