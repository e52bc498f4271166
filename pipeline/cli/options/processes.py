"""Options of commands that can run as several processes."""

from typing import Annotated

import typer

from savs.pipeline.cli.options.shared import option
from savs.pipeline.extraction.cluster.devices import NONE
from savs.pipeline.extraction.model.model_options import AUTO

GpusOption = Annotated[
    str,
    option(
        metavar="all|N|0,2",
        help="Start a process per GPU on this machine: all, a number, or a list.",
    ),
]

NoProgressOption = Annotated[bool, option("--no-progress", help="Print messages only.")]


def require_own_devices(gpus: str, device: str, engine: str = "local") -> None:
    """Raise BadParameter where `--gpus` and another option choose the devices."""
    if gpus != NONE and (engine == "ray" or device != AUTO):
        other = "--engine ray" if engine == "ray" else f"--device {device}"
        raise typer.BadParameter(f"--gpus chooses the devices, and so does {other}; give one")
