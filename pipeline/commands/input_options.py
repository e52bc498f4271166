"""Options of the commands that read a benchmark's files."""

from pathlib import Path
from typing import Annotated

import typer

from savs.datasets import Shots
from savs.pipeline.commands.options import option

BenchmarkArgument = Annotated[
    str,
    typer.Argument(
        metavar="BENCHMARK", help="See `savs benchmarks`, or a Python file of your own: mine.py."
    ),
]
TestOption = Annotated[
    str,
    option("--test", metavar="FILE", help="The examples to classify: a file, folder or hf:// set."),
]
TrainOption = Annotated[
    str | None, option("--train", metavar="FILE", help="The labelled few-shot examples.")
]
ShotsOption = Annotated[
    int | None,
    option("--shots", min=1, help="Draw N training examples a class (from --train or --test)."),
]
GroupsOption = Annotated[
    int | None,
    option("--train-groups", min=1, help="Draw N whole groups (of each subtask) to train."),
]
SeedOption = Annotated[int, option("--seed", help="Of --shots and --train-groups.")]
MediaOption = Annotated[
    Path | None,
    option("--media-root", metavar="DIR", help="Folder of the images (default: each file's own)."),
]
LimitOption = Annotated[
    int | None, option("--limit", min=1, help="Examples a split; raise it later to go on.")
]


def parse_shots(shots: int | None, train_groups: int | None, seed: int) -> Shots | None:
    """Return how training examples are drawn, if they are; a usage error for both ways at once."""
    if shots is not None and train_groups is not None:
        raise typer.BadParameter("--shots and --train-groups are two ways to draw; give one")
    drawn = shots is not None or train_groups is not None
    return Shots(shots, train_groups, seed) if drawn else None
