"""`savs doctor`: the installation and this machine."""

from typing import Any

from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown, pairs


def show(done: tuple[dict[str, Any], list[str]], _: Options) -> Shown:
    """Word the facts, and the problems."""
    facts, problems = done
    texts = [
        [
            name,
            value
            if isinstance(value, str)
            else ", ".join(f"{key} {known}" for key, known in value.items()) or "none",
        ]
        for name, value in facts.items()
    ]
    return Shown(
        facts=facts | {"problems": problems},
        data=pairs(texts),
        messages=[f"problem: {problem}" for problem in problems],
        exit_code=exits.FAILURE if problems else 0,
    )


COMMAND = Command(
    function="savs.pipeline.doctor:diagnose",
    about="Leaves out tokens, addresses and your name. Exits with code 1 if something is wrong.",
    examples=("savs doctor", "savs doctor --json"),
    show=show,
)
