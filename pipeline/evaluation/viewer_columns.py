"""Columns of an exported table that viewers of embeddings need: a picture, a file, one vector.

`vector` is one list of numbers for each example: its heads, each of length 1, one after the other.
So the cosine of two vectors is the mean cosine of their heads, by which readouts compare them.
`image` is a small JPEG in the form of Hugging Face datasets, `{bytes, path}`, and `filepath` the
absolute path of the file. Both show the first medium of an example, and are null if its content is
not what the model read.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.datasets import MediaError, MediaFolder
from savs.datasets.media.images import thumbnail
from savs.datasets.media.media import MediaRules, decode_file, pictures_in, sha256
from savs.datasets.rows.media_names import is_address, is_packed
from savs.foundation.arrays import Array

VECTOR, IMAGE, FILEPATH = "vector", "image", "filepath"
VIEWER_COLUMNS = (FILEPATH, IMAGE, VECTOR)
IMAGE_TYPE = pl.Struct({"bytes": pl.Binary, "path": pl.String})
SIDE_PX = 256
"""Largest width and height of an image, in pixels."""
RULES = MediaRules(video_frames=1, draft_pixels=(2 * SIDE_PX) ** 2)
AT_ONCE = 8
"""Images that are read at the same time."""
TINY = 1e-30
"""Least length that a head is divided by: zeros stay zeros."""


def with_viewer_columns(rows: pl.LazyFrame, heads: Sequence[str], media_root: Path) -> pl.LazyFrame:
    """Return a table of examples and heads with `VIEWER_COLUMNS`, made a batch of rows at a time.

    Parameters
    ----------
    rows
        Examples with `media` and `media_sha256`, and the columns of the heads.
    heads
        The columns that `vector` consists of.
    media_root
        Folder of the media.
    """
    schema = rows.collect_schema()
    width = sum(_width(schema[head]) for head in heads)

    def add(batch: pl.DataFrame) -> pl.DataFrame:
        vectors = [_of_length_1(batch[head].to_numpy()) for head in heads]
        media = zip(batch["media"].to_list(), batch["media_sha256"].to_list(), strict=True)
        folder = MediaFolder(media_root, rules=RULES)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="savs-media") as pool:
            pictures = list(pool.map(lambda row: _picture(folder, *row), media))
        return batch.with_columns(
            pl.Series(FILEPATH, [picture.path for picture in pictures], dtype=pl.String),
            pl.Series(IMAGE, [picture.image for picture in pictures], dtype=IMAGE_TYPE),
            pl.Series(VECTOR, np.concatenate(vectors, axis=1), dtype=pl.Array(pl.Float32, width)),
        )

    added = {FILEPATH: pl.String, IMAGE: IMAGE_TYPE, VECTOR: pl.Array(pl.Float32, width)}
    return rows.map_batches(
        add,
        schema=pl.Schema({**schema, **added}),
        streamable=True,
        predicate_pushdown=False,
        projection_pushdown=False,
        slice_pushdown=False,
    )


def _width(kind: Any) -> int:
    return kind.shape[0]


def _of_length_1(values: Array) -> Array:
    """Return vectors `(n, d)` scaled to length 1, float32."""
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return (values / np.maximum(lengths, TINY)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Picture:
    path: str | None = None
    """The file; None of a URL, and of an image in the row of a file."""
    image: dict[str, Any] | None = None
    """Its JPEG and its name; None if it cannot be decoded."""


def _picture(folder: MediaFolder, names: Sequence[str], digests: Sequence[str]) -> _Picture:
    """Return the picture of the first medium, if it is unchanged since extraction."""
    if not names:
        return _Picture()
    name, path = names[0], None
    try:
        data = folder.read(name)
        if digests and sha256(data) != digests[0]:
            return _Picture()
        if not (is_address(name) or is_packed(name)):
            path = str(folder.path(name).absolute())
        images = pictures_in(decode_file(data, name, folder.rules))
    except MediaError:
        return _Picture(path)
    jpeg = thumbnail(images[0], SIDE_PX) if images else None
    return _Picture(path, None if jpeg is None else {"bytes": jpeg, "path": name})
