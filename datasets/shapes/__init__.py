"""`shapes`: drawn scenes with questions, from a seed, at any size; no download."""

from savs.datasets.benchmark import Benchmark
from savs.datasets.general import GENERAL
from savs.datasets.shapes.measures import measure
from savs.datasets.shapes.tasks import TASKS, Task
from savs.datasets.shapes.writing import ShapesFiles, write_shapes

SHAPES = Benchmark(
    name="shapes",
    summary="drawn scenes of coloured shapes, from a seed; what `savs demo` runs on",
    columns=GENERAL.columns,
    parse_row=GENERAL.parse_row,
    measure=measure,
)

__all__ = ["SHAPES", "TASKS", "ShapesFiles", "Task", "write_shapes"]
