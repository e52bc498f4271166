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
from savs.pipeline.cli.output import print_json, print_line, print_table, say
from savs.pipeline.cli.selections import parse_names
from savs.pipeline.cli.tables import print_selection
from savs.pipeline.names import DEFAULT_HEADS, IMPORTED
from savs.pipeline.running.formatting import percent

if TYPE_CHECKING:
    import polars as pl

    from savs.pipeline import Selection
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
    use_heads: Annotated[
        str | None,
        option(metavar="L1.H2,...", help="Use these heads, best first; only fit the readout."),
    ] = None,
    max_layer: Annotated[
        int | None,
        option(metavar="N", min=0, help="Choose heads from layers up to N, counted from 0."),
    ] = None,
    out: Annotated[
        Path | None,
        option(metavar="DIR", help="Output folder (default: STORE/results/READOUT)."),
    ] = None,
    cv: Annotated[
        bool,
        option("--cv/--no-cv", help="Estimate accuracy and calibrate, by cross-validation."),
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
    from savs.datasets.benchmarks.options import stored_prompts, under_one_prompt
    from savs.datasets.splits.labels import label_doubts, refuse_doubts
    from savs.pipeline.cli.selections import calibrated, estimates_of
    from savs.pipeline.evaluation.suspects import SUSPECTS, save_suspects, suspects
    from savs.pipeline.running.result_files import whole_result
    from savs.pipeline.selection.selection_file import load_config

    count = None if heads is None else parse_heads(heads)
    named = None if use_heads is None else parse_names("--use-heads", use_heads)
    opened = pipeline.open_store(store)
    source = load_config(heads_from) if heads_from else None
    prompts = stored_prompts(opened.manifest.identity.benchmark)
    once = under_one_prompt(opened.examples("train"), prompts)
    for line in refuse_doubts(label_doubts(once), strict=strict):
        say(f"note: {line}")
    selection = pipeline.select(
        opened,
        heads=count,
        readout=readout,
        scoring=scoring,
        heads_from=source,
        use_heads=named,
        max_layer=max_layer,
    )
    crossed = None
    if cv:
        selection, crossed = calibrated(opened, selection, is_needed=list_suspects)
    estimates = None if crossed is None else estimates_of(selection, crossed)
    doubtful = suspects(opened, selection, crossed) if list_suspects else None
    folder = result_place(opened, out, selection.readout)
    with whole_result(folder):
        path = pipeline.save_selection(selection, folder)
        if doubtful is not None:
            save_suspects(doubtful, folder)
        else:
            (folder / SUSPECTS).unlink(missing_ok=True)  # those of an earlier selection
    if heads is heads_from is use_heads is None and len(opened.heads) < DEFAULT_HEADS:
        held = "1 head" if len(opened.heads) == 1 else f"{len(opened.heads)} heads"
        say(f"the store has {held}, fewer than {DEFAULT_HEADS}: took all")
    if json:
        tasks = [
            {
                "subtask": task.subtask,
                "classes": list(task.classes),
                "examples": task.examples,
                "cross_validated": estimates and estimates[task.subtask].to_json(),
                "temperature": task.calibration and task.calibration.temperature,
                "heads": [
                    {"head": stores.head_name(head), "score": score, "margin": margin}
                    for head, score, margin in zip(
                        task.heads, task.scores, task.margins, strict=True
                    )
                ],
            }
            for task in selection.tasks
        ]
        facts = {"selection": str(path), "readout": selection.readout, "scoring": scoring}
        listed = {} if doubtful is None else {"suspects": doubtful.to_dicts()}
        print_json(facts | {"tasks": tasks} | listed)
    else:
        print_selection(selection, estimates)
        if doubtful is not None:
            _print_suspects(doubtful)
    if selection.source.model.get("class") != IMPORTED:
        say(_depth(opened, selection))
    more = f" --selection {path}" if out else f" --readout {readout}" if readout != "vote" else ""
    say(f"wrote {path}; next: savs evaluate {store}{more}")


def _print_suspects(table: "pl.DataFrame") -> None:
    """Print the suspects, strongest first."""
    from savs.pipeline.running.output_files import media_cell

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
        for row in table.head(SHOWN).iter_rows(named=True)
    ]
    subtask = ["subtask"] if table["subtask"].null_count() < table.height else []
    header = ["suspect", "media", *subtask, "label", "predicted", "margin", "strength (%)"]
    print_table(header, rows, right=False)
    say(
        f"{table.height} training examples are predicted to be of another class by a classifier of"
        f" others; look at them: suspects.csv beside the selection has all"
    )


def _depth(store: "FeatureStore", selection: "Selection") -> str:
    """Say how much of the decoder the chosen heads need; a slim store may lack the last layers."""
    last, total = max(layer for layer, _ in selection.heads), store.grid[-1].layer + 1
    saved = 100 * (1 - (last + 1) / total)
    return (
        f"the deepest chosen head is in layer {last}: savs classify loads and runs {last + 1} of"
        f" {total} decoder layers, which saves {saved:.0f} % of the decoder's parameters and FLOP"
    )
