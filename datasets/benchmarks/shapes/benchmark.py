"""The benchmark `shapes`: how its files are read and measured; nothing is drawn here."""

from savs.datasets.benchmark import About, Benchmark
from savs.datasets.benchmarks.captions import shown_caption
from savs.datasets.benchmarks.general import GENERAL
from savs.datasets.benchmarks.shapes.measures import measure

SHAPES = Benchmark(
    name="shapes",
    summary="drawn scenes of coloured shapes, from a seed; what `savs demo` runs on",
    columns=GENERAL.columns,
    parse_row=GENERAL.parse_row,
    measure=measure,
    captions=shown_caption,
    about=About(
        task="colours, shapes, places, relations and groups in drawn scenes; new labels",
        metrics=(
            "accuracy",
            "accuracy of each task, and their mean",
            "both right (pairs)",
            "Q-Acc, I-Acc, G-Acc (groups)",
        ),
        sizes="any; `savs demo` draws 20 training examples per class, 100 test units per task",
        source="drawn by savs from a seed, see docs/shapes.md",
        licence="MIT, as savs",
        files="`savs demo` writes them to savs-demo/data; in Python, write_shapes draws more",
        sample={
            "id": "train-exists-0000",
            "image": "images/train/exists-0000-0.png",
            "question": "Is there a red square? Answer with Yes or No.",
            "label": "Yes",
            "subtask": "exists",
            "category": "presence",
        },
    ),
)
