"""Features in the files of other programs: Parquet, npz, safetensors."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import save_file

from savs.pipeline.errors import ExportError
from savs.pipeline.evaluation.viewer_columns import VIEWER_COLUMNS, with_viewer_columns
from savs.pipeline.names import PARQUET
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


def export(
    store: AnyStore,
    path: str | Path,
    heads: Sequence[Head],
    splits: Sequence[str],
    form: str,
    *,
    media_root: str | Path | None = None,
) -> Path:
    """Write some heads of some splits into one file.

    Parameters
    ----------
    store
        A complete store, or a partial one.
    path
        The file; written whole or not at all.
    heads
        Which heads, in which order.
    splits
        `train`, `test` or both.
    form
        `parquet`: a row an example, its columns, one fixed-size list of float32 a head; shard by
        shard. `npz` and `safetensors`: an array `L12.H7` `(examples, head_dim)` a head, with `id`,
        `label` and `split`; memory holds them all.
    media_root
        Folder of the images, for `parquet`: adds the columns `filepath`, `image` and `vector` that
        viewers of embeddings need, see `with_viewer_columns`.

    Raises
    ------
    ExportError
        An unknown form or split, a file named like another form, or a media root that is no folder
        or that another form has no use for.
    StoreWriteError
        The file cannot be written, or is one of a store or of a result.
    """
    store = as_store(store)
    if form not in FORMS:
        raise ExportError(
            f"no format is called {form!r}; expected one of: {', '.join(FORMS)}, or, for the"
            " command, classifier"
        )
    path = Path(path)
    require_no_own_file(path)
    if path.suffix not in ("", f".{form}"):
        known = path.suffix[1:]
        use = f"use `to` {known}" if known in FORMS else f"end its name in .{form}"
        raise ExportError(f"{path.name} would be a {form} file; {use}")
    if media_root is not None and form != PARQUET:
        raise ExportError(f"`media_root` has no meaning with {form}; omit it, or use {PARQUET}")
    if media_root is not None and not Path(media_root).is_dir():
        raise ExportError(f"`media_root` is {media_root}, which is not a folder")
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
        FORMS[form](rows, names, partial)
    return path


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


FORMS: dict[str, Callable[[pl.LazyFrame, list[str], Path], None]] = {
    PARQUET: _parquet,
    "npz": _npz,
    "safetensors": _safetensors,
}
"""Name on the command line -> writer."""
