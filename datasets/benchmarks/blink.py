"""`blink`: fourteen perception tasks with one to four images and lettered options.

Source: Fu et al., BLINK, arXiv 2404.12390; data set BLINK-Benchmark/BLINK.
"""

from collections.abc import Iterator
from typing import Any

import polars as pl

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.metrics.metrics import (
    SCORED,
    Classes,
    Units,
    accuracy,
    class_metrics,
    subtask_accuracies,
)
from savs.datasets.row import Row

IMAGE_FIELDS = tuple(f"image_{number}" for number in range(1, 5))
HIDDEN = "hidden"
"""Answer of every row in the official test split."""


def parse_row(row: Row) -> Iterator[Fields]:
    """Read a question of the official Parquet files or of the public reference's JSON."""
    media = [row.medium(name) for name in IMAGE_FIELDS]
    known = [name for name in media if name is not None]
    if not known or media[: len(known)] != known:
        filled = [name for name, medium in zip(IMAGE_FIELDS, media, strict=True) if medium]
        raise row.error(
            f"images are in {', '.join(filled) or '-'}",
            "expected image_1, then image_2 and so on without a gap",
        )
    yield Fields(
        id=row.optional("idx"),
        label=_label(row),
        prompt=row.text("prompt" if row.optional("prompt") else "question"),
        media=tuple(known),
        subtask=row.optional("sub_task"),
    )


def _label(row: Row) -> str | None:
    if "answer" not in row.values:
        return row.text("label")
    answer = row.optional("answer")
    return None if answer in (None, "", HIDDEN) else answer


def measure(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Accuracy: the mean over subtasks (macro) first, each of them, then over examples (micro)."""
    if predictions["subtask"].null_count():
        return class_metrics(predictions, classes)
    *single, macro = subtask_accuracies(predictions, classes)
    return [macro, *single, accuracy(predictions, classes, "accuracy, micro")]


def submission(predictions: pl.DataFrame) -> dict[str, Any]:
    """Return `{idx: "(A)"}`, the final prediction file of the official evaluation."""
    answered = predictions.drop_nulls("prediction")
    return dict(answered.select("id", "prediction").iter_rows())


BLINK = Benchmark(
    name="blink",
    summary="fourteen perception tasks, one to four images (hf://BLINK-Benchmark/BLINK)",
    columns={
        "idx": "the example's id (official files)",
        "sub_task": "the task (official files); heads are selected separately for each",
        "prompt": "question with its options (official files)",
        "question": "the same in the reference's JSON; `<image>` marks the position of each image",
        "choices": "official files: the options, which are also in `prompt`",
        "image_1": "first image: its bytes in the Parquet file, or a name below the media root",
        "image_2": "second image, or null or empty",
        "image_3": "third image, or null or empty",
        "image_4": "fourth image, or null or empty",
        "answer": "(A), (B) ...; `hidden` in the test split, which has predictions only",
        "label": "the same in the reference's JSON",
    },
    parse_row=parse_row,
    measure=measure,
    reads=SCORED,
    submission=submission,
    about=About(
        task="fourteen tasks of perception, one to four images, lettered options",
        metrics=("accuracy, macro", "accuracy of each subtask", "accuracy, micro"),
        sizes="val 1,901 (117 to 172 per subtask), test 1,907 with hidden answers",
        source="Fu et al., BLINK, arXiv 2404.12390; hf://BLINK-Benchmark/BLINK",
        licence="not stated here; see the source",
        files="--test 'hf://BLINK-Benchmark/BLINK/*/val-*.parquet' --shots 20; or the reference's"
        " JSON, with `placeholders` keep in Python for the reference's prompts on Qwen",
        sample={
            "idx": "val_Visual_Similarity_1",
            "sub_task": "Visual_Similarity",
            "prompt": "Given the first image <image>, which is more like it, the second <image> or"
            " the third <image>?\n(A) the second\n(B) the third\n",
            "image_1": "1_1.jpg",
            "image_2": "1_2.jpg",
            "image_3": "1_3.jpg",
            "image_4": None,
            "answer": "(A)",
        },
    ),
)
