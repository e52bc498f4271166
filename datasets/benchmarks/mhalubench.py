"""`mhalubench`: whether a claim about an image hallucinates.

Source: Chen et al., Unified Hallucination Detection, arXiv 2402.03190. Source of the files and the
prompt: the public reference of arXiv 2412.00142.
"""

from collections.abc import Iterator

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.benchmarks.general import measure
from savs.datasets.metrics.metrics import CLASS_METRICS, SCORED
from savs.datasets.row import Row


def parse_row(row: Row) -> Iterator[Fields]:
    """Read one claim about an image."""
    yield Fields(
        label=row.label_in("claim_label", "label"),
        prompt=(
            f"\nClaim:{row.text('claim')}. Is the Claim hallucinating?"
            " Answer the question with Yes or No."
        ),
        media=(row.required_medium("image_path"),),
    )


MHALUBENCH = Benchmark(
    name="mhalubench",
    summary="does this claim about this image hallucinate?",
    columns={
        "image_path": "name of the image; a path of another machine is matched by its end",
        "claim": "the claim, without a full stop: the prompt adds one",
        "claim_label": "hallucination or non-hallucination, as the file spells it",
        "label": "the same in the reference's train file",
    },
    parse_row=parse_row,
    measure=measure,
    reads=SCORED,
    aliases=("MHalu",),
    about=About(
        task="hallucination: is a claim about an image true?",
        metrics=(*CLASS_METRICS,),
        sizes="train 40 (20 per class, as the reference ships it)",
        source="Chen et al., arXiv 2402.03190; files of github.com/chancharikmitra/SAVs",
        licence="not stated in the files",
        files="mahalu_train.json and the test file of the reference; images of COCO 2014 and"
        " TextVQA",
        sample={
            "image_path": "train2014/COCO_train2014_000000000001.jpg",
            "claim": "A man rides a green motorcycle",
            "claim_label": "non-hallucination",
        },
    ),
)
