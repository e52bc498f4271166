"""`savs models`: the architectures that work, and a test of a checkpoint."""

from typing import TYPE_CHECKING, Any

from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown, pairs
from savs.pipeline.extraction.model.model_options import CheckedKeywords
from savs.pipeline.running.table import Table

if TYPE_CHECKING:
    import polars as pl


def show(done: Any, options: Options) -> Shown:
    """Word the list, the checks, or the answers."""
    if isinstance(done, dict):
        return _shown_families(done)
    if options["ask"] is not None:
        return _shown_answers(done)
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


def _shown_answers(answers: "pl.DataFrame") -> Shown:
    ways = [name for name in answers.columns[1:] if f"{name}_probability" in answers.columns]
    rows, same = [], dict.fromkeys(ways[1:], 0)
    for row in answers.iter_rows(named=True):
        cells = [f"{row[way]}, {100 * row[f'{way}_probability']:.0f} %" for way in ways]
        rows.append([row["id"], *cells])
        for way in same:
            same[way] += row[way] == row[ways[0]]
    counts = " and ".join(f"by {way} for {count}" for way, count in same.items())
    messages = [f"the answer {counts} of {len(rows)} images is that by {ways[0]}"]
    table = Table.of_cells(["image", *ways], rows, are_texts=True)
    return Shown(facts=answers.to_dicts(), data=[table], messages=messages)


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
    " features and with the predictions of its classifier.\n\nWith --ask INPUT: prints what the"
    " model answers about ten images, by each way of reading, so that you see whether it speaks"
    " your classes.\n\nExits with code 1 if a check fails.",
    examples=(
        "savs models",
        "savs models demo",
        "savs models demo --against pets --media-root photos",
        'savs models demo --ask photos --question "Which animal?" --class cat --class dog',
    ),
    kinds=(CheckedKeywords,),
    allows=("remote-code",),
    show=show,
)
