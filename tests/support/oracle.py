"""The method, slowly: one head, one example, one class at a time, in float64. Shares no code."""

import math
from collections import Counter
from collections.abc import Sequence

import polars as pl

from savs.datasets import Example, Units

Vector = Sequence[float]
TIE = 2**-19
"""The written rule: what is within this of the best cosine ties with it."""


def cosine(a: Vector, b: Vector) -> float:
    """Return the cosine; 0 with a zero vector."""
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def mean(vectors: Sequence[Vector]) -> list[float]:
    """Return the mean vector."""
    return [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]


def nearest(x: Vector, centroids: Sequence[Vector]) -> int:
    """Return the first class within TIE of the greatest cosine."""
    values = [cosine(x, centroid) for centroid in centroids]
    return next(c for c, value in enumerate(values) if value >= max(values) - TIE)


def centroids_of(head: Sequence[Vector], labels: Sequence[int], classes: int) -> list[list[float]]:
    """Return one head's class centroids."""
    return [mean([x for x, y in zip(head, labels, strict=True) if y == c]) for c in range(classes)]


def held_out_centroids(
    head: Sequence[Vector], labels: Sequence[int], classes: int, out: int
) -> list[list[float]]:
    """Return the centroids without example `out`, where its class has another example."""
    found = []
    for c in range(classes):
        members = [i for i, y in enumerate(labels) if y == c]
        others = [i for i in members if i != out]
        found.append(mean([head[i] for i in (others or members)]))
    return found


def successes(head: Sequence[Vector], labels: Sequence[int], classes: int, scoring: str) -> int:
    """Return how many training examples a head puts in the right class."""
    whole = centroids_of(head, labels, classes)
    count = 0
    for i, (x, y) in enumerate(zip(head, labels, strict=True)):
        centroids = whole if scoring == "resubstitution" else held_out_centroids(
            head, labels, classes, i
        )  # fmt: skip
        count += nearest(x, centroids) == y
    return count


def margin(head: Sequence[Vector], labels: Sequence[int], classes: int) -> float:
    """Return the mean held-out margin of a head; a tie counts 0."""
    total = 0.0
    for i, (x, y) in enumerate(zip(head, labels, strict=True)):
        values = [cosine(x, c) for c in held_out_centroids(head, labels, classes, i)]
        lead = values[y] - max(v for c, v in enumerate(values) if c != y)
        total += lead if abs(lead) > TIE else 0
    return total / len(labels)


def ranking(
    features: Sequence[Sequence[Vector]], labels: Sequence[int], classes: int, scoring: str
) -> list[int]:
    """Return the places of the heads, best first."""
    keys = [
        (-successes(h, labels, classes, scoring), -margin(h, labels, classes), place)
        for place, h in enumerate(features)
    ]
    return [place for *_, place in sorted(keys)]


def vote(
    train: Sequence[Sequence[Vector]],
    labels: Sequence[int],
    classes: int,
    test: Sequence[Sequence[Vector]],
) -> list[tuple[int, dict[int, int]]]:
    """Return each test example's class and its votes, from heads given best first."""
    found = []
    for i in range(len(test[0])):
        ballots = [
            nearest(test_head[i], centroids_of(train_head, labels, classes))
            for train_head, test_head in zip(train, test, strict=True)
        ]
        counts = Counter(ballots)  # keeps the order of first appearance among equals
        found.append((counts.most_common(1)[0][0], dict(counts)))
    return found


def likelihood(model, inputs, tokens):
    """Return log p(tokens | inputs) of a model of transformers; `inputs` are of one prompt."""
    import torch

    inputs, total = dict(inputs), 0.0
    for token in tokens:
        with torch.inference_mode():
            logits = model(**inputs, use_cache=False).logits[0, -1].double()
        total += float(logits.log_softmax(0)[token])
        one = torch.ones((1, 1), dtype=torch.long)
        for name, more in {"input_ids": token, "attention_mask": 1}.items():
            inputs[name] = torch.cat([inputs[name], more * one], dim=1)
        for name in {"token_type_ids", "mm_token_type_ids", "moe_mm_token_type_ids"} & set(inputs):
            kind = int(model.config.model_type == "paligemma")  # where 1 is what follows a prompt
            inputs[name] = torch.cat([inputs[name], kind * one], dim=1)
        if "image_embeds_position_mask" in inputs:
            places = inputs["image_embeds_position_mask"]
            inputs["image_embeds_position_mask"] = torch.cat([places, 0 * one], dim=1)
        if "cross_attention_mask" in inputs:
            seen = inputs["cross_attention_mask"]  # by an answer as by the prompt's last token
            inputs["cross_attention_mask"] = torch.cat([seen, seen[:, -1:]], dim=1)
    return total


VOTES = pl.List(pl.Struct({"class": pl.String, "score": pl.Float32, "soft": pl.Float32}))
NAMES = ("id", "label", "prompt", "media", "group", "subtask", "category")


def predictions_of(
    examples: Sequence[Example],
    scores: Sequence[float | None],
    classes: tuple[str, str] = ("Yes", "No"),
    clusters: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Return predictions: the first class where its score is over a half; None was skipped."""
    first, second = classes
    answers = [s if s is None else first if s > 0.5 else second for s in scores]
    votes = [
        s if s is None else [{"class": c, "soft": v} for c, v in ((first, s), (second, 1 - s))]
        for s in scores
    ]
    frame = pl.DataFrame([{n: getattr(e, n) for n in NAMES} for e in examples]).cast(
        dict.fromkeys(("group", "subtask", "category"), pl.String)
    )
    found = pl.Series(answers, dtype=pl.String)
    return frame.with_columns(
        cluster=pl.Series(clusters or [str(i) for i in range(len(examples))]),
        prediction=found,
        correct=(found == frame["label"]).fill_null(False),
        votes=pl.Series(votes, dtype=VOTES),
    )


def value(units: Units) -> float:
    """Return the mean over strata of the mean score in each."""
    means = units.scores.group_by("stratum").agg(pl.col("score").mean())
    return float(means["score"].to_numpy().mean())
