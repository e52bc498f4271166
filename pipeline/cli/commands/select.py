"""`savs select`: choose heads from a store's training examples."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import savs
import savs.stores
from savs.foundation.errors import command
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import (
    HeadsOption,
    ScoringOption,
    StoreArgument,
    advanced,
    option,
    result_place,
)
from savs.pipeline.cli.output import detail, print_json, print_tables, say
from savs.pipeline.names import DEFAULT_HEADS, IMPORTED, READOUT_NAMES, TEXT_READOUT_NAMES
from savs.pipeline.running.formatting import counted, counted_as

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savs.pipeline.evaluation.assessment import Evaluation
    from savs.pipeline.selection.selection import Selection, TaskSelection
    from savs.pipeline.statistics.intervals import Metric
    from savs.pipeline.targets import Target
    from savs.stores import FeatureStore

SHOWN = 20
"""Suspects that are printed."""
EXAMPLES = (
    "savs select pets",
    "savs select pets --readout lda --heads 10",
    "savs select pets --heads L3.H2,L4.H0 --out few",
)


def select_command(
    store: StoreArgument,
    heads: HeadsOption = None,
    readout: Annotated[
        str | None,
        option(
            "--readout",
            metavar="NAME",
            help=f"{', '.join(READOUT_NAMES)}; by the classes' names"
            f" {', '.join(TEXT_READOUT_NAMES)}; or a Python file (default: vote, or ridge of"
            " numbers).",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        option(metavar="DIR", help="Output folder (default: STORE/results/READOUT)."),
    ] = None,
    list_suspects: Annotated[
        bool,
        option("--suspects", help="List training examples whose label others contradict."),
    ] = False,
    max_layer: Annotated[
        int | None,
        advanced(metavar="N", min=0, help="Choose heads from layers up to N, counted from 0."),
    ] = None,
    joint_heads: Annotated[
        bool, option("--joint-heads", help="Of many labels: choose the same heads for all.")
    ] = False,
    precision: Annotated[
        float | None,
        option(
            metavar="P",
            help="Of many labels: choose thresholds with this precision (default: the best F1).",
        ),
    ] = None,
    scoring: ScoringOption = None,
    pseudo_labels: Annotated[
        float | None,
        advanced(
            metavar="P",
            help="Take the model's own answers of at least this probability as training labels.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        option(
            metavar="NAME",
            help="own-answer: learn whether the model's own answers, which the store keeps, are"
            " right (default: the labels).",
        ),
    ] = None,
    estimate: Annotated[
        bool,
        advanced(
            "--estimate/--no-estimate", help="Estimate accuracy and calibrate, by cross-validation."
        ),
    ] = True,
    strict: Annotated[
        bool, advanced("--strict", help="Refuse doubtful training labels instead of naming them.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Uses the training examples only. Run `savs evaluate` next."""
    from savs.datasets.benchmarks.options import stored_prompts, under_one_prompt
    from savs.datasets.label_kinds import label_kind
    from savs.datasets.splits.labels import label_doubts, refuse_doubts
    from savs.pipeline.cli.selections import calibrated
    from savs.pipeline.evaluation.results import TRAINED, Results
    from savs.pipeline.evaluation.suspects import save_suspects, suspects
    from savs.pipeline.evaluation.tables import selection_table, suspects_table
    from savs.pipeline.running.result_files import writing
    from savs.pipeline.selection.selection_file import write_selection

    if pseudo_labels is not None and (list_suspects or strict):
        name = "suspects" if list_suspects else "strict"
        raise typer.BadParameter(f"--{name} is for the labels of examples; omit --pseudo-labels")
    opened = savs.open_store(store)
    prompts = stored_prompts(opened.manifest.identity.benchmark)
    once = under_one_prompt(opened.examples("train"), prompts)
    kind = label_kind(opened.manifest.identity.benchmark)
    doubts = label_doubts(once, kind=kind) if pseudo_labels is None else []
    for line in refuse_doubts(doubts, strict=strict):
        say(f"note: {line}")
    selection = savs.select(
        opened,
        heads=heads,
        readout=readout,
        scoring=scoring,
        max_layer=max_layer,
        joint_heads=joint_heads,
        precision=precision,
        pseudo_labels=pseudo_labels,
        target=target,
    )
    crossed = None
    if pseudo_labels is not None:
        extracted = opened.examples("train").height
        say(
            f"note: the labels are the model's own answers to {selection.examples:,} of"
            f" {extracted:,} training examples: no accuracy is estimated, and probabilities are"
            " not calibrated"
        )
    elif estimate:
        selection, crossed = calibrated(opened, selection, is_needed=list_suspects)
    estimates = None if crossed is None else _estimates_of(selection, crossed)
    doubtful = suspects(opened, selection, crossed) if list_suspects else None
    folder = result_place(opened, out, selection.target.result_name(selection.readout))
    with writing(folder) as new:
        write_selection(selection, new)
        save_suspects(doubtful, new)
    if heads is None and len(opened.heads) < DEFAULT_HEADS:
        held = counted(len(opened.heads), "head")
        detail(f"the store has {held}, fewer than {DEFAULT_HEADS}: took all")
    if json:
        known = estimates or {}
        tasks = [
            _task_facts(task, known.get(task.subtask), selection.target) for task in selection.tasks
        ]
        facts = {
            "selection": str(folder),
            "readout": selection.readout,
            "scoring": selection.scoring,
        }
        listed = {} if doubtful is None else {"suspects": doubtful.to_dicts()}
        print_json(facts | {"tasks": tasks} | listed)
    else:
        tables = [selection_table(selection, estimates)]
        if doubtful is not None:
            tables.append(suspects_table(doubtful.head(SHOWN), selection.target))
        print_tables(tables)
        if doubtful is not None:
            count = counted_as(doubtful.height, "training example", "is", "are")
            all_of = "it" if doubtful.height == 1 else "all"
            say(
                f"{count} predicted by a classifier of others to {selection.target.suspected_as};"
                f" suspects.csv next to the selection has {all_of}"
            )
    if depth := _depth(opened, selection):
        say(depth)
    is_default = readout in (None, "vote") and TRAINED not in Results(opened.path)
    is_aimed = target is not None
    more = ["--selection", folder if out else folder.name] if out or is_aimed else []
    if selection.readout_file is not None or not (out or is_default or is_aimed):
        more += ["--readout", readout or selection.readout]
    more += [] if opened.ids("test") else ["--folds", 5]
    say(f"wrote {folder}; next: " + command("savs", "evaluate", store, *more))


def _estimates_of(selection: "Selection", crossed: "Evaluation") -> "Mapping[str | None, Metric]":
    """Return the cross-validated accuracy of each subtask, or average precision of each label.

    Of numbers it is the mean absolute error.
    """
    metrics = {metric.name: metric for metric in crossed.metrics}
    subtasks = [task.subtask for task in selection.tasks]
    return selection.target.estimates(metrics, crossed.tables, subtasks)


def _task_facts(
    task: "TaskSelection", estimate: "Metric | None", target: "Target"
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "subtask": task.subtask,
        "classes": list(task.classes),
        "examples": task.examples,
        "cross_validated": estimate and estimate.to_json(),
        **target.facts(task.decision),
    }
    facts["heads"] = [
        {
            "head": savs.stores.head_name(head),
            "strength": strength,
            "score": score,
            "margin": margin,
        }
        for head, strength, score, margin in zip(
            task.heads, task.strengths, task.scores, task.margins, strict=True
        )
    ]
    return facts


def _depth(store: "FeatureStore", selection: "Selection") -> str | None:
    """Return how much of the decoder the chosen heads need, if that is not all of it."""
    if selection.source.model.get("class") == IMPORTED:
        return None
    last, total = max(layer for layer, _ in selection.heads), store.grid[-1].layer + 1
    saved = 100 * (1 - (last + 1) / total)  # a store of chosen heads may lack the last layers
    if not saved:
        return None
    return (
        f"the deepest chosen head is in layer {last}: savs classify loads and runs {last + 1} of"
        f" {total} decoder layers, which saves {saved:.0f} % of the decoder's parameters and FLOP"
    )
