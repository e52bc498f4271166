"""Results for reports: large ones made of random predictions, and hostile names."""

from pathlib import Path

import numpy as np
import polars as pl

from savs.datasets import find_benchmark
from savs.pipeline import Evaluation, save_evaluation
from savs.pipeline.evaluation.predictions import PREDICTION_SCHEMA, in_schema
from savs.pipeline.evaluation.statistics.intervals import summarise

ATTACK = "<img src=x onerror=hacked()><script>hacked()</script>\"'</td></script>&amp;"
"""A name that runs a script wherever it is taken as HTML, or ends an attribute."""


def save_random_result(
    folder: Path,
    examples: int,
    classes: int,
    *,
    accuracy: float = 0.7,
    seed: int = 0,
    name: str = "class {}",
) -> Path:
    """Write the results of random predictions; most mistakes are of the next class."""
    rng = np.random.default_rng(seed)
    names = [name.format(number) for number in range(classes)]
    labels = rng.integers(classes, size=examples)
    shifts = np.where(rng.random(examples) < accuracy, 0, rng.geometric(0.5, size=examples))
    said = (labels + shifts) % classes
    votes = rng.integers(8, 20, size=examples)
    columns = {
        "id": [f"test:{i}" for i in range(examples)],
        "split": "test",
        "label": [names[i] for i in labels],
        "prediction": [names[i] for i in said],
        "correct": labels == said,
        "margin": (2.0 * votes - 20).tolist(),
        "votes": [
            [{"class": names[b], "score": float(n), "soft": n / 20},
             {"class": names[(b + 1) % classes], "score": float(20 - n), "soft": 1 - n / 20}]
            for b, n in zip(said, votes, strict=True)
        ],
        "group": None,
        "subtask": None,
        "category": [name.format(i % 3) for i in range(examples)],
        "cluster": [str(i) for i in range(examples)],
        "leak": None,
        "media": [[f"images/{name.format(i)}.png"] for i in range(examples)],
        "prompt": name.format("prompt"),
        "extra": "{}",
    }  # fmt: skip
    given = {column: PREDICTION_SCHEMA[column] for column in columns}
    table = in_schema(pl.LazyFrame(columns, schema_overrides=given))
    units = find_benchmark("general").measure(table.collect(), {None: names})
    save_evaluation(
        Evaluation(
            metrics=tuple(map(summarise, units)),
            units=tuple(units),
            table=table,
            selection=None,
            model={"name": name.format("model"), "class": "Toy"},
            planned=examples,
            skipped=0,
            notes=(name.format("note"),),
        ),
        folder,
    )
    return folder
