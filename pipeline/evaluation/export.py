"""Features in the files of other programs: Parquet, npz, safetensors.

Viewers of embeddings need a picture, a file and one vector. `vector` is one list of numbers for
each example: its heads, each of length 1, one after the other. So the cosine of two vectors is the
mean cosine of their heads, by which readouts compare them. `image` is a small JPEG in the form of
Hugging Face datasets, `{bytes, path}`, and `filepath` the absolute path of the file. Both show the
first medium of an example, and are null if its content is not what the model read.
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import save_file

from savs.datasets import MediaError, MediaFolder
from savs.datasets.media.media import MediaRules, decode_file, digest_of
from savs.datasets.media_kinds.catalogue import pictures_in
from savs.datasets.media_kinds.decoders.images import thumbnail
from savs.datasets.rows.media_names import is_address, is_packed
from savs.foundation.errors import SavsError
from savs.foundation.installed import Additions, function_problem
from savs.foundation.plugin_calls import calling
from savs.pipeline.errors import ExportError
from savs.pipeline.inputs.input_options import require_media_root
from savs.pipeline.names import BUNDLE_FORM, PARQUET, SPACE_FORM, STORE_FORM
from savs.pipeline.running.output_files import new_file
from savs.pipeline.running.result_files import require_no_own_file
from savs.stores import Head, StoreWriteError, head_name
from savs.stores.read.store import AnyStore, as_store

NAMES = ("id", "label", "split")
"""What tells the rows of an array."""
EXAMPLE_COLUMNS = (
    *("id", "split", "label", "group", "subtask", "category", "prompt"),
    *("media", "media_sha256"),
)
"""With the digests of media, rows of one image stay tied in a store that is made of the file."""
VECTOR, IMAGE, FILEPATH = "vector", "image", "filepath"
VIEWER_COLUMNS = (FILEPATH, IMAGE, VECTOR)
IMAGE_TYPE = pl.Struct({"bytes": pl.Binary, "path": pl.String})
Write = Callable[[pl.LazyFrame, list[str], Path], None]
"""Writes a table of examples, and the columns of their heads, into a file that has no name yet."""
SIDE_PX = 256
"""Largest width and height of an image, in pixels."""
RULES = MediaRules(video_frames=1, draft_pixels=(2 * SIDE_PX) ** 2)
AT_ONCE = 8
"""Images that are read at the same time."""
TINY = 1e-30
"""Least length that a head is divided by: zeros stay zeros."""


def export_features(
    store: AnyStore,
    path: str | Path,
    heads: Sequence[Head],
    splits: Sequence[str],
    form: str,
    *,
    media_root: str | Path | None = None,
) -> Path:
    """Write some heads of some splits of a store into one file, whole or not at all.

    `form` is `parquet`: a row an example, its columns, one fixed-size list of float32 a head; shard
    by shard. `npz` and `safetensors`: an array `L12.H7` `(examples, head_dim)` a head, with `id`,
    `label` and `split`; memory holds them all. Or the name of an installed package's exporter.
    `media_root`, a folder of images, adds the columns of `with_viewer_columns` to `parquet`.

    ExportError for an unknown form or split, a file named like another form, or a media root that
    is no folder or that another form has no use for; StoreWriteError if the file cannot be written,
    or is one of a store or of a result.
    """
    store = as_store(store)
    write = _writer(form)
    path = Path(path)
    require_no_own_file(path)
    if path.suffix not in ("", f".{form}"):
        known = path.suffix[1:]
        use = f"use `to` {known}" if known in FORMS else f"end its name in .{form}"
        raise ExportError(f"{path.name} would be a {form} file; {use}")
    if media_root is not None and form != PARQUET:
        raise ExportError(f"`media_root` has no meaning with {form}; omit it, or use {PARQUET}")
    require_media_root(media_root)
    known = store.splits
    if not splits or not set(splits) <= set(known):
        raise ExportError(f"splits are {list(splits)}, expected some of {known}")
    store.require_heads(heads)
    names = [head_name(head) for head in dict.fromkeys(heads)]
    rows = store.scan().filter(pl.col("split").is_in(list(splits)))
    if media_root is not None:
        columns = rows.select(*EXAMPLE_COLUMNS, *names)
        rows = with_viewer_columns(columns, names, Path(media_root))
        names = [*names, *VIEWER_COLUMNS]
    with new_file(path, kind=StoreWriteError) as partial:
        write(rows, names, partial)
    return path


def _writer(form: str) -> Write:
    """Return what writes a format; ExportError if none does, or the one of a package fails."""
    if form in FORMS:
        return FORMS[form]
    added = ADDED_EXPORTERS.find(form)
    if added is None:
        known = ", ".join([*FORMS, *ADDED_EXPORTERS.names()])
        raise ExportError(
            f"no format is called {form!r}; expected one of: {known}, or, for the command,"
            " classifier"
        )

    def write(rows: pl.LazyFrame, names: list[str], path: Path) -> None:
        def fault(place: str, what: str) -> ExportError:
            return ExportError(f"{place} of the exporter {form!r} {what}; fix the exporter")

        with calling(added.value, fault, SavsError):
            added.value(rows, names, path)

    return write


def _parquet(rows: pl.LazyFrame, names: list[str], path: Path) -> None:
    with path.open("wb") as file:  # polars takes no name that is not UTF-8
        rows.select(*EXAMPLE_COLUMNS, *names).sink_parquet(file)


def _npz(rows: pl.LazyFrame, names: list[str], path: Path) -> None:
    frame = rows.select(*NAMES, *names).collect()
    texts = {name: frame[name].fill_null("").to_numpy().astype(np.str_) for name in NAMES}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **texts, **{n: frame[n].to_numpy() for n in names})


def _safetensors(rows: pl.LazyFrame, names: list[str], path: Path) -> None:
    frame = rows.select(*NAMES, *names).collect()
    texts = {n: json.dumps(frame[n].to_list(), ensure_ascii=False) for n in NAMES}
    save_file({n: np.ascontiguousarray(frame[n].to_numpy()) for n in names}, path, metadata=texts)


FORMS: dict[str, Write] = {PARQUET: _parquet, "npz": _npz, "safetensors": _safetensors}
"""Name on the command line -> writer."""
ADDED_EXPORTERS: Additions[Write] = Additions(
    "savs.exporters",
    function_problem,
    lambda: {*FORMS, BUNDLE_FORM, SPACE_FORM, STORE_FORM},
    ExportError,
)
"""Formats of installed packages, each a function as in `FORMS`."""


def with_viewer_columns(rows: pl.LazyFrame, heads: Sequence[str], media_root: Path) -> pl.LazyFrame:
    """Return a table of examples and heads with `VIEWER_COLUMNS`, made a batch of rows at a time.

    `rows` have `media` and `media_sha256`, and the columns `heads`, which `vector` consists of.
    """
    schema = rows.collect_schema()
    width = sum(schema[head].shape[0] for head in heads)  # type: ignore[attr-defined]

    def add(batch: pl.DataFrame) -> pl.DataFrame:
        values = [batch[head].to_numpy() for head in heads]
        lengths = [np.linalg.norm(one, axis=1, keepdims=True) for one in values]
        vectors = [
            (one / np.maximum(length, TINY)).astype(np.float32)
            for one, length in zip(values, lengths, strict=True)
        ]
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
        if digests and digest_of(data, name) != digests[0]:
            return _Picture()
        if not (is_address(name) or is_packed(name)):
            path = str(folder.path(name))
        images = pictures_in(decode_file(data, name, folder.rules))
    except MediaError:
        return _Picture(path)
    jpeg = thumbnail(images[0], SIDE_PX) if images else None
    return _Picture(path, None if jpeg is None else {"bytes": jpeg, "path": name})
