"""`general`: your own images, questions and labels."""

from collections.abc import Iterator

import polars as pl

from savs.datasets.benchmark import Benchmark, Fields
from savs.datasets.metrics import (
    Classes,
    Units,
    accuracy,
    balanced_accuracy,
    subtask_accuracies,
)
from savs.datasets.rows import Row


def parse_row(row: Row) -> Iterator[Fields]:
    """Read `image` or `images`, `question` and `label`, and what groups the row, if anything."""
    yield Fields(
        id=row.optional("id"),
        label=row.text("label"),
        prompt=row.text("question"),
        media=row.names("image", "images"),
        group=row.optional("group"),
        subtask=row.optional("subtask"),
        category=row.optional("category"),
    )


def measure(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Accuracy, plain and balanced; where there are subtasks, each of them and their mean."""
    overall = [accuracy(predictions, classes)]
    if predictions["subtask"].null_count():
        return [*overall, balanced_accuracy(predictions, classes)]
    return [*overall, *subtask_accuracies(predictions, classes)]


GENERAL = Benchmark(
    name="general",
    summary="your own images, questions and labels",
    columns={
        "id": "optional: unique in the file; without it rows are `<file stem>:<row>`",
        "image": "name of one image below the media root (or `images`, or neither)",
        "images": "list of names; `<image>` in the question marks the place of each; not in CSV",
        "question": "the prompt, as it is put to the model",
        "label": "the class, any text",
        "group": "optional: examples that are not independent share it",
        "subtask": "optional: heads are selected for each subtask by itself",
        "category": "optional: kept beside the predictions",
    },
    parse_row=parse_row,
    measure=measure,
)
