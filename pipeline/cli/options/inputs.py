"""Options of the commands that read a benchmark's files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from savs.datasets import Benchmark, OptionError, Shots
from savs.pipeline.cli.options.shared import option
from savs.pipeline.plugins.benchmark import choose_benchmark

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
QuestionOption = Annotated[
    str | None,
    option("--question", metavar="TEXT", help="The prompt of every row: of general, image-folder."),
]
SeedOption = Annotated[int, option("--seed", help="Of --shots and --train-groups.")]
MediaOption = Annotated[
    Path | None,
    option("--media-root", metavar="DIR", help="Folder of the images (default: each file's own)."),
]
FramesOption = Annotated[
    int | None,
    option("--video-frames", min=1, help="Frames that stand for a video (default: 8)."),
]
OutsideOption = Annotated[
    bool, option("--allow-outside", help="Let names of media lead out of the media root.")
]
FetchOption = Annotated[
    bool, option("--fetch-urls", help="Fetch media at http(s) addresses, into STORE.fetched.")
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


def worded(benchmark: str, question: str | None, columns: Mapping[str, str] | None) -> Benchmark:
    """Return the benchmark with a question and columns of one's own; a usage error if it has none.

    Parameters
    ----------
    benchmark
        A name, or the path of a Python file.
    question
        The prompt of every row.
    columns
        Field -> the column that holds it.
    """
    try:
        return choose_benchmark(benchmark, columns=columns, question=question)
    except OptionError as error:
        raise typer.BadParameter(str(error)) from error
