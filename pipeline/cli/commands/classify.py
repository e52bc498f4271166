"""`savs classify`: new images without labels, by a saved classifier."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import savs
from savs.foundation.errors import ParameterError
from savs.foundation.network import HUB
from savs.pipeline.cli.options.fields import expand_options
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import (
    ClassifierModelOption,
    MaxSkipOption,
    OtherPromptOption,
    RiskOption,
    SubtaskOption,
    advanced,
    option,
)
from savs.pipeline.cli.output import (
    REPORTING,
    print_json,
    print_tables,
    say,
    skipped_messages,
)
from savs.pipeline.cluster.node import NONE, require_own_devices
from savs.pipeline.extraction.model.model_options import AUTO, ClassifiedKeywords
from savs.pipeline.extraction.run_options import WorkKeywords
from savs.pipeline.inputs.input_options import NewFileKeywords
from savs.pipeline.names import DEFAULT_PREDICTIONS, PAGE_SUFFIXES
from savs.pipeline.running.formatting import counted, counted_as
from savs.pipeline.running.launchers import find_rank
from savs.pipeline.running.table import Column, Table

if TYPE_CHECKING:
    from savs.pipeline.classifying.classification import Classification
    from savs.pipeline.classifying.sorted_files import SortedFiles

DOUBTS = {
    "unsure": "unsure: several classes, or none, are possible at this risk",
    "atypical": "atypical: like none of the training examples",
}
"""Columns of predictions -> what is said of those that have it."""
EXAMPLES = (
    "savs classify pets new",
    "savs classify pets new --out new.csv --risk 0.05",
    "savs classify pets new --out new.csv --out new.html --sort-into sorted --risk 0.05",
    "ls new/*.png | savs classify pets/results/vote - --json",
)


@expand_options
def classify_command(
    classifier: Annotated[
        str,
        typer.Argument(
            metavar="CLASSIFIER",
            help="Store, folder of `savs select` or `savs export`, or hf://owner/name.",
        ),
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Images, folders, patterns, URLs, tables, or - for names on standard input.",
        ),
    ],
    reading: NewFileKeywords,
    placing: ClassifiedKeywords,
    batches: WorkKeywords,
    out: Annotated[
        list[Path] | None,
        option(
            metavar="FILE",
            help="Output: .csv, .jsonl, .parquet, or .html for a page with pictures; repeatable"
            " (default: print a table).",
        ),
    ] = None,
    sort_into: Annotated[
        Path | None,
        option(
            metavar="DIR",
            help="Copy each file into a folder of its class in DIR, unsure ones (--risk) into"
            " `unsure`. Replaces no file.",
        ),
    ] = None,
    risk: RiskOption = None,
    n: Annotated[
        int | None,
        option(
            "--n",
            min=1,
            help="Predictions on an HTML page: the least sure ones"
            f" (default: {DEFAULT_PREDICTIONS}).",
        ),
    ] = None,
    retry_skipped: Annotated[
        bool, option("--retry-skipped", help="Try the skipped examples of --out again.")
    ] = False,
    force: Annotated[bool, option("--force", help="Replace --out.")] = False,
    gpus: Annotated[
        str,
        option(
            metavar="all|N|0,2",
            help="Start a process per GPU on this machine: all, a number, or a list.",
        ),
    ] = NONE,
    question: Annotated[
        str | None,
        option(metavar="TEXT", help="One prompt for all images (default: the classifier's)."),
    ] = None,
    subtask: SubtaskOption = None,
    also: Annotated[
        list[str] | None,
        advanced(
            metavar="[NAME=]FOLDER",
            help="Another classifier of the same model, for the same images (repeatable).",
        ),
    ] = None,
    model: ClassifierModelOption = None,
    allow_other_prompt: OtherPromptOption = False,
    max_skip: MaxSkipOption = 0,
    json: JsonOption = False,
) -> None:
    """Keeps the rows that --out already has: the same command resumes, or adds new images."""
    before = _earlier_skips(out[0]) if out and not (retry_skipped or force) else frozenset()
    if gpus != NONE:
        require_own_devices(gpus, placing.get("device", AUTO))
        from savs.pipeline.cli.node_run import classify_on_node

        classify_on_node(gpus, inputs, out[0] if out else None, force=force)
        retry_skipped = False  # the processes have tried them; what is left is to read the file
    done = savs.classify(
        name_classifiers([classifier, *also]) if also else classifier,
        inputs,
        out=out,
        model=model,
        subtask=subtask,
        allow_other_prompt=allow_other_prompt,
        risk=risk,
        n=n,
        sort_into=sort_into,
        retry_skipped=retry_skipped,
        force=force,
        reporting=REPORTING,
        **{"question": question, **reading, **placing, **batches},
    )
    if json:
        print_json(_summary(done))
    elif not done.outs:
        print_tables([_predictions(done)])
    else:
        _print_counts(done)
    # of several processes, each that read images says what it wrote
    is_shared = gpus != NONE or find_rank().ranks > 1
    if done.rows or not is_shared:
        for path, rows in done.outs.items():
            say(f"wrote {path} ({counted(rows, 'row')})")
        if done.outs:
            say(f"the model ran for {counted(done.rows, 'example')}")
    if done.sorted_files is not None:
        _tell_sorted(done.sorted_files)
    skipped = dict(row for row in done.skipped if row[0] not in before)  # once for all subtasks
    if earlier := len(dict(done.skipped)) - len(skipped):
        rows = counted_as(earlier, "image", "is", "are")
        say(f"{rows} skipped since earlier runs; try again with --retry-skipped")
    lines = [f"{identifier}: {reason}" for identifier, reason in skipped.items()]
    is_table = not done.outs or {path.suffix.lower() for path in done.outs} - {*PAGE_SUFFIXES}
    place = "column `reason` of --out has them all" if is_table else "see the page"
    messages, code = skipped_messages(lines, place, len(lines), max_skip)
    for message in messages:
        say(message)
    if code:
        raise typer.Exit(code)


def _tell_sorted(files: "SortedFiles") -> None:
    for name, folder in files.renamed.items():
        say(f"class {name!r} has the folder {folder}")
    if files.missing:
        rows = counted_as(len(files.missing), "file", "is", "are")
        say(f"{rows} gone since the classification and not copied, first {files.missing[0]}")
    unsure = f", {files.unsure:,} of them unsure" if files.unsure else ""
    say(f"{counted(files.files, 'file')} in {files.folder}{unsure} ({files.copied:,} copied now)")


def _earlier_skips(out: Path) -> frozenset[str]:
    """Return the ids of images that earlier runs skipped, without and with the number of a task."""
    import polars as pl

    from savs.datasets.benchmarks.options import without_prompt
    from savs.pipeline.classifying.classified_store import store_beside
    from savs.pipeline.extraction.run_extraction import earlier_skips

    ids = [identifier for _, identifier in earlier_skips(store_beside(out))]
    return frozenset([*ids, *without_prompt(pl.Series(ids, dtype=pl.String))])


def _summary(done: "Classification") -> dict[str, Any]:
    facts: dict[str, Any] = {
        "out": [*map(str, done.outs)],
        "rows": done.rows,
        "seconds": round(done.seconds, 3),
        "notes": list(done.notes),
        "skipped": [{"id": i, "reason": r} for i, r in done.skipped],
    }
    if not done.outs:
        facts["predictions"] = done.predictions.to_dicts()
    if done.sorted_files is not None:
        facts["sorted"] = asdict(done.sorted_files)
    return facts


def _print_counts(done: "Classification") -> None:
    print_tables([done.target.counted(done.predictions)])
    for name, what in DOUBTS.items():
        if name in done.predictions.columns and (count := done.predictions[name].sum()):
            say(f"{counted_as(int(count), 'prediction', 'is', 'are')} {what}")


def _predictions(done: "Classification") -> Table:
    """Return the predictions that were not skipped."""
    import polars as pl

    rows = done.predictions.filter(pl.col("reason").is_null())
    return Table(rows, [Column("id", "id"), *done.target.new_columns(rows)])


def name_classifiers(texts: Sequence[str]) -> dict[str, str | Path]:
    """Return name -> folder of classifiers given as `NAME=FOLDER`, or as folders.

    `hf://owner/name` stays as it is. A folder that exists may have `=` in its name. Without a name,
    the folder's own is used. ParameterError if two have one name.
    """
    classifiers: dict[str, str | Path] = {}
    for text in texts:
        name, mark, folder = text.partition("=")
        if not mark or Path(text).exists():
            name, folder = Path(text).absolute().name, text
        path = folder if folder.startswith(HUB) else Path(folder)
        if name in classifiers:
            raise ParameterError(
                f"two classifiers are called {name!r}: {classifiers[name]} and {path}; pass"
                " --also NAME=FOLDER"
            )
        classifiers[name] = path
    return classifiers
