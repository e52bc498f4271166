"""Options of `savs extract` that say how it runs."""

import typer

from savs.pipeline.cli.options.shared import Flag

RUN_FLAGS = {
    "batch_size": Flag("Largest number of examples per forward pass.", min=1),
    "shard_rows": Flag("Examples per file; a killed run loses at most one file.", min=1),
    "thumbnails": Flag("Store a small JPEG of the first image of each example."),
    "answers": Flag("Store the logits of the labels, for readout zero-shot.", metavar="labels"),
    "retry_skipped": Flag("Extract shards with skipped examples again."),
    "rank": Flag("Number of this process, from 0 to --ranks minus 1.", min=0),
    "ranks": Flag("Number of processes that write to the store.", min=1),
}


def parse_answers(answers: str | None = None) -> bool:
    """Return whether answers are kept; a usage error for anything but `labels`."""
    if answers not in (None, "labels"):
        raise typer.BadParameter(f"--answers is {answers!r}, expected: labels")
    return answers is not None


RUN_MADE = {"answers": parse_answers}
