"""Explanations of predictions: the page's content, a table for Python, and JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import polars as pl

from savs.pipeline.reports.explain.attention import View
from savs.pipeline.reports.pages.pictures import Picture
from savs.pipeline.reports.report.gallery import Vote

HEADS_SCHEMA: Mapping[str, pl.DataType] = {
    "id": pl.String(),
    "subtask": pl.String(),
    "label": pl.String(),
    "prediction": pl.String(),
    "rank": pl.Int64(),
    "layer": pl.Int64(),
    "head": pl.Int64(),
    "name": pl.String(),
    "vote": pl.String(),
    "lead": pl.Float32(),
    "similarity": pl.List(pl.Struct({"class": pl.String, "cosine": pl.Float32})),
    "nearest": pl.List(pl.Struct({"id": pl.String, "label": pl.String, "cosine": pl.Float32})),
}
"""Columns of `Explanations.heads`: a row an example and chosen head. `lead` is the cosine of the
vote's centroid less the best other one, `nearest` are the nearest training examples."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A training example, or a class, with its cosine in one head."""

    name: str
    """Id of a training example."""
    label: str
    cosine: float


@dataclass(frozen=True, slots=True)
class HeadVote:
    """What one chosen head saw."""

    rank: int
    """Counted from 1, best first."""
    layer: int
    head: int
    name: str
    vote: str
    lead: float
    similarity: tuple[tuple[str, float], ...]
    """Each class and the cosine with its centroid, greatest first."""
    nearest: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """A training example that several heads find similar."""

    id: str
    label: str
    prompt: str
    heads: int
    """Heads that have it among their nearest ones."""
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What would have changed the prediction, everything else being the same.

    Readouts other than `vote` are fitted again without a head or a training example.
    """

    rival: str
    """The runner-up."""
    heads: tuple[str, ...]
    """The fewest heads that would have to vote for it instead, the closest first; none where heads
    do not vote."""
    lead: float | None
    """Greatest cosine that one of them would have to gain; None likewise."""
    without_head: Mapping[str, str]
    """Head -> the class that wins without it."""
    without_example: Mapping[str, str] | None
    """Training example -> the class that wins without it; None where there are too many to try."""


@dataclass(frozen=True, slots=True)
class Explained:
    """One example."""

    id: str
    subtask: str | None
    label: str | None
    prediction: str
    votes: tuple[Vote, ...]
    prompt: str
    pictures: tuple[Picture, ...]
    heads: tuple[HeadVote, ...]
    similar: tuple[TrainingExample, ...]
    """Training examples that most heads find similar."""
    changes: Changes | None
    """None for readouts that compare images with texts."""
    views: tuple[View, ...] = ()
    """Where each head looks, in the order of `heads`, if that was asked for."""
    unseen: str = ""
    """Why it has no views although they were asked for."""

    @property
    def is_right(self) -> bool:
        """Whether the prediction is the label."""
        return self.prediction == self.label

    @property
    def for_winner(self) -> int:
        """Number of heads that vote for the prediction."""
        return sum(head.vote == self.prediction for head in self.heads)


@dataclass(frozen=True, slots=True)
class Explanations:
    """What `explain` found."""

    title: str
    """Name of the benchmark, the heading of the page."""
    model: str
    """Name of the model, as the store or the classifier has it."""
    readout: str
    """Name of the readout that voted."""
    examples: tuple[Explained, ...]
    """What was found of each example, in the order in which they were asked for."""
    notes: tuple[str, ...]
    """What a reader of the page must know, a sentence each."""

    @property
    def heads(self) -> pl.DataFrame:
        """The votes of all heads, a row an example and head; columns `HEADS_SCHEMA`."""
        rows = [
            {
                **{name: getattr(one, name) for name in ("id", "subtask", "label", "prediction")},
                **{name: getattr(head, name) for name in _OF_HEAD},
                "similarity": [{"class": c, "cosine": value} for c, value in head.similarity],
                "nearest": [
                    {"id": n.name, "label": n.label, "cosine": n.cosine} for n in head.nearest
                ],
            }
            for one in self.examples
            for head in one.heads
        ]
        return pl.DataFrame(rows, schema=HEADS_SCHEMA)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the pictures."""
        votes = self.heads.partition_by("id", as_dict=True, maintain_order=True)
        return {
            "model": self.model,
            "readout": self.readout,
            "notes": list(self.notes),
            "examples": [
                {
                    **{n: getattr(one, n) for n in ("id", "subtask", "label", "prediction")},
                    "prompt": one.prompt,
                    "heads": votes[(one.id,)].select(*_OF_HEAD, "similarity", "nearest").to_dicts(),
                    "similar": [
                        {"id": s.id, "label": s.label, "heads": s.heads} for s in one.similar
                    ],
                    "changes": None if one.changes is None else _plain(one.changes),
                    "views": [_view(view) for view in one.views],
                }
                for one in self.examples
            ],
        }


_OF_HEAD = ("rank", "layer", "head", "name", "vote", "lead")


def _plain(changes: Changes) -> dict[str, Any]:
    found = {field.name: getattr(changes, field.name) for field in fields(changes)}
    return found | {"heads": list(changes.heads)}


def _view(view: View) -> dict[str, Any]:
    return {
        "name": view.name,
        "on_images": view.on_images,
        "tokens": [{"token": token, "attention": weight} for token, weight in view.tokens],
        "maps": [[[float(f"{v:.5g}") for v in row] for row in own] for own in view.maps],
        "masking": {"drop": view.drop, "random": list(view.random), "better": view.is_better},
        "words": list(view.words),
    }
