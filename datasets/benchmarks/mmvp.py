"""`mmvp`: pairs of images that CLIP takes for alike, and a question that tells them apart.

Source: Tong et al., Eyes Wide Shut?, arXiv 2401.06209. Prompt and the images' names: its official
evaluation script, which numbers the rows of `Questions.csv` from 1, as its column `Index` does.
"""

import re
from collections.abc import Iterator, Mapping

import polars as pl

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.metrics.groups import pair_metric
from savs.datasets.metrics.metrics import Classes, Units, accuracy
from savs.datasets.row import Row
from savs.foundation.bounds import whole_number

ANSWER, NUMBER = "Correct Answer", "Index"
OPTIONS = re.compile(r"(.+?)\s*\(a\)\s*(.+?)\s*\(b\)\s*(.+?)\s*", re.S)
"""A question with two options."""


def parse_row(row: Row) -> Iterator[Fields]:
    """Read one image with its question; rows 2i and 2i + 1 of a file are a pair.

    Where rows are numbered, from 1, the numbers count, so that a part of the file has its images.
    """
    official = ANSWER in row.values
    number = _number(row) if official else row.index + 1
    if official:
        prompt = f"{row.text('Question')} {row.text('Options')}"
        image = row.medium("image") or f"MMVP Images/{number}.jpg"
    else:
        prompt, image = row.text("question"), row.required_medium("image")
    yield Fields(
        label=row.text(ANSWER if official else "label"),
        prompt=prompt,
        media=(image,),
        group=f"{row.stem}:{(number - 1) // 2}",
    )


def _number(row: Row) -> int:
    text = row.optional(NUMBER) or str(row.index + 1)
    number = whole_number(text)
    if not number:
        raise row.error(f"field {NUMBER!r} is {text!r:.50}", "expected the row's number, from 1")
    return number


def _options_in(prompt: str) -> Mapping[str, str]:
    """Return the question with each of its options after it; nothing of another prompt.

    Examples
    --------
    >>> _options_in("Which way? (a) Left (b) Right")
    {'(a)': 'Which way? Left', '(b)': 'Which way? Right'}
    """
    match = OPTIONS.fullmatch(prompt)
    if match is None:
        return {}
    question, *options = match.groups()
    return {f"({letter})": f"{question} {text}" for letter, text in zip("ab", options, strict=True)}


def measure(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Both images of a pair right, then accuracy."""
    return [pair_metric(predictions, classes), accuracy(predictions, classes)]


MMVP = Benchmark(
    name="mmvp",
    summary="two images a pair that look alike to CLIP, right only together",
    columns={
        "Question": "the question (official Questions.csv)",
        "Options": "its options: (a) ... (b) ...",
        ANSWER: "(a) or (b), as the file spells it",
        NUMBER: "number of the row from 1; two rows from an odd one on are a pair",
        "image": "the image; without it, MMVP Images/<number>.jpg",
        "question": "other files: the question with its options",
        "label": "other files: the answer",
    },
    parse_row=parse_row,
    measure=measure,
    captions=_options_in,
    grouped_train=False,
    about=About(
        task="visual patterns that CLIP misses, two options",
        metrics=("both right", "accuracy"),
        sizes="test 300 images in 150 pairs",
        source="Tong et al., arXiv 2401.06209; github.com/tsb0601/MMVP",
        licence="MIT",
        files="Questions.csv and the folder MMVP Images of hf://MMVP/MMVP; the Parquet copy"
        " lmms-lab-eval/MMVP has two pairs of answers mended",
        sample={
            "Question": "Is the dog facing left or right?",
            "Options": "(a) Left (b) Right",
            ANSWER: "(a)",
            "image": "MMVP Images/1.jpg",
        },
    ),
)
