"""`winoground`: two images and two captions of the same words, to be matched.

Source: Thrush et al., Winoground, arXiv 2204.03162; data set facebook/winoground, 400 groups.
It defines no prompt; this one is NaturalBench-Retrieval's.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

import polars as pl

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.benchmarks.naturalbench_retrieval import shown_caption
from savs.datasets.metrics.groups import GROUP_ROWS, matching_metrics
from savs.datasets.metrics.metrics import Classes, Units, accuracy, parts_by
from savs.datasets.row import Row
from savs.datasets.rows.media_names import is_packed


def parse_row(row: Row) -> Iterator[Fields]:
    """Read the four examples of a group, in the order c0i0, c0i1, c1i0, c1i1."""
    group = row.text("id")
    images = [_file(row.required_medium(f"image_{number}")) for number in range(2)]
    for caption in range(2):
        text = row.text(f"caption_{caption}")
        for image in range(2):
            yield Fields(
                id=f"{group}:c{caption}i{image}",
                label="Yes" if caption == image else "No",
                prompt=f"\nDoes this image show '{text}'? Answer with Yes or No.",
                media=(images[image],),
                group=group,
                category=row.optional("collapsed_tag"),
            )


def _file(name: str) -> str:
    """Return the file's name; examples.jsonl omits `.png`."""
    return name if is_packed(name) or PurePosixPath(name).suffix else f"{name}.png"


def measure(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Group, text and image score, accuracy, then the three scores of each category."""
    whole = predictions.filter(pl.len().over("group") == GROUP_ROWS)
    return [
        *_scores(predictions),
        accuracy(predictions, classes),
        *(units for name, part in parts_by(whole, "category") for units in _scores(part, name)),
    ]


def _scores(predictions: pl.DataFrame, of: str = "") -> list[Units]:
    """Return the three scores, the strictest first."""
    text, image, group = matching_metrics(predictions, of)
    return [group, text, image]


WINOGROUND = Benchmark(
    name="winoground",
    summary="two images, two captions of the same words: which caption fits which image?",
    columns={
        "id": "the group's id",
        "image_0": "first image: its bytes in the Parquet file, or a name below the media root",
        "image_1": "second image",
        "caption_0": "the caption of the first image",
        "caption_1": "the caption of the second image",
        "collapsed_tag": "optional: Object, Relation or Both, also reported separately",
    },
    parse_row=parse_row,
    measure=measure,
    captions=shown_caption,
    about=About(
        task="compositionality: matching two captions to two images",
        metrics=(
            "group score (official)",
            "text score (official)",
            "image score (official)",
            "accuracy",
            "the three scores, <category>",
        ),
        sizes="test 400 groups of four",
        source="Thrush et al., arXiv 2204.03162; hf://facebook/winoground",
        licence="its own, for research; access on request",
        files="examples.jsonl and the unpacked images.zip of facebook/winoground, with"
        " --media-root images",
        sample={
            "id": 0,
            "image_0": "ex_0_img_0",
            "image_1": "ex_0_img_1",
            "caption_0": "an old person kisses a young person",
            "caption_1": "a young person kisses an old person",
            "collapsed_tag": "Relation",
        },
    ),
)
