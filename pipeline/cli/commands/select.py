"""`savs select`: choose heads from a store's training examples."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from savs import pipeline, stores
from savs.pipeline.cli.options.shared import (
    HeadsOption,
    JsonOption,
    ReadoutOption,
    ScoringOption,
    StoreArgument,
    option,
    parse_heads,
    result_place,
)
from savs.pipeline.cli.output import percent, print_json, print_line, print_table, say
from savs.pipeline.cli.tables import print_selection
from savs.pipeline.names import DEFAULT_HEADS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from savs.pipeline import Evaluation, Selection
    from savs.pipeline.statistics.intervals import Metric
    from savs.stores import FeatureStore

SHOWN = 20
"""Suspects that are printed."""


def select_command(
    store: StoreArgument,
    heads: HeadsOption = None,
    readout: ReadoutOption = "vote",
    scoring: ScoringOption = "resubstitution",
    heads_from: Annotated[
        Path | None,
        option(metavar="DIR", help="Use the heads of this selection; only fit the readout."),
    ] = None,
    out: Annotated[
        Path | None,
        option(metavar="DIR", help="Output folder (default: STORE/results/READOUT)."),
    ] = None,
    cv: Annotated[
        bool,
        option("--cv/--no-cv", help="Estimate the accuracy by nested cross-validation, too."),
    ] = True,
    list_suspects: Annotated[
        bool,
        option("--suspects", help="List training examples whose label others contradict."),
    ] = False,
    strict: Annotated[
        bool, option("--strict", help="Refuse doubtful training labels instead of naming them.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Only training examples are used. Run `savs evaluate` next."""
    from savs.datasets.benchmarks.several_prompts import stored_prompts, under_one_prompt
    from savs.datasets.splits.label_doubts import label_doubts, refuse_doubts
    from savs.pipeline.evaluation.suspects import SUSPECTS, suspects
    from savs.pipeline.running.csv_cells import with_media_cells
    from savs.pipeline.selection.selection_file import load_config
    from savs.stores.results import whole_result, write_csv

    count = None if heads is None else parse_heads(heads)
    opened = pipeline.open_store(store)
    given = load_config(heads_from) if heads_from else None
    prompts = stored_prompts(opened.manifest.identity.benchmark)
    once = under_one_prompt(opened.examples("train"), prompts)
    for line in refuse_doubts(label_doubts(once), strict=strict):
        say(f"note: {line}")
    selection = pipeline.select(
        opened, heads=count, readout=readout, scoring=scoring, heads_from=given
    )
    crossed = _cross_validated(opened, selection, is_needed=list_suspects) if cv else None
    estimates = None if crossed is None else _estimates(selection, crossed)
    found = suspects(opened, selection, crossed) if list_suspects else None
    folder = result_place(opened, out, selection.readout)
    with whole_result(folder):
        path = pipeline.save_selection(selection, folder)
        if found is not None:
            write_csv(folder / SUSPECTS, with_media_cells(found))
        else:
            (folder / SUSPECTS).unlink(missing_ok=True)  # those of an earlier selection
    if heads is None and heads_from is None and len(opened.heads) < DEFAULT_HEADS:
        held = "1 head" if len(opened.heads) == 1 else f"{len(opened.heads)} heads"
        say(f"the store has {held}, fewer than {DEFAULT_HEADS}: took all")
    if json:
        tasks = [
            {
                "subtask": task.subtask,
                "classes": list(task.classes),
                "examples": task.examples,
                "cross_validated": estimates and estimates[task.subtask].to_json(),
                "heads": [
                    {"head": stores.head_name(head), "score": score, "margin": margin}
                    for head, score, margin in zip(
                        task.heads, task.scores, task.margins, strict=True
                    )
                ],
            }
            for task in selection.tasks
        ]
        made = {"selection": str(path), "readout": selection.readout, "scoring": scoring}
        listed = {} if found is None else {"suspects": found.to_dicts()}
        print_json(made | {"tasks": tasks} | listed)
    else:
        print_selection(selection, estimates)
        if found is not None:
            _print_suspects(found)
    more = f" --selection {path}" if out else f" --readout {readout}" if readout != "vote" else ""
    say(f"wrote {path}; next: savs evaluate {store}{more}")


def _print_suspects(found: "pl.DataFrame") -> None:
    """Print the suspects, strongest first."""
    from savs.pipeline.running.csv_cells import media_cell

    print_line()
    rows = [
        [
            row["id"],
            media_cell(row["media"]),
            *([row["subtask"]] if row["subtask"] else []),
            row["label"],
            row["prediction"],
            f"{row['margin']:.3g}",
            percent(row["strength"]),
        ]
        for row in found.head(SHOWN).iter_rows(named=True)
    ]
    subtask = ["subtask"] if found["subtask"].null_count() < found.height else []
    header = ["suspect", "media", *subtask, "label", "predicted", "margin", "strength (%)"]
    print_table(header, rows, right=False)
    say(
        f"{found.height} training examples are predicted to be of another class by a classifier of"
        f" others; look at them: suspects.csv beside the selection has all"
    )


def _cross_validated(
    store: "FeatureStore", selection: "Selection", *, is_needed: bool
) -> "Evaluation | None":
    """Return the cross-validation; None, with a note, if it is not needed and cannot be done."""
    from savs.pipeline.errors import SelectionError

    try:
        return pipeline.cross_validate(store, selection)
    except SelectionError as error:
        if is_needed:
            raise
        say(f"note: no cross-validated accuracy: {error}")
        return None


def _estimates(selection: "Selection", crossed: "Evaluation") -> "Mapping[str | None, Metric]":
    """Return the cross-validated accuracy of each subtask."""
    names = {metric.name: metric for metric in crossed.metrics}
    subtasks = [task.subtask for task in selection.tasks]
    if len(subtasks) == 1:
        return {subtasks[0]: names["accuracy"]}
    return {subtask: names[f"accuracy, {subtask}"] for subtask in subtasks}
