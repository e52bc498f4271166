"""`camerabench`: primitives of camera motion in videos, one yes/no question each.

Source: Lin et al., CameraBench, arXiv 2504.15376. Source of the files and the prompt: the public
reference of arXiv 2412.00142.
"""

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.metrics.metrics import Classes, Units, accuracy, mean_metric, parts_by
from savs.datasets.metrics.ranking import RANKED, ranking_metrics
from savs.datasets.row import Row


def parse_row(row: Row) -> Iterator[Fields]:
    """Read one video with a question; each question is a primitive and a subtask."""
    question = row.text("question")
    yield Fields(
        label=row.choice("label", ("Yes", "No")),
        prompt=f"{question} Please answer with Yes or No.",
        media=(row.required_medium("image"),),
        subtask=question,
        category=row.optional("split"),
    )


def measure(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Average precision, ROC-AUC, FPR at 95 % TPR and both accuracies of each primitive.

    The means over several primitives come first. A primitive whose test videos all have the same
    answer has only an accuracy, with a note.
    """
    parts = dict(parts_by(predictions, "subtask"))
    ranked, plain = [], []
    for primitive, part in parts.items():
        name = primitive if len(parts) > 1 else ""
        metrics = ranking_metrics(part, classes, "Yes", name)
        note = f"{primitive!r}: all test answers are the same, so it has only an accuracy"
        units = accuracy(part, classes, f"accuracy, {name}" if name else "accuracy")
        ranked.append(metrics)
        plain.append(units if metrics else replace(units, notes=(note,)))
    single = [
        units for metrics, one in zip(ranked, plain, strict=True) for units in (*metrics, one)
    ]
    if len(parts) == 1:
        return single
    columns = zip(*filter(None, ranked), strict=True)  # empty if no primitive can be ranked
    means = [mean_metric(f"{n}, macro", column) for n, column in zip(RANKED, columns, strict=False)]
    return [*means, mean_metric("accuracy, macro", plain), *single]


CAMERABENCH = Benchmark(
    name="camerabench",
    summary="does the camera move in this way? one question a primitive of camera motion",
    columns={
        "image": "name of the video; a path of another machine is matched by its end",
        "question": "the primitive, e.g. Does the camera zoom in?; heads are selected for each"
        " separately",
        "split": "optional: kept as the category",
        "label": "Yes or No",
    },
    parse_row=parse_row,
    measure=measure,
    about=About(
        task="camera motion in videos, 7 to 29 % of the test answers are Yes",
        metrics=(*RANKED, "accuracy"),
        sizes="15 primitives; train 40 each (20 per class)",
        source="Lin et al., arXiv 2504.15376; files of github.com/chancharikmitra/SAVs",
        licence="not stated in the files",
        files="data/camerabench_trainset and data/camerabench_testset of the reference; videos from"
        " its authors (github.com/sy77777en/CameraBench)",
        sample={
            "image": "videos/a.0.1.mp4",
            "question": "Does the camera zoom in?",
            "question_id": 0,
            "label": "No",
        },
    ),
)
