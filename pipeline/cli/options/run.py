"""Options of `savs extract` that say how it runs."""

import typer

from savs.pipeline.cli.options.shared import Flag

RUN_FLAGS = {
    "batch_size": Flag("Examples of a forward pass at most.", min=1),
    "shard_rows": Flag("Examples of a file: what a killed run can lose.", min=1),
    "thumbnails": Flag("Keep a small JPEG of each first image."),
    "answers": Flag("Keep the logits of the labels, for readout zero-shot.", metavar="labels"),
    "retry_skipped": Flag("Extract shards again that skipped examples."),
    "rank": Flag("Which of --ranks processes this is.", min=0),
    "ranks": Flag("Processes that share the store.", min=1),
}


def parse_answers(answers: str | None = None) -> bool:
    """Return whether answers are kept; a usage error for anything but `labels`."""
    if answers not in (None, "labels"):
        raise typer.BadParameter(f"--answers is {answers!r}, expected: labels")
    return answers is not None


RUN_MADE = {"answers": parse_answers}
