"""`savs models`: the architectures that work, and a test of a checkpoint."""

import json as json_format
from typing import Annotated, Any

import typer

from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.options.fields import expand_options
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import advanced, option, require_choice
from savs.pipeline.cli.output import print_json, print_line, print_table, say
from savs.pipeline.extraction.model.model_options import ModelKeywords
from savs.pipeline.extraction.run_options import DEFAULT_BATCH_SIZE

EXAMPLES = ("savs models --status verified", "savs models demo")


@expand_options
def models_command(
    loading: ModelKeywords,
    model: Annotated[
        str | None,
        typer.Argument(metavar="[CHECKPOINT]", help="Hugging Face id, folder, or demo: test it."),
    ] = None,
    status: Annotated[
        str | None,
        option(metavar="NAME", help="List only this status: verified, untested, unsupported ..."),
    ] = None,
    batch_size: Annotated[
        int, advanced(min=2, help="Largest batch size to test.")
    ] = DEFAULT_BATCH_SIZE,
    json: JsonOption = False,
) -> None:
    """Tests a checkpoint: runs generated images one by one and in batches, compares the features.

    Exits with code 1 if a check fails.
    """
    if model is None:
        _print_families(status, as_json=json)
        return
    if status is not None:
        raise typer.BadParameter("`status` is for the list of architectures; omit it or CHECKPOINT")
    from savs.pipeline.extraction.entry_points import check_model

    say(f"loading {model}")
    checkup = check_model(model, batch_size, **loading)
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


def _print_families(status: str | None, *, as_json: bool) -> None:
    from importlib.resources import files

    report: dict[str, Any] = json_format.loads(
        files("savs.pipeline.extraction").joinpath("families.json").read_text("utf-8")
    )
    if status is not None:
        require_choice("status", status, sorted({f["status"] for f in report["families"]}))
    families = [f for f in report["families"] if status is None or f["status"] == status]
    if as_json:
        print_json(report | {"families": families})
        return
    rows = [[f["family"], f["status"], f["sharing"], f["what"]] for f in families]
    print_table(["family", "status", "computed once", "details"], rows, right=False)
    say(
        f"{len(families)} architectures, tested with transformers {report['transformers']}; test a"
        " checkpoint: savs models CHECKPOINT"
    )
