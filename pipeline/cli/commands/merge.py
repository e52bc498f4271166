"""`savs merge`: merge several stores into one."""

from pathlib import Path
from typing import Annotated

import typer

import savs
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import option
from savs.pipeline.cli.output import print_json, print_line, say
from savs.pipeline.running.formatting import counted, format_bytes

EXAMPLES = ("savs merge first second --out all",)


def merge_command(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Two or more stores.")],
    out: Annotated[Path, option("--out", metavar="DIR", help="Folder of the new store.")],
    json: JsonOption = False,
) -> None:
    """Completes an extraction that ran on several machines, or joins stores of different examples.

    Keeps training examples that all stores share once.
    """
    if len(stores) < 2:
        raise typer.BadParameter("got one store, expected two or more")
    merged = savs.merge([savs.open_store(path) for path in stores], out)
    size, heads = merged.facts["bytes"], len(merged.heads)
    if json:
        print_json({"path": str(merged.path), "bytes": size, "heads": heads})
    else:
        print_line(str(merged.path))
    say(f"{counted(heads, 'head')}, {format_bytes(size)}")
