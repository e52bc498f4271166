"""`sugarcrepe`: a true and a false caption of each image.

Source: Hsieh et al., SugarCrepe, arXiv 2306.14610. Source of the files, the prompt and the rule
"both right": the public reference of arXiv 2412.00142.
"""

from collections.abc import Iterator

import polars as pl

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.benchmarks.naturalbench_retrieval import shown_caption
from savs.datasets.metrics.groups import order_metric, set_accuracy
from savs.datasets.metrics.metrics import Classes, Units, accuracy, parts_by
from savs.datasets.row import Row

PAIR = ["group", "media"]
ORDER = "true caption higher (official)"


def parse_row(row: Row) -> Iterator[Fields]:
    """Read one caption; `question_id` numbers the pairs of each category (`split`) from 0."""
    category = row.optional("split")
    number = row.text("question_id")
    yield Fields(
        label=row.choice("label", ("Yes", "No")),
        prompt=f"{row.text('question')} Please answer with Yes or No.",
        media=(row.required_medium("image"),),
        group=number if category is None else f"{category}:{number}",
        category=category,
    )


def measure(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Both captions right, true caption higher, accuracy; then the first two of each category.

    The captions of a pair share category, `question_id` and image.
    """
    images = pl.col("media").list.join("\n")
    whole = predictions.filter(pl.len().over("group", images) == 2)
    parts = dict(parts_by(whole, "category"))
    return [
        set_accuracy(predictions, classes, "both right", PAIR, 2),
        order_metric(predictions, "Yes", PAIR, ORDER),
        accuracy(predictions, classes),
        *(
            set_accuracy(part, classes, f"both right, {category}", PAIR, 2)
            for category, part in parts.items()
        ),
        *(order_metric(part, "Yes", PAIR, ORDER, category) for category, part in parts.items()),
    ]


SUGARCREPE = Benchmark(
    name="sugarcrepe",
    summary="does this image show this caption? a true and a false caption of each image",
    columns={
        "image": "name of the image; a path of another machine is matched by its end",
        "question": "Does this image show '...'?",
        "split": "the category: add_att, add_obj, replace_att, replace_obj, replace_rel, swap_att,"
        " swap_obj",
        "question_id": "number of the pair in its category; not read in a train file",
        "label": "Yes or No",
    },
    parse_row=parse_row,
    measure=measure,
    captions=shown_caption,
    grouped_train=False,
    about=About(
        task="compositionality: a true or a false caption?",
        metrics=(
            "both right",
            ORDER,
            "accuracy",
            "both right, <category>",
            f"{ORDER}, <category>",
        ),
        sizes="test 7,511 pairs in 7 categories",
        source="Hsieh et al., arXiv 2306.14610; files of github.com/chancharikmitra/SAVs",
        licence="not stated in the files; COCO's for the images",
        files="the sugarcrepe files of the reference; images of COCO 2017 val",
        sample={
            "image": "val2017/000000000001.jpg",
            "question": "Does this image show 'A cat swats at the plant.'?",
            "split": "swap_obj",
            "question_id": "0",
            "label": "Yes",
        },
    ),
)
