"""`naturalbench-retrieval`: does this image show this caption? Two images x two captions a group.

Source of the files and the prompt: the public reference of arXiv 2412.00142. Source of the official
score: Li et al., NaturalBench, arXiv 2410.14669, after Winoground, arXiv 2204.03162.
"""

import re
from collections.abc import Iterator, Mapping

import polars as pl

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.metrics.groups import YES, group_metrics, matching_metrics
from savs.datasets.metrics.metrics import Classes, Units, accuracy
from savs.datasets.row import Row

ASKED = re.compile(
    r"\s*Does this image show (.+)\? (?:Please answer|Answer) with Yes or No\.", re.S
)
QUOTES = ("'", '"')


def parse_row(row: Row) -> Iterator[Fields]:
    """Read one pair of image and caption; `question_id` is its group."""
    yield Fields(
        label=row.choice("label", ("Yes", "No")),
        prompt=f"\n{row.text('question')} Answer with Yes or No.",
        media=(row.required_medium("image"),),
        group=row.text("question_id"),
    )


def shown_caption(prompt: str) -> Mapping[str, str]:
    """Return the caption of `Does this image show ...?` for Yes; nothing of another prompt.

    Examples
    --------
    >>> shown_caption("Does this image show 'A cat.'? Answer with Yes or No.")
    {'Yes': 'A cat.'}
    >>> shown_caption("What is this?")
    {}
    """
    match = ASKED.fullmatch(prompt)
    if match is None:
        return {}
    text = match[1]
    is_quoted = len(text) > 2 and text[0] in QUOTES and text[-1] == text[0]
    return {YES: text[1:-1] if is_quoted else text}


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
