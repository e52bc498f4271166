"""`naturalbench-retrieval`: does this image show this caption? Two images x two captions a group.

Source of the files and the prompt: the public reference of arXiv 2412.00142. Source of the official
score: Li et al., NaturalBench, arXiv 2410.14669, after Winoground, arXiv 2204.03162.
"""

from collections.abc import Iterator

import polars as pl

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.benchmarks.captions import shown_caption
from savs.datasets.metrics.groups import group_metrics
from savs.datasets.metrics.matching import matching_metrics
from savs.datasets.metrics.metrics import Classes, Units, accuracy
from savs.datasets.row import Row


def parse_row(row: Row) -> Iterator[Fields]:
    """Read one pair of image and caption; `question_id` is its group."""
    yield Fields(
        label=row.choice("label", ("Yes", "No")),
        prompt=f"\n{row.text('question')} Answer with Yes or No.",
        media=(row.required_medium("image"),),
        group=row.text("question_id"),
    )


def measure(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Q-Acc, I-Acc and G-Acc of the answers, then text, image and group of the scores."""
    return [
        accuracy(predictions, classes),
        *group_metrics(predictions, classes),
        *matching_metrics(predictions),
    ]


NATURALBENCH_RETRIEVAL = Benchmark(
    name="naturalbench-retrieval",
    summary="does this image show this caption? groups of two images x two captions",
    columns={
        "image": "name of the image; a path of another machine is matched by its end",
        "question": "Does this image show '...'?",
        "question_id": "the group; a row number in a train file, where it is ignored",
        "label": "Yes or No",
    },
    parse_row=parse_row,
    measure=measure,
    captions=shown_caption,
    grouped_train=False,
    aliases=("natural_ret",),
    about=About(
        task="does this image show this caption? groups of two images and two captions",
        metrics=(
            "accuracy",
            "Q-Acc",
            "I-Acc",
            "G-Acc",
            "text, image and group score (official)",
        ),
        sizes="test 950 groups of 4 examples, 667 sets of groups that share no image; train 40",
        source="Li et al., arXiv 2410.14669; files of github.com/chancharikmitra/SAVs",
        licence="not stated here; see the source",
        files="naturalbench_ret_train.jsonl and naturalbench_ret_test.jsonl of the reference;"
        " --media-root is the folder of NaturalBench's images; its 40 training rows are the test"
        " file's first, so evaluate with --drop-leaks",
        sample={
            "image": "images/0_image_0.jpg",
            "question": "Does this image show 'A dog sleeps on a sofa.'?",
            "question_id": 1,
            "label": "Yes",
        },
    ),
)
