"""`savs models`: the support status of model architectures."""

import json as json_format
from typing import Annotated, Any

import typer

from savs.pipeline.cli.options.shared import JsonOption, option
from savs.pipeline.cli.output import print_json, print_table, say


def models_command(
    status: Annotated[
        str | None, option(help="Show only this status: verified, untested, unsupported ...")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Test a checkpoint of an architecture that is not verified with `savs check-model`."""
    from importlib.resources import files

    report: dict[str, Any] = json_format.loads(
        files("savs.pipeline.extraction").joinpath("families.json").read_text("utf-8")
    )
    statuses = sorted({family["status"] for family in report["families"]})
    if status is not None and status not in statuses:
        raise typer.BadParameter(f"--status is {status!r}, expected: {', '.join(statuses)}")
    families = [f for f in report["families"] if status is None or f["status"] == status]
    if json:
        print_json(report | {"families": families})
        return
    rows = [[f["family"], f["status"], f["sharing"], f["what"]] for f in families]
    print_table(["family", "status", "computed once", "details"], rows, right=False)
    say(f"{len(families)} architectures, tested with transformers {report['transformers']}")
