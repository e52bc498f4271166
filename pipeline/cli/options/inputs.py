"""Options of the commands that read a benchmark's files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs.datasets.splits.shots import Shots
from savs.foundation.files import read_regular_text
from savs.pipeline.cli.options.shared import Flag
from savs.pipeline.inputs.input_options import InputOptions

if TYPE_CHECKING:
    from savs.datasets import Benchmark

BenchmarkArgument = Annotated[
    str,
    typer.Argument(
        metavar="BENCHMARK",
        help="A name from `savs benchmarks`, or a Python file (mine.py).",
    ),
]
INPUT_FLAGS = {
    "test": Flag(
        "Test examples: a file, folder or hf:// data set (default: none).", metavar="FILE"
    ),
    "train": Flag("Labelled training examples: a file, folder or hf:// data set.", metavar="FILE"),
    "column": Flag(
        "Map a field of general to a column, e.g. question=prompt. Repeatable.",
        metavar="FIELD=COLUMN",
    ),
    "question": Flag(
        "One prompt for all rows (general, image-folder). Repeat it to put each row to several.",
        metavar="TEXT",
    ),
    "questions": Flag("Text file of such prompts, one per line.", metavar="FILE"),
    "shots": Flag("Draw N training examples per class, from --train or --test.", min=1),
    "train_groups": Flag("Draw N complete groups per subtask as training examples.", min=1),
    "seed": Flag("Random seed of --shots and --train-groups."),
    "media_root": Flag("Folder of the images (default: the folder of each file).", metavar="DIR"),
    "video": Flag(
        "native: a video goes in as a video (default); frames: its frames go in as images.",
        metavar="native|frames",
    ),
    "video_frames": Flag("Frames per video (default: 8).", min=1),
    "jpeg_draft": Flag(
        "Decode large JPEGs at 1/2, 1/4 or 1/8 of their size, down to N pixels: faster, not equal.",
        metavar="N",
        min=1,
    ),
    "max_image_pixels": Flag(
        "Skip larger images and videos (default: 67108864 pixels). More takes more memory.",
        metavar="N",
        min=1,
    ),
    "allow_outside": Flag("Allow media paths outside the media root."),
    "fetch_urls": Flag("Download media from http(s) URLs; extract caches them in STORE.fetched."),
    "fetch_gb": Flag("Gigabytes to download in one run at most (default: 100).", min=1),
    "allow_private_addresses": Flag("Also download from private networks and this machine."),
    "strict": Flag("Refuse doubtful training labels instead of naming them."),
    "limit": Flag("Use the first N examples of each split; can be raised later.", min=1),
}


def draw_shots(
    shots: int | None = None, train_groups: int | None = None, seed: int = 0
) -> Shots | None:
    """Return how training examples are drawn, or None; a usage error for both ways at once."""
    if shots is not None and train_groups is not None:
        raise typer.BadParameter("--shots and --train-groups are two ways to draw; give one")
    drawn = shots is not None or train_groups is not None
    return Shots(shots, train_groups, seed) if drawn else None


def parse_columns(column: list[str] | None = None) -> dict[str, str] | None:
    """Return field -> column; a usage error for an unknown field or one given twice."""
    if not column:
        return None
    from savs.datasets.benchmarks.general import FIELDS

    found: dict[str, str] = {}
    for text in column:
        field, _, name = text.partition("=")
        known = f"FIELD is one of {', '.join(FIELDS)}"
        if not name or field not in FIELDS:
            raise typer.BadParameter(f"--column is {text!r}, expected FIELD=COLUMN; {known}")
        if field in found:
            raise typer.BadParameter(f"--column has {field} twice, expected it once; {known}")
        found[field] = name
    return found


def read_questions(
    question: list[str] | None = None, questions: Path | None = None
) -> str | tuple[str, ...] | None:
    """Return the prompt of all rows, or several; a usage error for both options or a bad file."""
    if questions is None:
        given = tuple(question or ())
    elif question:
        raise typer.BadParameter("--question and --questions both give prompts; keep one")
    else:
        given = _lines(questions)
    return given[0] if len(given) == 1 else given or None


def _lines(path: Path) -> tuple[str, ...]:
    """Return the lines of a file that are not blank."""
    try:
        text = read_regular_text(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise typer.BadParameter(f"--questions {path} cannot be read: {reason}") from error
    found = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not found:
        raise typer.BadParameter(f"--questions {path} is empty, expected one prompt per line")
    return found


INPUTS_MADE = {"columns": parse_columns, "shots": draw_shots, "question": read_questions}


def resolve_benchmark(name: str, inputs: InputOptions) -> "Benchmark":
    """Return the benchmark with its columns and question; a usage error if it takes none."""
    from savs.datasets.errors import OptionError
    from savs.pipeline.inputs.plugins.benchmark import choose_benchmark

    try:
        return choose_benchmark(name, columns=inputs.columns, question=inputs.question)
    except OptionError as error:
        raise typer.BadParameter(str(error)) from error
