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
from savs.pipeline.cli.output import print_json, say
from savs.pipeline.cli.tables import print_selection
from savs.pipeline.names import DEFAULT_HEADS

if TYPE_CHECKING:
    from savs.pipeline import Selection
    from savs.stores import FeatureStore


def select_command(
    store: StoreArgument,
    heads: HeadsOption = None,
    readout: ReadoutOption = "vote",
    scoring: ScoringOption = "resubstitution",
    heads_from: Annotated[
        Path | None,
        option(metavar="DIR", help="Use the heads of this selection; only fit the readout."),
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
    json: JsonOption = False,
) -> None:
    """Only training examples are used. Run `savs evaluate` next."""
    from savs.pipeline.cli.calibrated import calibrated
    from savs.pipeline.selection.selection_file import load_config
    from savs.stores.results import whole_result

    count = None if heads is None else parse_heads(heads)
    opened = pipeline.open_store(store)
    given = load_config(heads_from) if heads_from else None
    selection = pipeline.select(
        opened,
        heads=count,
        readout=readout,
        scoring=scoring,
        heads_from=given,
        max_layer=max_layer,
    )
    selection, estimates = calibrated(opened, selection) if cv else (selection, None)
    folder = result_place(opened, out, selection.readout)
    with whole_result(folder):
        path = pipeline.save_selection(selection, folder)
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
        made = {"selection": str(path), "readout": selection.readout, "scoring": scoring}
        print_json(made | {"tasks": tasks})
    else:
        print_selection(selection, estimates)
    say(_depth(opened, selection))
    more = f" --selection {path}" if out else f" --readout {readout}" if readout != "vote" else ""
    say(f"wrote {path}; next: savs evaluate {store}{more}")


def _depth(store: "FeatureStore", selection: "Selection") -> str:
    """Say how much of the decoder the chosen heads need; a slim store may lack the last layers."""
    last, total = max(layer for layer, _ in selection.heads), store.grid[-1].layer + 1
    saved = 100 * (1 - (last + 1) / total)
    return (
        f"the deepest chosen head is in layer {last}: savs classify loads and runs {last + 1} of"
        f" {total} decoder layers, which saves {saved:.0f} % of the decoder's parameters and FLOP"
    )
