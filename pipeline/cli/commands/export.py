"""`savs export`: a classifier, its page or a small store for others, or features for programs."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

import savs
from savs.foundation.errors import command
from savs.foundation.network import HUB, HUB_DATASETS, HUB_SPACES
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import (
    SelectionOption,
    StoreArgument,
    SubtaskOption,
    advanced,
    option,
    require_choice,
)
from savs.pipeline.cli.output import print_json, print_line, say
from savs.pipeline.names import BUNDLE_FORM, EXPORT_FORMS, IMPORTED, PARQUET, SPACE_FORM, STORE_FORM
from savs.pipeline.running.formatting import counted, format_bytes

if TYPE_CHECKING:
    from savs.pipeline.evaluation.results import Result
    from savs.stores import FeatureStore, Head

CHOSEN, ALL = "chosen", "all"
EXAMPLES = (
    "savs export pets --to classifier --out pets-classifier",
    "savs export pets --to space --out pets-space",
    "savs export pets --to store --heads chosen --out pets-small",
    "savs export pets --to parquet --heads L3.H2,L4.H0 --out heads.parquet",
    "savs export pets --to parquet --media-root photos --out pets.parquet",
)


def export_command(
    store: StoreArgument,
    to: Annotated[
        str,
        option(
            metavar="FORM",
            help=f"{BUNDLE_FORM}, {SPACE_FORM}, {STORE_FORM}, {', '.join(EXPORT_FORMS)}; or upload"
            " a classifier to hf://OWNER/NAME, a space to hf://spaces/OWNER/NAME, or a store to"
            " hf://datasets/OWNER/NAME.",
        ),
    ],
    out: Annotated[
        Path | None,
        option(metavar="PATH", help="Output: a folder for classifier, space, store, else a file."),
    ] = None,
    heads: Annotated[
        str,
        option(
            metavar="chosen|all|L12.H7,...|DIR",
            help="Heads to use: those of --selection, all, a list, or those of a saved selection.",
        ),
    ] = CHOSEN,
    selection: SelectionOption = None,
    split: Annotated[
        str | None,
        option(
            metavar="NAME",
            help="Only this split: train, test or unlabelled (default: train, test).",
        ),
    ] = None,
    subtask: SubtaskOption = None,
    media_root: Annotated[
        Path | None,
        option(
            metavar="DIR",
            help="Parquet: folder of the images; adds columns for viewers of embeddings.",
        ),
    ] = None,
    readout: Annotated[
        Path | None, advanced(metavar="FILE.py", help="Python file of the selection's readout.")
    ] = None,
    public: Annotated[
        bool, advanced("--public", help="Make a new repository of the Hub public, not private.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """A classifier is a folder with a model card and predict.py, which needs no savs.

    A space has a web page, too: run its app.py, or upload it to Hugging Face Spaces.
    Uses HF_TOKEN or the saved login for the Hub.
    """
    is_upload = to.startswith(HUB)
    uploads = {HUB_DATASETS: STORE_FORM, HUB_SPACES: SPACE_FORM, HUB: BUNDLE_FORM}
    form = next((kind for start, kind in uploads.items() if to.startswith(start)), to)
    forms = (BUNDLE_FORM, SPACE_FORM, STORE_FORM, *EXPORT_FORMS)
    if form not in forms:
        from savs.pipeline.evaluation.export import ADDED_EXPORTERS

        require_choice("to", form, (*forms, *ADDED_EXPORTERS.names()))
    is_shared = form in (BUNDLE_FORM, SPACE_FORM)
    if out is None and not is_upload:
        raise typer.BadParameter(f"--to {to} needs a place; pass --out PATH")
    _require_none(
        f"--to {to}",
        heads=is_shared and heads != CHOSEN,
        split=form in (BUNDLE_FORM, SPACE_FORM, STORE_FORM) and split is not None,
        subtask=not is_shared and subtask is not None,
        media_root=form != PARQUET and media_root is not None,
        readout=form != BUNDLE_FORM and readout is not None,
        public=not is_upload and public,
    )
    from savs.pipeline.classifying.bundle.card import evaluation_of
    from savs.pipeline.classifying.bundle.hub import push
    from savs.pipeline.evaluation.results import Results
    from savs.stores.format.layout import SPLITS

    opened, selection_names = savs.open_store(store), list[str]()
    results = Results(opened.path)
    with TemporaryDirectory() as scratch:
        place = Path(scratch) / "export" if out is None else out
        if is_shared:
            saved = results.find(selection)
            if form == SPACE_FORM:
                title = to.rpartition("/")[2] if is_upload else None
                bundle = savs.write_space(opened, saved.folder, place, subtask=subtask, title=title)
            else:
                bundle = savs.write_bundle(
                    opened, saved.folder, place, readout=readout, subtask=subtask
                )
            facts = {"path": str(bundle.path), "files": list(bundle.files), "note": bundle.note}
            notes = [", ".join(bundle.files), *filter(None, [bundle.note])]
        else:
            wanted = _find_heads(opened, heads, selection)
            if form == STORE_FORM:
                kept = results.selected if selection is None else [results.find(selection)]
                size, selection_names = _export_store(opened, wanted, place, kept)
            else:
                labelled = [name for name in SPLITS if name in opened.splits]
                splits = [split] if split else labelled
                savs.export(opened, place, wanted, splits, form, media_root=media_root)
                size = place.stat().st_size
            facts = {"path": str(place), "bytes": size, "heads": len(wanted)}
            notes = [f"{counted(len(wanted), 'head')}, {format_bytes(size)}"]
        if is_upload:
            pushed = push(place, to, private=not public)
            facts = {"name": pushed.name, "address": pushed.address, "commit": pushed.commit}
    if json:
        print_json(facts)
    else:
        print_line(str(facts["address"] if is_upload else facts["path"]))
    for note in notes:
        say(note)
    name = facts["name"] if is_upload else facts["path"]
    if form == BUNDLE_FORM:
        of_imported = opened.manifest.identity.model.get("class") == IMPORTED
        line = (
            ["evaluate", "NEW", "--selection", name]
            if of_imported
            else ["classify", name, "IMAGES"]
        )
        say("use it as: " + command("savs", *line))
    elif media_root is not None:
        _tell_viewers(place)
    elif form == SPACE_FORM and is_upload:
        say(f"the page: {facts['address']}")
    elif form == SPACE_FORM:
        say(
            f"use it as: {command('pip', 'install', '-r', f'{name}/requirements.txt')};"
            f" {command('python', f'{name}/app.py')}; or upload it with --to {HUB_SPACES}OWNER/NAME"
        )
    elif form == STORE_FORM:
        place_of_use, first = name, ""
        if is_upload:
            place_of_use, repository = "STORE", name.removeprefix(HUB_DATASETS)
            first = f"hf download {repository} --repo-type dataset --local-dir STORE; "
        say(f"use it as: {first}{evaluation_of(place_of_use, selection_names)}")


def _tell_viewers(path: Path) -> None:
    """Say how to open a file with pictures, and how many have none."""
    import polars as pl

    from savs.foundation.frames import scan_parquet

    counts = scan_parquet(path).select(pl.len(), missing=pl.col("image").is_null().sum())
    rows, missing = counts.collect().row(0)
    if missing:
        say(
            f"{missing:,} of {counted(rows, 'example')} have no picture: the file is not in"
            " `media_root`, cannot be read, or its content was changed"
        )
    say(f"open it as: embedding-atlas {path} --vector vector --image image")


def _require_none(what: str, **options: bool) -> None:
    """Raise a usage error for the first option that was given and has no meaning here."""
    if name := next((name for name, is_given in options.items() if is_given), None):
        raise typer.BadParameter(f"`{name}` has no meaning with {what}; omit it")


def _export_store(
    store: "FeatureStore", heads: "Sequence[Head]", out: Path, saved: "Sequence[Result]"
) -> tuple[int, list[str]]:
    """Write a smaller store with saved selections and card; return its size and their names.

    A selection is kept where the store has all its heads: `savs evaluate` gives the same by it.
    Shards are copied whole, with examples that have left their source since: a note counts them.
    """
    from savs.pipeline.classifying.bundle.card import store_card
    from savs.pipeline.evaluation.results import Results
    from savs.pipeline.running.result_files import write_file
    from savs.pipeline.selection.compatibility import require_fit
    from savs.pipeline.selection.selection_config import load_config
    from savs.pipeline.selection.selection_file import copy_selection
    from savs.stores.format.layout import CARD
    from savs.stores.maintain.copy import slim

    usable = []
    for folder in (one.folder for one in saved):
        config = load_config(folder)
        require_fit(config, store.manifest, store.path, of=folder)
        usable += [folder] if set(config.heads) <= set(heads) else []
    with TemporaryDirectory() as scratch:
        for folder in usable:  # read before the store is written: it may not be whole
            copy_selection(folder, Path(scratch) / folder.name)

        names = [folder.name for folder in usable]

        def add_selections_and_card() -> None:
            for name in names:
                copy_selection(Path(scratch) / name, Results(out).place(name).folder)
            write_file(out / CARD, store_card(savs.open_store(out), names).encode("utf-8"))

        small = slim(store, heads, out, before_seal=add_selections_and_card)
    left = [row for rows in store.manifest.rows.values() for row in rows.values() if not row.split]
    if left:
        gone = counted(len(left), "example")
        say(
            f"note: the copy still has what {gone} had that left the source since: features and"
            " thumbnails; to share without them, make a new store of the source"
        )
    return small.facts["bytes"], names


def _find_heads(store: "FeatureStore", choice: str, selection: str | None) -> "Sequence[Head]":
    """Return the heads of a choice; a usage error for anything else."""
    from savs.pipeline.errors import SelectionError
    from savs.pipeline.evaluation.results import Results
    from savs.pipeline.selection.compatibility import require_fit
    from savs.pipeline.selection.selection import parse_heads
    from savs.pipeline.selection.selection_config import SelectionConfig, load_config

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
        raise typer.BadParameter(
            f"`heads` is {choice!r}, expected chosen, all, a list such as L12.H7,L13.H0, or the"
            " folder of a selection"
        )
    if isinstance(wanted, SelectionConfig):
        require_fit(wanted, store.manifest, store.path)
    heads = wanted if isinstance(wanted, tuple) else wanted.heads
    store.require_heads(heads)
    return [head for head in store.heads if head in heads] if choice == CHOSEN else list(heads)
