"""`savs demo`: scenes drawn, features extracted, heads selected, classes predicted twice."""

from dataclasses import dataclass
from pathlib import Path

from savs.datasets.benchmarks.shapes import ShapesFiles, write_shapes
from savs.pipeline.demo import DEMO_NAME
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.evaluation import evaluate
from savs.pipeline.evaluation.zero_shot import zero_shot
from savs.pipeline.extraction.entry_points import extract
from savs.pipeline.extraction.extraction import Extraction
from savs.pipeline.running.progress import Reporting
from savs.pipeline.selection.selection import Selection, select

SEED = 2026
"""Of the demo's scenes; the shipped model saw others in training."""
BATCH_SIZE = 32
HEADS = 10
TASKS = (
    "color",
    "shape",
    "position",
    "exists",
    "relation",
    "group-exists",
    "group-binding",
    "which-image",
    "animal",
    "fruit",
    "creature",
)
"""A few of each family; the last three have labels that the model never met."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo made, stage by stage."""

    files: ShapesFiles
    extraction: Extraction
    selection: Selection
    evaluation: Evaluation
    own_answers: Evaluation
    """The model's own answers on the same examples, from the same pass."""


def run_demo(folder: Path, reporting: Reporting) -> Demo:
    """Run the whole pipeline on freshly drawn scenes with the shipped model.

    The scenes lie in `folder/data`, the features in `folder/features`.
    """
    files = write_shapes(folder / "data", seed=SEED, tasks=TASKS)
    reporting.say(f"drew {len(TASKS)} tasks of scenes below {files.root}")
    extraction = extract(
        "shapes",
        train=files.train,
        test=files.test,
        model=DEMO_NAME,
        out=folder / "features",
        batch_size=BATCH_SIZE,
        answers=True,
        reporting=reporting,
    )
    store = extraction.store
    selection = select(store, heads=HEADS)
    return Demo(files, extraction, selection, evaluate(store, selection), zero_shot(store))
