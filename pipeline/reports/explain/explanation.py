"""Explanations in names of heads, classes and examples: made of evidence; a table and JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from savs.pipeline.reports.explain.attention import View
from savs.pipeline.reports.explain.changes import (
    refit,
    smallest_flip,
    without_each_example,
    without_each_head,
)
from savs.pipeline.reports.explain.evidence import Evidence, Trained
from savs.pipeline.reports.pages.pictures import Images, Picture
from savs.pipeline.running.formatting import counted, listed
from savs.pipeline.targets.tasks import Share, Shown
from savs.stores import FeatureStore, head_name
from savs.stores.format.layout import holder, is_neuron, parse_address

HEADS_SCHEMA: Mapping[str, pl.DataType] = {
    "id": pl.String(),
    "subtask": pl.String(),
    "label": pl.String(),
    "prediction": pl.String(),
    "rank": pl.Int64(),
    "layer": pl.Int64(),
    "head": pl.Int64(),
    "name": pl.String(),
    "strength": pl.Float64(),
    "vote": pl.String(),
    "lead": pl.Float32(),
    "similarity": pl.List(pl.Struct({"class": pl.String, "cosine": pl.Float32})),
    "nearest": pl.List(pl.Struct({"id": pl.String, "label": pl.String, "cosine": pl.Float32})),
}
"""Columns of `Explanations.heads`: a row an example and chosen head. `strength` is the share of the
training examples that the head classifies alone, `lead` is the cosine of the
vote's centroid less the best other one, `nearest` are the nearest training examples. Of numbers
`vote` and `lead` are how far the head moves the number from the mean, and `similarity` is empty; of
many labels `subtask` is the label that an explanation is about. A neuron, which has no cosines, has
its closeness, and the `layer` and `head` of its head."""


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
    strength: float
    """Share of the training examples that it classifies alone."""
    vote: str
    lead: float
    similarity: tuple[tuple[str, float], ...]
    """Each class and the cosine with its centroid, greatest first; nothing of a number, whose
    `vote` and `lead` are how far the head moves it."""
    nearest: tuple[Neighbour, ...]

    @property
    def measure(self) -> str:
        """What `similarity`, `lead` and `nearest` are in: cosines, or of a neuron its closeness."""
        address = parse_address(self.name)
        return "closeness" if address and is_neuron(address) else "cosine"


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
    heads: tuple[str, ...]
    """The fewest heads that would have to vote for it instead, the closest first; none where heads
    do not vote."""
    lead: float | None
    """Greatest cosine that one of them would have to gain; None in the same case."""
    without_head: Mapping[str, str]
    """Head -> the class that wins without it."""
    without_example: Mapping[str, str] | None
    """Training example -> the class that wins without it; None if there are too many to try."""


@dataclass(frozen=True, slots=True)
class Explained:
    """One example."""

    id: str
    subtask: str | None
    label: str | None
    prediction: str
    is_right: bool
    verdict: str
    """In a word; empty if nothing can be said."""
    votes: tuple[Share, ...]
    facts: Mapping[str, str]
    prompt: str
    pictures: tuple[Picture, ...]
    heads: tuple[HeadVote, ...]
    similar: tuple[TrainingExample, ...]
    """Training examples that most heads find similar."""
    changes: Changes | None
    """None for readouts that compare images with texts, for many labels and for numbers."""
    views: tuple[View, ...] = ()
    """Where each head looks, in the order of `heads`, if that was asked for."""
    unseen: str = ""
    """Why it has no views although they were asked for."""

    @property
    def are_moves(self) -> bool:
        """Whether heads move a number, and do not vote."""
        return not all(head.similarity for head in self.heads)

    @property
    def for_winner(self) -> int:
        """Number of heads that vote for the prediction."""
        return sum(head.vote == self.prediction for head in self.heads)


@dataclass(frozen=True, slots=True)
class Explanations:
    """What `explain` found."""

    title: str
    """Heading of the page: the name of the store's folder, and the question."""
    model: str
    """Name of the model, as the store or the classifier has it."""
    readout: str
    """Name of the readout that voted."""
    examples: tuple[Explained, ...]
    """What was found of each example, in the order in which they were asked for."""
    notes: tuple[str, ...]
    """What a reader of the page must know, a sentence each."""
    has_classes: bool = True
    """Whether a prediction is one of several classes."""
    part: str = "subtask"
    """What the task of an example is."""
    left_out: str = ""
    """Of a cross-validation, whose heads classified the examples; empty of test examples."""

    def __repr__(self) -> str:
        """Return a few lines: which examples, how many are wrong, and where more is."""
        known = [one for one in self.examples if one.label is not None]
        wrong = sum(not one.is_right for one in known)
        return (
            f"Explanations({listed([self.title])}: {counted(len(self.examples), 'example')},"
            f" {wrong:,} wrong, {self.readout})\n"
            f"  {listed([one.id for one in self.examples])}\n"
            "  next: explanations.heads, explanations.examples[0].changes"
        )

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
            "notes": [*filter(None, [self.left_out]), *self.notes],
            "examples": [
                {
                    **{n: getattr(one, n) for n in ("id", "subtask", "label", "prediction")},
                    "prompt": one.prompt,
                    "heads": votes[(one.id,)].select(*_OF_HEAD, "similarity", "nearest").to_dicts(),
                    "similar": [
                        {"id": s.id, "label": s.label, "heads": s.heads} for s in one.similar
                    ],
                    "changes": one.changes
                    and asdict(one.changes) | {"heads": list(one.changes.heads)},
                    "views": [_view(view) for view in one.views],
                }
                for one in self.examples
            ],
        }


_OF_HEAD = ("rank", "layer", "head", "name", "strength", "vote", "lead")


def _view(view: View) -> dict[str, Any]:
    return {
        "name": view.name,
        "on_images": view.on_images,
        "tokens": [{"token": token, "attention": weight} for token, weight in view.tokens],
        "maps": [[[float(f"{v:.5g}") for v in row] for row in weights] for weights in view.maps],
        "masking": {"drop": view.drop, "random": list(view.random), "better": view.is_better},
        "words": list(view.words),
    }


SIMILAR = 5
"""Training examples that are shown of each example."""
VOTE = "vote"
Training = Mapping[str, tuple[list[str], str]]
"""Id of a training example -> its media and its prompt."""


def describe(
    row: dict[str, Any],
    shown: Shown,
    evidence: Evidence,
    images: Images,
    training_images: Images,
    training: Training,
    changes: Changes | None,
) -> Explained:
    """Return the explanation of one example: `row` is its prediction, `shown` as people read it.

    `images` finds its images, `training_images` those of the training examples.
    """
    return Explained(
        id=row["id"],
        subtask=row["subtask"],
        label=row["label"],
        prediction=row["prediction"],
        is_right=row["correct"] is not False,  # a number without an interval is neither
        verdict=shown.verdict,
        votes=shown.shares,
        facts=shown.facts,
        prompt=row["prompt"] or "",
        pictures=images.find(row["id"], row["media"] or []),
        heads=head_votes(evidence),
        similar=tuple(_similar(evidence, training_images, training)),
        changes=changes,
    )


def head_votes(evidence: Evidence) -> tuple[HeadVote, ...]:
    """Return what each chosen head saw, in names of heads, classes and training examples."""
    trained, moves = evidence.trained, evidence.moves
    classes = trained.selection.classes
    votes = []
    for place, address in enumerate(trained.selection.heads):
        layer, head = holder(address)
        cosines = evidence.table[place]
        order = np.argsort(-cosines, kind="stable")
        pairs = zip(evidence.nearest[place], evidence.similar[place], strict=True)
        votes.append(
            HeadVote(
                rank=place + 1,
                layer=layer,
                head=head,
                name=head_name(address),
                strength=trained.selection.strengths[place],
                vote=classes[evidence.votes[place]] if moves is None else f"{moves[place]:+.4g}",
                lead=float(evidence.leads[place] if moves is None else moves[place]),
                similarity=tuple((classes[c], float(cosines[c])) for c in order)
                if moves is None
                else (),
                nearest=tuple(
                    Neighbour(trained.ids[i], trained.texts[i], float(cosine))
                    for i, cosine in pairs
                ),
            )
        )
    return tuple(votes)


def _similar(evidence: Evidence, images: Images, known: Training) -> list[TrainingExample]:
    """Return the training examples that most heads have among their nearest ones."""
    trained = evidence.trained
    counts = Counter(evidence.nearest.ravel().tolist())
    best = sorted(counts, key=lambda i: (-counts[i], i))[:SIMILAR]
    return [
        TrainingExample(
            trained.ids[i],
            trained.texts[i],
            known[trained.ids[i]][1],
            counts[i],
            images.find(trained.ids[i], known[trained.ids[i]][0])[:1],
        )
        for i in best
    ]


def changes_of(store: FeatureStore, evidence: Mapping[str, Evidence]) -> dict[str, Changes]:
    """Return what would have changed each prediction.

    Nothing for readouts of class texts, many labels, whose thresholds decide, and numbers.
    """
    changes: dict[str, Changes] = {}
    for trained in {id(one.trained): one.trained for one in evidence.values()}.values():
        examples = [one for one in evidence.values() if one.trained is trained]
        if not trained.target.has_classes:
            continue
        if trained.rule.name == VOTE:
            changes |= {one.id: _changes(one) for one in examples}
        elif not trained.rule.texts:
            changes |= _refitted(trained, store.widths(trained.selection.heads), examples)
    return changes


def _refitted(
    trained: Trained, widths: Sequence[int], evidence: Sequence[Evidence]
) -> dict[str, Changes]:
    classes = trained.selection.classes
    names = [head_name(head) for head in trained.selection.heads]
    queries = np.stack([one.features for one in evidence], axis=1)
    assert trained.task is not None
    labels = trained.task.labels
    refits = refit(trained.rule, trained.features, labels, classes, widths, queries)
    return {
        one.id: Changes(
            rival=classes[refitted.rival],
            heads=(),
            lead=None,
            without_head={names[rank]: classes[c] for rank, c in refitted.heads.items()},
            without_example=None
            if refitted.examples is None
            else {trained.ids[i]: classes[c] for i, c in refitted.examples.items()},
        )
        for one, refitted in zip(evidence, refits, strict=True)
    }


def _changes(evidence: Evidence) -> Changes:
    trained = evidence.trained
    classes = trained.selection.classes
    names = [head_name(head) for head in trained.selection.heads]
    flip = smallest_flip(evidence.table, evidence.votes)
    heads = without_each_head(evidence.votes, len(classes))
    assert trained.task is not None
    examples = without_each_example(
        evidence.features, trained.features, trained.task.labels, trained.centroids
    )
    return Changes(
        rival=classes[flip.rival],
        heads=tuple(names[rank] for rank in flip.heads),
        lead=flip.lead,
        without_head={names[rank]: classes[other] for rank, other in heads.items()},
        without_example={trained.ids[i]: classes[other] for i, other in examples.items()},
    )
