"""`savs check-model`: test the features of a checkpoint."""

from typing import Annotated

import typer

from savs import pipeline
from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.options.fields import expand_options
from savs.pipeline.cli.options.shared import JsonOption, option
from savs.pipeline.cli.output import print_json, print_line, print_table, say
from savs.pipeline.extraction.model.model_options import ModelKeywords
from savs.pipeline.extraction.run_options import DEFAULT_BATCH_SIZE


@expand_options
def check_model_command(
    model: Annotated[str, typer.Argument(metavar="ID", help="Hugging Face id, folder, or `demo`.")],
    loading: ModelKeywords,
    batch_size: Annotated[
        int, option(min=2, help="Largest batch size to test.")
    ] = DEFAULT_BATCH_SIZE,
    json: JsonOption = False,
) -> None:
    """Run generated images one by one and in batches. Exit with code 1 if a check fails."""
    say(f"loading {model}")
    checkup = pipeline.check_model(model, batch_size, **loading)
    if json:
        print_json(checkup.to_json())
    else:
        for name, value in checkup.facts.items():
            print_line(f"{name.ljust(max(map(len, checkup.facts)))}  {value}")
        print_line()
        marks = {True: "yes", False: "NO", None: "-"}
        rows = [[check.name, marks[check.passed]] for check in checkup.checks]
        print_table(["check", "holds"], rows)
        for check in checkup.checks:
            say(f"{check.name}: {check.what}")
        say(checkup.verdict)
    if not checkup.passed:
        raise typer.Exit(exits.FAILURE)
