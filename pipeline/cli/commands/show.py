"""`savs show`: the content of a store, and the map of its heads."""

from typing import TYPE_CHECKING

from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown, pairs
from savs.pipeline.running.formatting import counted_as, format_bytes, format_seconds
from savs.pipeline.running.table import Table

if TYPE_CHECKING:
    from savs.pipeline.evaluation.overview import Overview
    from savs.stores.maintain.progress import StoreProgress

COUNTED = ("split", "subtask", "label", "examples", "skipped")


def show(done: "Overview", _: Options) -> Shown:
    """Word the facts, classes and progress of a store, or draw its heads."""
    facts = done.to_json()
    if done.heads is not None:
        from savs.pipeline.selection.head_map import draw_map

        return Shown(facts=facts, data=draw_map(done.heads, done.target))
    model, missing = facts["model"], len(facts["missing_shards"])
    widths = " and ".join(map(str, facts["head_dims"]))
    planned = ", ".join(f"{count:,} {split}" for split, count in facts["planned"].items())
    rows = [
        ["store", facts["path"]],
        ["benchmark", facts["benchmark"]["name"]],
        ["model", f"{model['name']} ({model['class']})"],
        ["revision", model.get("revision") or "local"],
        *([["site", done.store.manifest.identity.site]] if "site" in model else []),
        ["heads", f"{facts['heads']} in {facts['layers']} layers, {widths} wide, {facts['dtype']}"],
        ["planned", planned],
        ["shards", f"{facts['shards']}, {missing or 'none'} missing"],
        ["size", format_bytes(facts["bytes"])],
        ["results", ", ".join(facts["results"]) or "none yet"],
    ]
    if done.older:
        older = ", ".join(done.older)
        rows.append(["older", f"{older}: made before training examples or labels came"])
    rows += [[name, text] for name, text in _image_outputs(model).items()]
    cells = [[row[name] for name in COUNTED] for row in done.classes]
    data = [*pairs(rows), Table.of_cells(["split", "subtask", "class", *COUNTED[3:]], cells)]
    data += [f"skipped {one['split']} {one['id']}: {one['reason']}" for one in done.skipped]
    messages = []
    if done.progress is not None and done.progress.writers:
        data += _progress(done.progress)
    elif missing:
        absent = counted_as(missing, "shard", "is", "are")
        messages.append(f"{absent} missing: run the same `savs extract` command again to resume")
    return Shown(facts=facts, data=data, messages=messages)


def _image_outputs(model: dict) -> dict[str, str]:
    from savs.stores.format.layout import IMAGE_OUTPUTS

    return model.get(IMAGE_OUTPUTS, {})


def _progress(done: "StoreProgress") -> list[Table | str]:
    share = f"{done.rows:,} of {done.planned:,} examples ({100 * done.rows // done.planned} %)"
    rate = ""
    if done.seconds_left is not None:
        left = format_seconds(done.seconds_left)
        rate = f", {done.per_second:.1f} per second, {left} left"
    rows = [
        [
            writer.process,
            writer.rank,
            writer.device or None,
            writer.state,
            writer.rows,
            f"{writer.per_second:.1f}",
            f"{writer.last_sign_s:.0f} s ago",
        ]
        for writer in done.writers
    ]
    header = ["process", "rank", "device", "state", "examples", "per second", "last sign"]
    return [f"\n{share}{rate}", Table.of_cells(header, rows).text()]


COMMAND = Command(
    function="savs.pipeline.evaluation.overview:show",
    about="Does not read features. While an extraction runs, shows how far it is and who works on"
    " it.",
    examples=("savs show pets", "savs show pets --head-map", "savs show pets --json"),
    show=show,
)
