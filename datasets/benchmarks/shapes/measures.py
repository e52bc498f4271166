"""The metrics of the shapes benchmark: accuracies of tasks, then of pairs and groups."""

from contextlib import suppress

import polars as pl

from savs.datasets.errors import RowError
from savs.datasets.metrics.groups import group_metrics, pair_metric
from savs.datasets.metrics.metrics import Classes, Units, accuracy, subtask_accuracies


def measure(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Return the accuracy of each task and their mean, then the metrics of pairs and groups."""
    found = [accuracy(predictions, classes), *subtask_accuracies(predictions, classes)]
    grouped = predictions.filter(pl.col("group").is_not_null())
    for (subtask, family), part in grouped.group_by("subtask", "category", maintain_order=True):
        with suppress(RowError):  # a file that was cut may hold no whole group of a task
            if family == "group":
                found += group_metrics(part, classes, str(subtask))
            elif family == "pair":
                found.append(pair_metric(part, classes, str(subtask)))
    return found
