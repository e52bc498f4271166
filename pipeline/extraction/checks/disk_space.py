"""How much disk an extraction takes, told before it runs."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from savs.pipeline.running.formatting import format_bytes
from savs.pipeline.running.progress import Reporting
from savs.stores import StoreWriteError
from savs.stores.format.layout import STORED_DTYPES

if TYPE_CHECKING:
    from savs.pipeline.extraction.model.loaded_model import LoadedModel


def example_bytes(model: "LoadedModel") -> int:
    """Return the bytes that one example's features take in a shard."""
    values = sum(len(point.grid.heads) * point.grid.head_dim for point in model.hook_points)
    return values * STORED_DTYPES[model.dtype].itemsize


def check_space(folder: Path, rows: int, model: "LoadedModel", reporting: Reporting) -> None:
    """Say what the features take; raise StoreWriteError where the disk has less."""
    needed, free = rows * example_bytes(model), shutil.disk_usage(folder).free
    reporting.say(f"{rows:,} examples to do: {format_bytes(needed)}, {format_bytes(free)} are free")
    if needed > free:
        raise StoreWriteError(
            f"{folder} needs {format_bytes(needed)} for {rows:,} examples, {format_bytes(free)} are"
            " free; give --out a larger disk, or --limit"
        )
