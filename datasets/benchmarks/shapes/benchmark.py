"""The benchmark `shapes`: how its files are read and measured; nothing is drawn here."""

from contextlib import suppress

import polars as pl

from savs.datasets.benchmark import About, Benchmark
from savs.datasets.benchmarks.general import GENERAL
from savs.datasets.benchmarks.naturalbench_retrieval import shown_caption
from savs.datasets.errors import RowError
from savs.datasets.metrics.groups import group_metrics, pair_metric
from savs.datasets.metrics.metrics import Classes, Units, accuracy, subtask_accuracies

TRAIN_PER_CLASS, TEST_UNITS = 20, 100
"""Examples of each class, and questions, pairs or groups of each task, that are drawn."""


def measure(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Return the accuracy of each task and their mean, then the metrics of pairs and groups."""
    metrics = [accuracy(predictions, classes), *subtask_accuracies(predictions, classes)]
    grouped = predictions.filter(pl.col("group").is_not_null())
    for (subtask, family), part in grouped.group_by("subtask", "category", maintain_order=True):
        with suppress(RowError):  # a file that was cut may hold no whole group of a task
            if family == "group":
                metrics += group_metrics(part, classes, str(subtask))
            elif family == "pair":
                metrics.append(pair_metric(part, classes, str(subtask)))
    return metrics


SHAPES = Benchmark(
    name="shapes",
    summary="drawn scenes of coloured shapes, from a seed; what `savs demo` runs on",
    columns=GENERAL.columns,
    parse_row=GENERAL.parse_row,
    measure=measure,
    captions=shown_caption,
    about=About(
        task="colours, shapes, places, relations and groups in drawn scenes; new labels",
        metrics=(
            "accuracy",
            "accuracy of each task, and their mean",
            "both right (pairs)",
            "Q-Acc, I-Acc, G-Acc (groups)",
        ),
        sizes=f"any; `savs demo` draws {TRAIN_PER_CLASS} training examples per class, {TEST_UNITS}"
        " test units per task",
        source="drawn by savs from a seed, see docs/reference/demo-scenes.md",
        licence="MIT, as savs",
        files="`savs demo` writes them to savs-demo/data; in Python, write_shapes draws more",
        sample={
            "id": "train-exists-0000",
            "image": "images/train/exists-0000-0.png",
            "question": "Is there a red square? Answer with Yes or No.",
            "label": "Yes",
            "subtask": "exists",
            "category": "presence",
        },
    ),
)
