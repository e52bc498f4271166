"""What a command says of skipped examples, and the exit code where they are too many."""

from collections.abc import Sequence

import typer

from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.output import say

SHOWN = 10


def tell_skipped(skipped: Sequence[str], rest: str, max_skip: int) -> None:
    """Name the first skipped examples; exit with 4 where more than `max_skip` were.

    Parameters
    ----------
    skipped
        Example and reason of each, as one text.
    rest
        Where the others are listed.
    max_skip
        How many may be skipped.
    """
    for line in skipped[:SHOWN]:
        say(f"skipped {line}")
    if len(skipped) > SHOWN:
        say(f"... and {len(skipped) - SHOWN} more; {rest}")
    if len(skipped) > max_skip:
        say(
            f"{len(skipped)} examples were skipped, --max-skip allows {max_skip}; fix the images"
            " and run again with --retry-skipped, or continue without them"
        )
        raise typer.Exit(exits.TOO_MANY_SKIPPED)
