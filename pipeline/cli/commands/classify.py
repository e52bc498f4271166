"""`savs classify`: new images without labels, by a saved classifier."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.foundation.errors import ParameterError
from savs.pipeline.cli.command import GPUS, Command, Options
from savs.pipeline.cli.output import Shown, skipped_messages
from savs.pipeline.cluster.node import NONE, require_own_devices
from savs.pipeline.extraction.model.model_options import ClassifiedKeywords, EngineKeywords
from savs.pipeline.inputs.input_options import NewImageKeywords, WindowKeywords
from savs.pipeline.names import PAGE_SUFFIXES
from savs.pipeline.running.formatting import counted, counted_as
from savs.pipeline.running.launchers import find_rank
from savs.pipeline.running.table import Column, Table

if TYPE_CHECKING:
    from savs.pipeline.classifying.classified import Classification
    from savs.pipeline.classifying.sorted_files import SortedFiles

DOUBTS = {
    "unsure": "unsure: several classes, or none, are possible at {risk} % risk",
    "atypical": "atypical: like none of the training examples",
}
"""Columns of predictions -> what is said of those that have it."""


def prepare(options: Options) -> Options:
    """Let a process on each GPU read its share first, if asked for."""
    arguments, out, gpus = dict(options), options["out"], options["gpus"]
    if gpus == NONE:
        return arguments
    from savs.pipeline.classifying.classification import earlier_skips
    from savs.pipeline.classifying.stored_features import is_store
    from savs.pipeline.cli.node_run import classify_on_node

    if is_store(options["inputs"]):
        raise ParameterError("`gpus` is about images, and a store has features; omit it")
    require_own_devices(gpus, options["device"])
    first = Path(out[0]) if out else None
    is_new = options["retry_skipped"] or options["force"] or first is None
    skips = frozenset() if is_new or first is None else earlier_skips(first)
    classify_on_node(gpus, options["inputs"], first, force=options["force"])
    # the processes have tried the skipped ones; what is left is to read the file
    return arguments | {"known_skips": skips, "retry_skipped": False}


def show(done: "Classification", options: Options) -> Shown:
    """Word predictions or their counts, the files, and what was skipped."""
    data = [_counts(done)] if done.outs else [_predictions(done)]
    messages = [] if options["json"] or not done.outs else _doubts(done, options["risk"])
    # of several processes, each that read images says what it wrote
    is_shared = options["gpus"] != NONE or find_rank().ranks > 1
    if done.outs and (done.rows or not is_shared):
        messages += [f"wrote {path} ({counted(rows, 'row')})" for path, rows in done.outs.items()]
        messages.append(f"the model ran for {counted(done.rows, 'example')}")
    if done.sorted_files is not None:
        messages += _sorted(done.sorted_files)
    skipped = dict(row for row in done.skipped if row[0] not in done.known_skips)  # each once
    if earlier := len(dict(done.skipped)) - len(skipped):
        rows = counted_as(earlier, "image", "is", "are")
        messages.append(f"{rows} skipped since earlier runs; try again with --retry-skipped")
    lines = [f"{identifier}: {reason}" for identifier, reason in skipped.items()]
    is_table = not done.outs or {path.suffix.lower() for path in done.outs} - {*PAGE_SUFFIXES}
    place = "column `reason` of --out has them all" if is_table else "see the page"
    more, code = skipped_messages(lines, place, len(lines), options["max_skip"])
    return Shown(facts=_summary(done), data=data, messages=messages + more, exit_code=code)


def _sorted(files: "SortedFiles") -> list[str]:
    messages = [f"class {name!r} has the folder {path}" for name, path in files.renamed.items()]
    if files.missing:
        rows = counted_as(len(files.missing), "file", "is", "are")
        first = files.missing[0]
        messages.append(f"{rows} gone since the classification and not copied, first {first}")
    unsure = f", {files.unsure:,} of them unsure" if files.unsure else ""
    count = counted(files.files, "file")
    return [*messages, f"{count} in {files.folder}{unsure} ({files.copied:,} copied now)"]


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


def _counts(done: "Classification") -> Table:
    return done.target.counted(done.predictions)


def _doubts(done: "Classification", risk: float | None) -> list[str]:
    per_cent = f"{100 * (risk or 0):g}"
    return [
        f"{counted_as(int(count), 'prediction', 'is', 'are')} {what.format(risk=per_cent)}"
        for name, what in DOUBTS.items()
        if name in done.predictions.columns and (count := done.predictions[name].sum())
    ]


def _predictions(done: "Classification") -> Table:
    """Return the predictions that were not skipped."""
    import polars as pl

    rows = done.predictions.filter(pl.col("reason").is_null())
    return Table(rows, [Column("id", "id"), *done.target.new_columns(rows)])


COMMAND = Command(
    function="savs.pipeline.classifying.classification:classify",
    about="Keeps the rows that --out already has: the same command resumes, or adds new images."
    "\n\nVideos are divided into windows as in training by default.",
    examples=(
        "savs classify pets new",
        "savs classify pets new --out new.csv --risk 0.05",
        "savs classify pets new --out new.csv --out new.html --sort-into sorted --risk 0.05",
        "ls new/*.png | savs classify pets/results/vote - --json",
    ),
    kinds=(NewImageKeywords, WindowKeywords, ClassifiedKeywords, EngineKeywords),
    own={"gpus": GPUS},
    allows=(
        *("other-prompt", "outside", "urls", "private-addresses", "images", "remote-code"),
        "skips",
    ),
    prepare=prepare,
    show=show,
)
