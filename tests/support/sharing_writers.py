"""Writers of the toy store that share it."""

from pathlib import Path

from savs.stores import (
    open_writer,
)

SHARDS = [f"train-0000{n}.h5" for n in range(3)] + ["test-00000.h5", "test-00001.h5"]


def start(folder: Path, toy, **rows: int):
    return open_writer(folder, toy.identity(), toy.rows(**rows), shard_rows=2)


def names(specs) -> list[str]:
    return [spec.name for spec in specs]
