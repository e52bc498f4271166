"""`naturalbench`: two images and two questions a group, visual question answering.

Source: Li et al., NaturalBench, arXiv 2410.14669; data set BaiqiL/NaturalBench, 1,900 groups.
"""

from collections.abc import Iterator

import polars as pl

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.metrics.groups import group_metrics
from savs.datasets.metrics.metrics import Classes, Units, accuracy, parts_by
from savs.datasets.row import Row

SUFFIXES = {
    "yes_no": "Please answer Yes or No.",
    "multiple_choice": "Please output the letter corresponding to the correct option.",
}
"""`Question_Type` -> text that the official script appends to the question."""
ANSWERS = {"yes_no": ("Yes", "No"), "multiple_choice": ("A", "B")}


def parse_row(row: Row) -> Iterator[Fields]:
    """Read the four examples of a group, in the order q0i0, q0i1, q1i0, q1i1."""
    kind = row.choice("Question_Type", SUFFIXES)
    group = row.optional("Index") or row.id
    for question in range(2):
        for image in range(2):
            medium = row.medium(f"Image_{image}")
            if medium is None:
                raise row.error(f"field 'Image_{image}' has no image", "a group needs two")
            yield Fields(
                id=f"{group}:q{question}i{image}",
                label=row.choice(f"Image_{image}_Question_{question}", ANSWERS[kind]),
                prompt=row.text(f"Question_{question}") + SUFFIXES[kind],
                media=(medium,),
                group=group,
                subtask=kind,
                category=row.optional("Source"),
            )


def measure(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Acc, Q-Acc, I-Acc and G-Acc over all groups, then the accuracy of each question type."""
    return [
        accuracy(predictions, classes),
        *group_metrics(predictions, classes),
        *(
            accuracy(part, classes, f"accuracy, {kind}")
            for kind, part in parts_by(predictions, "subtask")
        ),
    ]


NATURALBENCH = Benchmark(
    name="naturalbench",
    summary="groups of two images x two questions, right only together (hf://BaiqiL/NaturalBench)",
    columns={
        "Index": "the group's id",
        "Image_0": "first image: its bytes in the Parquet file, or a name below the media root",
        "Image_1": "second image",
        "Question_0": "first question",
        "Question_1": "second question",
        "Image_0_Question_0": "answer: Yes or No, A or B",
        "Image_1_Question_0": "answer",
        "Image_0_Question_1": "answer",
        "Image_1_Question_1": "answer",
        "Question_Type": "yes_no or multiple_choice; heads are selected separately for each",
        "Source": "optional: source of the images",
    },
    parse_row=parse_row,
    measure=measure,
    about=About(
        task="visual question answering: two images, two questions, opposite answers",
        metrics=("accuracy", "Q-Acc", "I-Acc", "G-Acc", "accuracy of each kind of question"),
        sizes="1,900 groups of 4 examples; to train, some groups or the official finetune split",
        source="Li et al., NaturalBench, arXiv 2410.14669; github.com/Baiqi-Li/NaturalBench",
        licence="not stated here; see the source",
        files="--test hf://BaiqiL/NaturalBench --shots groups:10; the repository's folder"
        " dataset_split_for_finetuning has the finetune split",
        sample={
            "Index": 0,
            "Image_0": "0_image_0.jpg",
            "Image_1": "0_image_1.jpg",
            "Question_0": "Is the dog on the sofa?\n",
            "Image_0_Question_0": "Yes",
            "Image_1_Question_0": "No",
            "Question_1": "Is the dog on the floor?\n",
            "Image_0_Question_1": "No",
            "Image_1_Question_1": "Yes",
            "Question_Type": "yes_no",
            "Source": "Flickr30K",
        },
    ),
)
