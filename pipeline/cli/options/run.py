"""Options of `savs extract` that say how it runs."""

import typer

from savs.pipeline.cli.options.shared import Flag

RUN_FLAGS = {
    "batch_size": Flag("Largest number of examples per forward pass (default: 32).", min=1),
    "batch_tokens": Flag(
        "Largest number of tokens per forward pass (default: auto, what fits the GPU).",
        metavar="auto|N",
    ),
    "batch_check": Flag(
        "Compare batches with single examples first (default: strict, then run singles).",
        metavar="strict|warn|off",
    ),
    "reuse": Flag(
        "Compute images once for all prompts about them (default: auto, where tries agree).",
        metavar="auto|off",
    ),
    "workers": Flag(
        "Processes that decode and prepare (default: auto, one per core with a GPU, else 0).",
        metavar="auto|N",
    ),
    "shard_rows": Flag(
        "Examples per file; a killed run loses at most one file (default: 16 to 256).", min=1
    ),
    "thumbnails": Flag("Store a small JPEG of the first image of each example."),
    "answers": Flag(
        "Store the model's own answers: likelihoods of the labels, a short text, or both.",
        metavar="labels|generate|labels,generate",
    ),
    "icl_shots": Flag(
        "Show N training examples per class before each question (needs --answers labels).",
        metavar="N",
        min=1,
    ),
    "heads_from": Flag("Store only the heads of this selection.", metavar="DIR"),
    "classes": Flag(
        "Store each class's name as the model reads it, for zero-shot by names.",
        metavar="labels|FILE",
    ),
    "templates": Flag("File of texts with {class}, one a line, for dual encoders.", metavar="FILE"),
    "retry_skipped": Flag("Extract shards with skipped examples again."),
    "append": Flag("Add new examples to the store that is there."),
}


def parse_tokens(batch_tokens: str = "auto") -> int | None:
    """Return a number, or None for `auto`; a usage error otherwise."""
    return _parse_auto("--batch-tokens", batch_tokens, 1)


def parse_workers(workers: str = "auto") -> int | None:
    """Return a number, or None for `auto`; a usage error otherwise."""
    return _parse_auto("--workers", workers, 0)


def _parse_auto(name: str, text: str, least: int) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < least:
        raise typer.BadParameter(f"{name} is {text!r}, expected a number from {least} on, or auto")
    return int(text)


RUN_MADE = {"batch_tokens": parse_tokens, "workers": parse_workers}
