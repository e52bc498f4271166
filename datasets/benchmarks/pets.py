"""`pets`: breeds of cats and dogs.

Source: Parkhi et al., Cats and Dogs, CVPR 2012. Source of the files and the prompt: the public
reference of arXiv 2412.00142, which names a breed by its first word, so that 37 breeds have 35
labels. Each question lists four options, with the truth among them.
"""

from savs.datasets.benchmark import About, Benchmark
from savs.datasets.benchmarks.eurosat import COLUMNS, parse_row
from savs.datasets.benchmarks.general import measure
from savs.datasets.metrics.metrics import SCORED

PETS = Benchmark(
    name="pets",
    summary="which breed of cat or dog is this?",
    columns=COLUMNS,
    parse_row=parse_row,
    measure=measure,
    reads=SCORED,
    about=About(
        task="classification of pets, 35 labels of 37 breeds, four options per question",
        metrics=("accuracy", "balanced accuracy"),
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
