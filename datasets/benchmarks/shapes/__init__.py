"""`shapes`: drawn scenes with questions, from a seed, at any size; no download."""

from savs.foundation.imports import lazy_imports

with lazy_imports(globals()):
    from savs.datasets.benchmarks.shapes.benchmark import SHAPES as SHAPES
    from savs.datasets.benchmarks.shapes.tasks import TASKS as TASKS, Task as Task
    from savs.datasets.benchmarks.shapes.writing import (
        ShapesFiles as ShapesFiles,
        write_shapes as write_shapes,
    )
