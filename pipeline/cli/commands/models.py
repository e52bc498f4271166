"""`savs models`: the architectures that work, and a test of a checkpoint."""

from typing import Any

from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown, pairs
from savs.pipeline.extraction.model.model_options import CheckedKeywords
from savs.pipeline.running.table import Table


def show(done: Any, _: Options) -> Shown:
    """Word the list, or the checks."""
    if isinstance(done, dict):
        return _shown_families(done)
    marks = {True: "yes", False: "NO", None: "-"}
    rows = [[check.name, marks[check.passed]] for check in done.checks]
    facts = [[name, str(text)] for name, text in done.facts.items()]
    messages = [f"{check.name}: {check.what}" for check in done.checks]
    return Shown(
        facts=done.to_json(),
        data=[*pairs(facts), Table.of_cells(["check", "holds"], rows)],
        messages=[*messages, done.verdict],
        exit_code=0 if done.passed else exits.FAILURE,
    )


def _shown_families(report: dict[str, Any]) -> Shown:
    rows = []
    for f in report["families"]:
        # inputs next to text, with the status of untested ones
        reads = [k if how == "verified" else f"{k} ({how})" for k, how in f["reads"].items()]
        missing = [name for name, how in f["sites"].items() if how != "read"]  # --json says why
        sites = f"all but {', '.join(missing)}" if missing else "all" if f["sites"] else ""
        rows.append([f["family"], f["status"], ", ".join(reads), f["sharing"], sites, f["what"]])
    columns = ["family", "status", "reads", "computed once", "sites", "details"]
    message = (
        f"{len(rows)} architectures, tested with transformers {report['transformers']}; test a"
        " checkpoint: savs models CHECKPOINT"
    )
    table = Table.of_cells(columns, rows, are_texts=True)
    return Shown(facts=report, data=[table], messages=[message])


COMMAND = Command(
    function="savs.pipeline.classifying.models:models",
    about="Tests a checkpoint: runs generated images one by one and in batches, compares the"
    " features.\n\nWith --against STORE: runs some of the store's examples, and compares with its"
    " features and with the predictions of its classifier.\n\nExits with code 1 if a check fails.",
    examples=(
        "savs models",
        "savs models demo",
        "savs models demo --against pets --media-root photos",
    ),
    kinds=(CheckedKeywords,),
    allows=("remote-code",),
    show=show,
)
