"""`savs push`: a bundle to the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer

from savs import pipeline
from savs.pipeline.cli.options.shared import JsonOption, option
from savs.pipeline.cli.output import print_json, print_line, say


def push_command(
    bundle: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of `savs export --to classifier`.")
    ],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the hub.")],
    private: Annotated[
        bool, option("--private", help="Make the repository private (default: public).")
    ] = False,
    message: Annotated[str | None, option(help="Message of the commit.")] = None,
    json: JsonOption = False,
) -> None:
    """Send the files of the bundle and no others. The token is HF_TOKEN, or of `hf auth login`."""
    done = pipeline.push(bundle, name, private=private, message=message)
    if json:
        print_json({"name": done.name, "address": done.address, "commit": done.commit})
    else:
        print_line(done.address)
    say(f"use it as: savs classify {done.name} IMAGES")
