"""From evidence to an explanation in names: heads, classes, training examples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from savs.pipeline.reports.explain.evidence import Evidence, Trained
from savs.pipeline.reports.explain.explanation import (
    Changes,
    Explained,
    HeadVote,
    Neighbour,
    TrainingExample,
)
from savs.pipeline.reports.explain.refits import refit
from savs.pipeline.reports.explain.vote_changes import (
    smallest_flip,
    without_each_example,
    without_each_head,
)
from savs.pipeline.reports.report.gallery import best_votes
from savs.pipeline.reports.report.images import Images
from savs.pipeline.selection.readouts import Readout
from savs.pipeline.selection.training_data import head_widths
from savs.stores import FeatureStore, head_name

SIMILAR = 5
"""Training examples that are shown of each example."""
VOTE = "vote"
Training = Mapping[str, tuple[list[str], str]]
"""Id of a training example -> its media and its prompt."""


def describe(
    row: dict[str, Any],
    evidence: Evidence,
    images: Images,
    shown: Images,
    known: Training,
    changes: Changes | None,
) -> Explained:
    """Return the explanation of one example.

    Parameters
    ----------
    row
        Its prediction.
    evidence
        What its heads saw.
    images, shown
        Finders of its images, and of those of training examples.
    known
        The training examples.
    changes
        What would have changed the prediction, if that can be told.
    """
    return Explained(
        id=row["id"],
        subtask=row["subtask"],
        label=row["label"],
        prediction=row["prediction"],
        votes=best_votes(row["votes"] or []),
        prompt=row["prompt"] or "",
        pictures=images.find(row["id"], row["media"] or []),
        heads=tuple(_head_votes(evidence)),
        similar=tuple(_similar(evidence, shown, known)),
        changes=changes,
    )


def _head_votes(evidence: Evidence) -> list[HeadVote]:
    trained = evidence.trained
    classes = trained.selection.classes
    found = []
    for place, (layer, head) in enumerate(trained.selection.heads):
        cosines = evidence.table[place]
        order = np.argsort(-cosines, kind="stable")
        pairs = zip(evidence.nearest[place], evidence.similar[place], strict=True)
        found.append(
            HeadVote(
                rank=place + 1,
                layer=layer,
                head=head,
                name=head_name((layer, head)),
                vote=classes[evidence.votes[place]],
                lead=float(evidence.leads[place]),
                similarity=tuple((classes[c], float(cosines[c])) for c in order),
                nearest=tuple(
                    Neighbour(trained.ids[i], classes[trained.labels[i]], float(cosine))
                    for i, cosine in pairs
                ),
            )
        )
    return found


def _similar(evidence: Evidence, images: Images, known: Training) -> list[TrainingExample]:
    """Return the training examples that most heads have among their nearest ones."""
    trained = evidence.trained
    counts = Counter(evidence.nearest.ravel().tolist())
    best = sorted(counts, key=lambda i: (-counts[i], i))[:SIMILAR]
    return [
        TrainingExample(
            trained.ids[i],
            trained.selection.classes[trained.labels[i]],
            known[trained.ids[i]][1],
            counts[i],
            images.find(trained.ids[i], known[trained.ids[i]][0])[:1],
        )
        for i in best
    ]


def changes_of(
    store: FeatureStore, rule: Readout, evidence: Mapping[str, Evidence]
) -> dict[str, Changes]:
    """Return what would have changed each prediction; nothing for readouts of class texts."""
    if rule.name == VOTE:
        return {name: _changes(one) for name, one in evidence.items()}
    found: dict[str, Changes] = {}
    for trained in {id(one.trained): one.trained for one in evidence.values()}.values():
        own = [one for one in evidence.values() if one.trained is trained]
        if not rule.texts:
            found |= _refitted(rule, trained, head_widths(store, trained.selection.heads), own)
    return found


def _refitted(
    rule: Readout, trained: Trained, widths: Sequence[int], evidence: Sequence[Evidence]
) -> dict[str, Changes]:
    classes = trained.selection.classes
    names = [head_name(head) for head in trained.selection.heads]
    queries = np.stack([one.features for one in evidence], axis=1)
    told = refit(rule, trained.features, trained.labels, classes, widths, queries)
    return {
        one.id: Changes(
            rival=classes[own.rival],
            heads=(),
            lead=None,
            without_head={names[rank]: classes[c] for rank, c in own.heads.items()},
            without_example=None
            if own.examples is None
            else {trained.ids[i]: classes[c] for i, c in own.examples.items()},
        )
        for one, own in zip(evidence, told, strict=True)
    }


def _changes(evidence: Evidence) -> Changes:
    trained = evidence.trained
    classes = trained.selection.classes
    names = [head_name(head) for head in trained.selection.heads]
    flip = smallest_flip(evidence.table, evidence.votes)
    heads = without_each_head(evidence.votes, len(classes))
    examples = without_each_example(
        evidence.features, trained.features, trained.labels, trained.centroids
    )
    return Changes(
        rival=classes[flip.rival],
        heads=tuple(names[rank] for rank in flip.heads),
        lead=flip.lead,
        without_head={names[rank]: classes[other] for rank, other in heads.items()},
        without_example={trained.ids[i]: classes[other] for i, other in examples.items()},
    )
