"""`savs demo`: scenes drawn, features extracted, heads selected, classes predicted."""

from dataclasses import dataclass
from pathlib import Path

from savs.datasets.shapes import ShapesFiles, write_shapes
from savs.pipeline.demo import DEMO_NAME
from savs.pipeline.evaluation import Evaluation, evaluate
from savs.pipeline.extraction.stage import Extraction, Reporting, extract
from savs.pipeline.selection import Selection, select

SEED = 2026
"""Of the demo's scenes; the shipped model saw others in training."""
BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo made, stage by stage."""

    files: ShapesFiles
    extraction: Extraction
    selection: Selection
    evaluation: Evaluation


def run_demo(folder: Path, reporting: Reporting) -> Demo:
    """Run the whole pipeline on freshly drawn scenes with the shipped model.

    The scenes lie in `folder/data`, the features in `folder/features`.
    """
    files = write_shapes(folder / "data", seed=SEED)
    reporting.say(f"drew the scenes of {files.train} and {files.test}")
    extraction = extract(
        "shapes",
        train=files.train,
        test=files.test,
        model=DEMO_NAME,
        out=folder / "features",
        batch_size=BATCH_SIZE,
        reporting=reporting,
    )
    selection = select(extraction.store)
    return Demo(files, extraction, selection, evaluate(extraction.store, selection))
