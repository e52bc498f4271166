"""`vizwiz`: whether a question of a person who cannot see can be answered from the photo.

Source: Gurari et al., VizWiz, arXiv 1802.08218. Source of the files and the prompt: the public
reference of arXiv 2412.00142.
"""

from collections.abc import Iterator

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.benchmarks.general import measure
from savs.datasets.metrics.metrics import CLASS_METRICS, SCORED
from savs.datasets.row import Row


def parse_row(row: Row) -> Iterator[Fields]:
    """Read one question about a photo; the file's `question_id` is kept in `extra`."""
    yield Fields(
        label=row.text("label"),
        prompt=(
            f"\n{row.text('question')} \nWhen the provided information is insufficient, respond"
            " with Unanswerable.\nAnswer the question using a single word or phrase."
        ),
        media=(row.required_medium("image"),),
    )


VIZWIZ = Benchmark(
    name="vizwiz",
    summary="can this question be answered from the photo?",
    columns={
        "image": "name of the photo below the media root",
        "question": "the question",
        "label": "answerable or unanswerable, as the file spells it",
    },
    parse_row=parse_row,
    measure=measure,
    reads=SCORED,
    about=About(
        task="answerability: can a question be answered from a photo?",
        metrics=(*CLASS_METRICS,),
        sizes="train 40 (20 per class, as the reference ships it)",
        source="Gurari et al., arXiv 1802.08218; files of github.com/chancharikmitra/SAVs",
        licence="CC BY 4.0",
        files="vizwiz_sav_train.jsonl and the test file of the reference; images from vizwiz.org",
        sample={
            "image": "train/VizWiz_train_00000001.jpg",
            "question": "What is this?",
            "question_id": 1,
            "label": "unanswerable",
        },
    ),
)
