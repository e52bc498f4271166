"""`savs models`: the architectures that work, and a test of a checkpoint."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import savs
from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.options.fields import expand_options
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import (
    SelectionOption,
    advanced,
    option,
    require_choice,
    require_folder,
)
from savs.pipeline.cli.output import (
    REPORTING,
    print_cells,
    print_json,
    print_line,
    print_pairs,
    say,
)
from savs.pipeline.extraction.model.model_options import ModelKeywords
from savs.pipeline.extraction.run_options import DEFAULT_BATCH_SIZE
from savs.stores.errors import ResultError

if TYPE_CHECKING:
    from savs.pipeline.extraction.check_model import Checkup

EXAMPLES = (
    "savs models --status verified",
    "savs models demo",
    "savs models demo --against pets --media-root photos",
)


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
    against: Annotated[
        str | None,
        option(metavar="STORE", help="Compare with a store instead: run some of its examples."),
    ] = None,
    media_root: Annotated[
        Path | None, option(metavar="DIR", help="Folder of the store's images, with --against.")
    ] = None,
    selection: SelectionOption = None,
    json: JsonOption = False,
) -> None:
    """Tests a checkpoint: runs generated images one by one and in batches, compares the features.

    With --against STORE: runs some of the store's examples, and compares with its features and
    with the predictions of its classifier.

    Exits with code 1 if a check fails.
    """
    if model is None:
        _print_families(status, as_json=json)
        return
    if status is not None:
        raise typer.BadParameter("`status` is for the list of architectures; omit it or CHECKPOINT")
    if against is None and (media_root or selection):
        raise typer.BadParameter("`media_root` and `selection` are for --against; add it")
    require_folder(media_root)
    if against is None:
        from savs.pipeline.extraction.entry_points import check_model

        say(f"loading {model}")
        checkup = check_model(model, batch_size, **loading)
    else:
        checkup = _compare(model, against, media_root, selection, loading)
    if json:
        print_json(checkup.to_json())
    else:
        print_pairs([*checkup.facts.items()])
        print_line()
        marks = {True: "yes", False: "NO", None: "-"}
        rows = [[check.name, marks[check.passed]] for check in checkup.checks]
        print_cells(["check", "holds"], rows)
        for check in checkup.checks:
            say(f"{check.name}: {check.what}")
        say(checkup.verdict)
    if not checkup.passed:
        raise typer.Exit(exits.FAILURE)


def _compare(
    model: str, against: str, media_root: Path | None, selection: str | None, loading: ModelKeywords
) -> "Checkup":
    """Compare a checkpoint with a store, and with its classifier if it has one."""
    from savs.pipeline.classifying.store_match import compare_with_store
    from savs.pipeline.evaluation.results import Results

    store = savs.open_store(against)
    try:
        classifier = Results(store.path).find(selection).selection()
    except ResultError:
        if selection is not None:
            raise
        classifier = None
    return compare_with_store(
        model,
        store,
        media_root=media_root,
        selection=classifier,
        reporting=REPORTING,
        **loading,
    )


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
    rows = []
    for f in families:
        # inputs next to text, with the status of untested ones
        reads = [k if how == "verified" else f"{k} ({how})" for k, how in f["reads"].items()]
        missing = [name for name, how in f["sites"].items() if how != "read"]  # --json says why
        sites = f"all but {', '.join(missing)}" if missing else "all" if f["sites"] else ""
        rows.append([f["family"], f["status"], ", ".join(reads), f["sharing"], sites, f["what"]])
    columns = ["family", "status", "reads", "computed once", "sites", "details"]
    print_cells(columns, rows, are_texts=True)
    say(
        f"{len(families)} architectures, tested with transformers {report['transformers']}; test a"
        " checkpoint: savs models CHECKPOINT"
    )
