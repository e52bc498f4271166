"""`eurosat`, satellite images of ten kinds of land, and `pets`, breeds of cats and dogs.

Sources: Helber et al., EuroSAT, arXiv 1709.00029; Parkhi et al., Cats and Dogs, CVPR 2012. Source
of the files and the prompt: the public reference of arXiv 2412.00142, which names a breed by its
first word, so that 37 breeds have 35 labels. Each question lists four options, with the truth among
them.
"""

from collections.abc import Iterator
from dataclasses import replace

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.benchmarks.general import measure
from savs.datasets.metrics.metrics import CLASS_METRICS, SCORED
from savs.datasets.row import Row


def parse_row(row: Row) -> Iterator[Fields]:
    """Read one image; the class is `label`; `answer`, a letter, is kept in `extra`."""
    yield Fields(
        label=row.text("label"),
        prompt=f"\n{row.text('question')} Answer with the class name.",
        media=(row.required_medium("image"),),
    )


EUROSAT = Benchmark(
    name="eurosat",
    summary="which of ten kinds of land does this satellite image show?",
    columns={
        "image": "name of the image; a path of another machine is matched by its end",
        "question": "the question, with four options that hold the truth",
        "label": "the class",
    },
    parse_row=parse_row,
    measure=measure,
    reads=SCORED,
    about=About(
        task="classification of satellite images, ten classes, four options per question",
        metrics=(*CLASS_METRICS,),
        sizes="train 200 (20 per class), test 27,000",
        source="Helber et al., arXiv 1709.00029; files of github.com/chancharikmitra/SAVs",
        licence="MIT",
        files="eurosat_train.json and the test file of the reference; images from phelber/EuroSAT",
        sample={
            "image": "EuroSAT/Forest/Forest_1.jpg",
            "question": "What type of remote sensing image does the given image belong to?\n"
            "A. River B. Forest C. Pasture D. Highway",
            "answer": "B",
            "label": "Forest",
        },
    ),
)
PETS = replace(
    EUROSAT,
    name="pets",
    summary="which breed of cat or dog is this?",
    about=About(
        task="classification of pets, 35 labels of 37 breeds, four options per question",
        metrics=(*CLASS_METRICS,),
        sizes="train 20 per class, as the reference ships it",
        source="Parkhi et al., Cats and Dogs, CVPR 2012; files of github.com/chancharikmitra/SAVs",
        licence="CC BY-SA 4.0",
        files="pets_train.json and the test file of the reference; images from"
        " robots.ox.ac.uk/~vgg/data/pets",
        sample={
            "image": "oxford-iiit-pet/images/Bombay_1.jpg",
            "question": "What type of animal is in the image?\n"
            "A. leonberger B. Abyssinian C. beagle D. Bombay",
            "answer": "D",
            "label": "Bombay",
        },
    ),
)
