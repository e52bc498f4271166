"""`export`: a classifier, its page or a small store for others, or features for programs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import polars as pl

from savs.foundation.errors import ParameterError
from savs.foundation.frames import scan_parquet
from savs.foundation.network import HUB, HUB_DATASETS, HUB_SPACES
from savs.pipeline.classifying.bundle.bundle import write_bundle, write_space
from savs.pipeline.classifying.bundle.card import store_card
from savs.pipeline.classifying.bundle.hub import push
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.export import ADDED_EXPORTERS, export_features
from savs.pipeline.evaluation.results import Result, Results
from savs.pipeline.names import (
    BUNDLE_FORM,
    EXPORT_FORMS,
    PARQUET,
    SPACE_FORM,
    STORE_FORM,
    shows_defaults,
)
from savs.pipeline.readouts import Readout
from savs.pipeline.running.formatting import counted
from savs.pipeline.running.option_texts import STORE_OR_RESULT
from savs.pipeline.running.options import Option
from savs.pipeline.running.result_files import write_file
from savs.pipeline.selection.compatibility import require_fit
from savs.pipeline.selection.selection import parse_heads
from savs.pipeline.selection.selection_config import SelectionConfig, load_config
from savs.pipeline.selection.selection_file import copy_selection
from savs.stores import FeatureStore, Head
from savs.stores.format.layout import CARD, SPLITS, holder
from savs.stores.maintain.copy import slim
from savs.stores.read.store import AnyStore, as_store

CHOSEN, ALL = "chosen", "all"
UPLOADS = {HUB_DATASETS: STORE_FORM, HUB_SPACES: SPACE_FORM, HUB: BUNDLE_FORM}
"""Beginning of an address -> what is uploaded there."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, or uploaded."""

    form: str
    """`classifier`, `space`, `store`, or the form of a file."""
    path: Path | None
    """None if it was uploaded alone."""
    files: tuple[str, ...] = ()
    """Files of a classifier or a space."""
    bytes: int = 0
    """Size of a store or a file."""
    heads: int = 0
    """Heads in a store or a file."""
    selections: tuple[str, ...] = ()
    """Results that a store has."""
    rows: int = 0
    """Examples in a file with pictures."""
    missing: int = 0
    """Of `rows`, how many have no picture."""
    notes: tuple[str, ...] = ()
    name: str | None = None
    """Name of an upload, `hf://...`."""
    address: str | None = None
    commit: str | None = None


@shows_defaults
def export(
    store: Annotated[
        AnyStore,
        STORE_OR_RESULT,
    ],
    *,
    to: Annotated[str, Option(metavar="FORM")],
    out: Annotated[str | Path | None, Option(metavar="PATH")] = None,
    heads: Annotated[str | Sequence[Head], Option(metavar="chosen|all|L12.H7,...|DIR")] = "chosen",
    selection: Annotated[str | Path | None, Option(level="python")] = None,
    split: Annotated[str | None, Option(level="python")] = None,
    subtask: Annotated[str | None, Option(metavar="NAME")] = None,
    media_root: Annotated[str | Path | None, Option(metavar="DIR")] = None,
    readout: Annotated[str | Path | Readout | None, Option(level="python")] = None,
    public: Annotated[bool, Option(level="more")] = False,
) -> Exported:
    """Write a classifier, a space, a smaller store or a file of features, or upload it.

    Parameters
    ----------
    store
        Feature store: a folder or a URL (https://), or a result in it, such as STORE/results/vote.
    to
        classifier, space, store, parquet, npz, safetensors; or upload a classifier to
        hf://OWNER/NAME, a space to hf://spaces/OWNER/NAME, or a store to hf://datasets/OWNER/NAME.
    out
        Output: a folder for classifier, space, store, else a file.
    heads
        Heads to use: chosen (those of the result), all, a list, or those of a saved selection.
    selection
        Selection to use: a name in STORE/results, or a folder (default: trained,
        `DEFAULT_READOUT`, or the only one).
    split
        Only this split: train, test or unlabelled (default: train, test).
    subtask
        Only this subtask, or this prompt of several.
    media_root
        Parquet: folder of the images; adds columns for viewers of embeddings.
    readout
        Python file of the selection's readout.
    public
        Make a new repository of the Hub public, not private.

    Raises
    ------
    ParameterError
        Unknown form or heads, or an argument that has no meaning here.
    ResultError, SelectionError
        The classifier cannot be read, or belongs to another model.
    ExportError, StoreWriteError
        `out` has files, or cannot be written.
    """
    is_upload = to.startswith(HUB)
    form = next((kind for start, kind in UPLOADS.items() if to.startswith(start)), to)
    forms = (BUNDLE_FORM, SPACE_FORM, STORE_FORM, *EXPORT_FORMS)
    if form not in forms and ADDED_EXPORTERS.find(form) is None:
        known = ", ".join((*forms, *ADDED_EXPORTERS.names()))
        raise ParameterError(f"`to` is {to!r}, expected one of {known}")
    is_shared = form in (BUNDLE_FORM, SPACE_FORM)
    if out is None and not is_upload:
        raise ParameterError(f"`to` {to} needs a place; pass `out` PATH")
    _require_none(
        f"`to` {to}",
        heads=is_shared and heads != CHOSEN,
        split=form in (BUNDLE_FORM, SPACE_FORM, STORE_FORM) and split is not None,
        subtask=not is_shared and subtask is not None,
        media_root=form != PARQUET and media_root is not None,
        readout=form != BUNDLE_FORM and readout is not None,
        public=not is_upload and public,
    )
    opened = as_store(store)
    results = Results(opened.path)
    with TemporaryDirectory() as scratch:
        place = Path(scratch) / "export" if out is None else Path(out)
        path = None if out is None else place
        if is_shared:
            folder = results.find(selection).folder
            if form == SPACE_FORM:
                title = to.rpartition("/")[2] if is_upload else None
                bundle = write_space(opened, folder, place, subtask=subtask, title=title)
            else:
                bundle = write_bundle(opened, folder, place, readout=readout, subtask=subtask)
            notes = (bundle.note,) if bundle.note else ()
            done = Exported(form, path, files=bundle.files, notes=notes)
        elif form == STORE_FORM:
            wanted = _find_heads(opened, heads, selection)
            kept = results.selected if selection is None else [results.find(selection)]
            done = export_store(opened, wanted, place, kept)
        else:
            wanted = _find_heads(opened, heads, selection)
            splits = [split] if split else [name for name in SPLITS if name in opened.splits]
            export_features(opened, place, wanted, splits, form, media_root=media_root)
            rows = missing = 0
            if media_root is not None:
                counts = scan_parquet(place).select(pl.len(), pl.col("image").null_count())
                rows, missing = counts.collect().row(0)
            done = Exported(
                form,
                path,
                bytes=place.stat().st_size,
                heads=len(wanted),
                rows=rows,
                missing=missing,
            )
        if not is_upload:
            return done
        pushed = push(place, to, private=not public)
    return replace(done, path=path, name=pushed.name, address=pushed.address, commit=pushed.commit)


def _require_none(what: str, **options: bool) -> None:
    """Raise ParameterError for the first option that was given and has no meaning here."""
    if name := next((name for name, is_given in options.items() if is_given), None):
        raise ParameterError(f"`{name}` has no meaning with {what}; omit it")


def export_store(
    store: FeatureStore, heads: Sequence[Head], out: Path, saved: Sequence[Result]
) -> Exported:
    """Write a smaller store with saved selections and card.

    A selection is kept where the store has all its heads: `savs evaluate` gives the same by it.
    Shards are copied whole, with examples that have left their source since: a note counts them.
    """
    usable = []
    for folder in (one.folder for one in saved):
        config = load_config(folder)
        require_fit(config, store.manifest, store.path, of=folder)
        usable += [folder] if {*config.model_heads} <= {*heads} else []
    names = [folder.name for folder in usable]
    with TemporaryDirectory() as scratch:
        for folder in usable:  # read before the store is written: it may not be whole
            copy_selection(folder, Path(scratch) / folder.name)

        def add_selections_and_card(small: FeatureStore) -> None:
            for name in names:
                copy_selection(Path(scratch) / name, Results(out).place(name).folder)
            write_file(out / CARD, store_card(small, names).encode("utf-8"))

        small = slim(store, heads, out, before_seal=add_selections_and_card)
    left = [row for rows in store.manifest.rows.values() for row in rows.values() if not row.split]
    notes = ()
    if left:
        notes = (
            f"note: the copy still has {counted(len(left), 'example')} that left the source since:"
            " features and thumbnails; to share without them, make a new store of the source",
        )
    size = small.facts["bytes"]
    return Exported(
        STORE_FORM, out, bytes=size, heads=len(heads), selections=tuple(names), notes=notes
    )


def _find_heads(
    store: FeatureStore, choice: str | Sequence[Head], selection: str | Path | None
) -> Sequence[Head]:
    """Return the heads of a choice; ParameterError for anything else."""
    if choice == ALL:
        return store.heads
    try:
        wanted = (
            load_config(Results(store.path).find(selection).folder)
            if choice == CHOSEN
            else parse_heads(choice)
        )
    except SelectionError:  # it has other words for what heads can be
        wanted = None
    if not isinstance(wanted, tuple | SelectionConfig):
        raise ParameterError(
            f"`heads` is {choice!r}, expected chosen, all, a list such as L12.H7,L13.H0, or the"
            " folder of a selection"
        )
    if isinstance(wanted, SelectionConfig):
        require_fit(wanted, store.manifest, store.path)
    given = wanted if isinstance(wanted, tuple) else wanted.model_heads
    store.require_heads(given)
    heads = [*dict.fromkeys(map(holder, given))]
    return [head for head in store.heads if head in heads] if choice == CHOSEN else list(heads)
