"""`savs select`: choose heads from a store's training examples."""

from typing import TYPE_CHECKING, Any

from savs.foundation.errors import command
from savs.pipeline.cli.command import Command, Options, save_by_default
from savs.pipeline.cli.output import Shown
from savs.pipeline.names import DEFAULT_READOUT, IMPORTED
from savs.pipeline.running.formatting import counted_as

if TYPE_CHECKING:
    from savs.pipeline.evaluation.stage_two import Selected
    from savs.pipeline.targets.tasks import TaskSelection

SHOWN = 20
"""Suspects that are printed."""


def show(done: "Selected", options: Options) -> Shown:
    """Word a selection, its estimates, suspects and depth, and the next command."""
    from savs.pipeline.evaluation.tables import selection_table, suspects_table

    tables, messages = [selection_table(done, done.estimates)], []
    facts: dict[str, Any] = {
        "selection": str(done.folder),
        "readout": done.readout,
        "scoring": done.scoring,
        "tasks": [_task_facts(task, done) for task in done.tasks],
    }
    if done.suspects is not None:
        facts["suspects"] = done.suspects.to_dicts()
        tables.append(suspects_table(done.suspects.head(SHOWN), done.target))
        count = counted_as(done.suspects.height, "training example", "is", "are")
        all_rows = "it" if done.suspects.height == 1 else "all"
        messages.append(
            f"{count} predicted by a classifier of others to {done.target.suspected_as};"
            f" suspects.csv next to the selection has {all_rows}"
        )
    if depth := _depth(done):
        messages.append(depth)
    messages.append(f"wrote {done.folder}; next: {_next(done, options)}")
    return Shown(facts=facts, data=tables, messages=messages)


def _next(done: "Selected", options: Options) -> str:
    from savs.pipeline.evaluation.results import TRAINED, Results

    store, out, readout = done.store, options["out"], options["readout"]
    is_aimed = options["target"] is not None
    assert done.folder is not None
    is_default = readout in (None, DEFAULT_READOUT) and TRAINED not in Results(store.path)
    more = ["--selection", done.folder if out else done.folder.name] if out or is_aimed else []
    if done.readout_file is not None or not (out or is_default or is_aimed):
        more += ["--readout", readout or done.readout]
    more += [] if store.ids("test") else ["--folds", 5]
    return command("savs", "evaluate", options["store"], *more)


def _task_facts(task: "TaskSelection", done: "Selected") -> dict[str, Any]:
    from savs.stores import head_name

    estimate = (done.estimates or {}).get(task.subtask)
    return {
        "subtask": task.subtask,
        "classes": list(task.classes),
        "examples": task.examples,
        "cross_validated": estimate and estimate.to_json(),
        **done.target.facts(task.decision),
        "heads": [
            {
                "head": head_name(head),
                "strength": strength,
                "score": score,
                "margin": margin,
            }
            for head, strength, score, margin in zip(
                task.heads, task.strengths, task.scores, task.margins, strict=True
            )
        ],
    }


def _depth(done: "Selected") -> str | None:
    """Return how much of the decoder the chosen heads need, if that is not all of it."""
    if done.source.model.get("class") == IMPORTED or done.answers:
        return None
    last, total = max(layer for layer, _ in done.heads), done.store.grid[-1].layer + 1
    saved = 100 * (1 - (last + 1) / total)  # a store of chosen heads may lack the last layers
    if not saved:
        return None
    return (
        f"the deepest chosen head is in layer {last}: savs classify loads and runs {last + 1} of"
        f" {total} decoder layers, which saves {saved:.0f} % of the decoder's parameters and FLOP"
    )


COMMAND = Command(
    function="savs.pipeline.evaluation.stage_two:select",
    about="Uses the training examples only. Run `savs evaluate` next.",
    examples=(
        "savs select pets",
        "savs select pets --readout lda --heads 10",
        "savs select pets --heads L3.H2,L4.H0 --out few",
    ),
    prepare=save_by_default,
    show=show,
)
