"""`savs merge`: merge several stores into one."""

from pathlib import Path
from typing import Annotated

import typer

from savs import pipeline
from savs.pipeline.cli.options.shared import JsonOption, option
from savs.pipeline.cli.selections import say_size


def merge_command(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Two or more stores.")],
    out: Annotated[Path, option("--out", metavar="DIR", help="Folder of the new store.")],
    json: JsonOption = False,
) -> None:
    """Complete an extraction that ran on several machines, or concatenate different examples.

    Training examples that all stores share are kept once.
    """
    if len(stores) < 2:
        raise typer.BadParameter("got one store, expected two or more")
    merged = pipeline.merge([pipeline.open_store(path) for path in stores], out)
    say_size(merged.path, merged.facts["bytes"], len(merged.heads), as_json=json)
