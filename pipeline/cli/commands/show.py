"""`savs show`: the content of a store, and the map of its heads."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

import savs
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import (
    SelectionOption,
    StoreArgument,
    SubtaskOption,
    option,
)
from savs.pipeline.cli.output import print_cells, print_json, print_line, print_pairs, say
from savs.pipeline.running.formatting import counted_as, format_bytes, format_seconds
from savs.stores.files.addresses import is_writable

if TYPE_CHECKING:
    from savs.stores import FeatureStore
    from savs.stores.maintain.progress import StoreProgress

EXAMPLES = ("savs show pets", "savs show pets --head-map", "savs show pets --json")


def show_command(
    store: StoreArgument,
    head_map: Annotated[
        bool,
        option("--head-map", help="Draw the scores of all heads, and the chosen ones, instead."),
    ] = False,
    selection: SelectionOption = None,
    subtask: SubtaskOption = None,
    json: JsonOption = False,
) -> None:
    """Does not read features. While an extraction runs, shows how far it is and who works on it."""
    from savs.stores.format.layout import IMAGE_OUTPUTS
    from savs.stores.maintain.progress import store_progress

    if not head_map and (selection is not None or subtask is not None):
        name = "subtask" if selection is None else "selection"
        raise typer.BadParameter(f"`{name}` needs --head-map; add it")
    opened = savs.open_store(store)
    if head_map:
        _print_head_map(opened, selection, subtask, as_json=json)
        return
    done = store_progress(opened.path, opened.manifest) if is_writable(opened.path) else None
    facts: dict[str, Any] = opened.facts | {
        "classes": _counts(opened),
        "skipped": [
            row
            for split in _finished(opened)
            for row in opened.skipped(split).select("split", "id", "reason").to_dicts()
        ],
        "older_results": _older(opened),
    }
    if done is not None:
        facts["progress"] = done.to_json()
    if json:
        print_json(facts)
        return
    model, heads = facts["model"], facts["heads"]
    widths = " and ".join(map(str, facts["head_dims"]))
    missing = len(facts["missing_shards"])
    rows = [
        ["store", facts["path"]],
        ["benchmark", facts["benchmark"]["name"]],
        ["model", f"{model['name']} ({model['class']})"],
        ["revision", model.get("revision") or "local"],
        *([["site", opened.manifest.identity.site]] if "site" in model else []),
        ["heads", f"{heads} in {facts['layers']} layers, {widths} wide, {facts['dtype']}"],
        ["planned", ", ".join(f"{count:,} {split}" for split, count in facts["planned"].items())],
        ["shards", f"{facts['shards']}, {missing or 'none'} missing"],
        ["size", format_bytes(facts["bytes"])],
        ["results", ", ".join(facts["results"]) or "none yet"],
    ]
    if facts["older_results"]:
        older = ", ".join(facts["older_results"])
        rows.append(["older", f"{older}: made before training examples or labels came"])
    rows += [[head, what] for head, what in model.get(IMAGE_OUTPUTS, {}).items()]
    print_pairs(rows)
    print_line()
    print_cells(
        ["split", "subtask", "class", "examples", "skipped"],
        [
            [c[name] for name in ("split", "subtask", "label", "examples", "skipped")]
            for c in facts["classes"]
        ],
    )
    for skip in facts["skipped"]:
        print_line(f"skipped {skip['split']} {skip['id']}: {skip['reason']}")
    if done is not None and done.writers:
        _print_progress(done)
    elif missing:
        absent = counted_as(missing, "shard", "is", "are")
        say(f"{absent} missing: run the same `savs extract` command again to resume")


def _print_head_map(
    store: "FeatureStore", selection: str | None, subtask: str | None, *, as_json: bool
) -> None:
    """Print the map of all heads; the training features are read."""
    import polars as pl

    from savs.pipeline.cli.head_map import draw_map
    from savs.pipeline.evaluation.results import Results
    from savs.pipeline.selection.head_map import head_map
    from savs.stores.files.addresses import is_remote

    if selection is None and is_remote(store.path):
        raise typer.BadParameter(f"{store.path} holds no results; pass --selection DIR")
    chosen = Results(store.path).find(selection).selection()
    table = head_map(store, chosen)
    if subtask is not None:
        known = table["subtask"].unique(maintain_order=True).to_list()
        if subtask not in known:
            expected = ", ".join("no --subtask" if name is None else name for name in known)
            raise typer.BadParameter(f"`subtask` is {subtask!r}, expected one of: {expected}")
        table = table.filter(pl.col("subtask") == subtask)
    if as_json:
        print_json({"path": str(store.path), "heads": table.to_dicts()})
    else:
        lines = draw_map(table, chosen.target)
        print_line("\n".join(lines), keep="\n")


def _print_progress(done: "StoreProgress") -> None:
    share = f"{done.rows:,} of {done.planned:,} examples ({100 * done.rows // done.planned} %)"
    left = done.seconds_left
    rate = (
        "" if left is None else f", {done.per_second:.1f} per second, {format_seconds(left)} left"
    )
    print_line()
    print_line(f"{share}{rate}")
    print_cells(
        ["process", "rank", "device", "state", "examples", "per second", "last sign"],
        [
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
        ],
    )


def _finished(store: "FeatureStore") -> list[str]:
    """Return the splits with at least one shard."""
    return [split for split in store.splits if store.present(split)]


def _counts(store: "FeatureStore") -> list[dict[str, Any]]:
    """Return how many examples each class of each subtask has, or each of many labels.

    Of a regression, how many numbers each split has, and between which ends all of them lie.
    """
    import polars as pl

    from savs.pipeline.targets import target_of

    frames = [
        table.select("split", "subtask", "label", skipped=pl.lit(skipped))
        for split in _finished(store)
        for table, skipped in ((store.examples(split), False), (store.skipped(split), True))
    ]
    if not frames:
        return []
    table = target_of(store.manifest.identity.benchmark).grouped(pl.concat(frames))
    return (
        table.group_by("split", "subtask", "label", maintain_order=True)
        .agg(examples=(~pl.col("skipped")).sum(), skipped=pl.col("skipped").sum())
        .to_dicts()
    )


def _older(store: "FeatureStore") -> list[str]:
    """Return the results whose classifier was made before training examples or labels came."""
    from savs.foundation.errors import SavsError
    from savs.pipeline.evaluation.results import Results

    older_names = []
    for result in Results(store.path).selected:
        with suppress(SavsError):  # what is wrong with it, the command says that uses it
            if result.is_older:
                older_names.append(result.name)
    return older_names
