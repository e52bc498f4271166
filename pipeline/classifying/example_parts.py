"""The examples of a run in parts: those of one folder side by side, and which are still to do."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from savs.datasets import Example, MediaFolder
from savs.pipeline.classifying.new_images import Group
from savs.pipeline.errors import OutputError
from savs.pipeline.extraction.sinks import ShardRows
from savs.stores import ShardSpec

ROWS = 64
"""Examples whose predictions are written together: what a killed run can lose."""


def in_parts(groups: Sequence[Group]) -> list[ShardRows]:
    """Return the examples of each group, `ROWS` at a time."""
    parts = [
        (group.examples[start : start + ROWS], group.media)
        for group in groups
        for start in range(0, len(group.examples), ROWS)
    ]
    return [
        ShardRows(ShardSpec("test", number, 0, len(part), ""), part, lambda _, own=media: own)
        for number, (part, media) in enumerate(parts)
    ]


def by_folder(shards: Sequence[ShardRows]) -> list[tuple[list[Example], MediaFolder]]:
    """Return the examples of each folder, and the folder."""
    found: dict[int, tuple[list[Example], MediaFolder]] = {}
    for shard in shards:
        media = shard.media(shard.examples[0])
        found.setdefault(id(media), ([], media))[0].extend(shard.examples)
    return list(found.values())


def numbered(shards: Sequence[ShardRows]) -> list[ShardRows]:
    """Return shards that are numbered without gaps."""
    return [replace(one, spec=replace(one.spec, number=n)) for n, one in enumerate(shards)]


def still_to_do(shards: Sequence[ShardRows], done: pl.DataFrame, out: Path) -> list[ShardRows]:
    """Return the examples of shards that a file does not have yet; none that is empty then.

    Raises
    ------
    OutputError
        The file has an example of this id with other media, or of another question.
    """
    subtasks = done["subtask"] if "subtask" in done.columns else [None] * done.height
    columns = (done["id"], subtasks, done["media"], done["prompt"])
    known = {
        (identifier, subtask): (tuple(names), prompt)
        for identifier, subtask, names, prompt in zip(*columns, strict=True)
    }

    def is_open(example: Example) -> bool:
        now = (example.media, example.prompt)
        found = known.get((example.id, example.subtask))
        if found not in (None, now):
            was, became = (f"{', '.join(names)}, {text!r}" for names, text in (found, now))
            raise OutputError(
                f"{out} has id {example.id!r} with {was}, and now it is of {became}; pass another"
                " --out, or --force to replace it"
            )
        return found is None

    kept = [(shard, [*filter(is_open, shard.examples)]) for shard in shards]
    return [
        replace(shard, examples=left, spec=replace(shard.spec, stop=len(left)))
        for shard, left in kept
        if left
    ]
