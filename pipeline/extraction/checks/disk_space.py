"""How much disk an extraction takes, told before it runs."""

import shutil
from collections.abc import Sequence
from typing import Any

from savs.datasets import Example
from savs.pipeline.extraction.model.answers import NO_ANSWERS, Answers
from savs.pipeline.inputs.stored_rows import example_columns
from savs.pipeline.running.formatting import format_bytes
from savs.stores import Identity, StoreWriteError
from savs.stores.files.addresses import is_remote
from savs.stores.format.layout import STORED_DTYPES
from savs.stores.shard.content import encode_column

SHA256 = "0" * 64
THUMBNAIL_BYTES = 3_000
"""A small JPEG of a photo, as text."""


def bytes_needed(
    identity: Identity,
    examples: Sequence[Example],
    answers: Answers = NO_ANSWERS,
    *,
    thumbnails: bool = False,
) -> int:
    """Return the bytes that examples take in a store, features and tables.

    Parameters
    ----------
    identity
        What the features are of: the heads, and their type.
    examples
        The rows that are to be extracted.
    answers
        What is kept of the model's own answers.
    thumbnails
        Whether a small JPEG of each example's first image is kept.
    """
    values = sum(len(grid.heads) * grid.head_dim for grid in identity.grid)
    each = values * STORED_DTYPES[identity.dtype].itemsize
    each += sum(output.nbytes for output in answers.room(1).values())
    small = sum(THUMBNAIL_BYTES for example in examples if example.media) if thumbnails else 0
    columns = example_columns(examples, [(SHA256,) * len(e.media) for e in examples])
    tables = sum(encode_column(name, column).nbytes for name, column in columns.items())
    return each * len(examples) + tables + small


def require_space(folder: Any, needed: int) -> int | None:
    """Return the free bytes of a disk; raise StoreWriteError where it has less than is needed.

    None for object storage, which has no end.
    """
    if is_remote(folder):
        return None
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StoreWriteError(
            f"{folder} needs {format_bytes(needed)}, {format_bytes(free)} are free; give --out a"
            " larger disk, or --limit"
        )
    return free
