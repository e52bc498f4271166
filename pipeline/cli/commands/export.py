"""`savs export`: features for other programs, or a classifier for other people."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs import pipeline
from savs.pipeline.cli.options.shared import JsonOption, StoreArgument, option
from savs.pipeline.cli.output import print_json, print_line, say
from savs.pipeline.cli.selections import CHOSEN, HeadsChoice, SelectionOption, find_heads, say_size
from savs.pipeline.names import BUNDLE_FORM, EXPORT_FORMS, READOUT_NAMES

if TYPE_CHECKING:
    from savs.stores import FeatureStore

SPLITS = "train,test"


def export_command(
    store: StoreArgument,
    out: Annotated[
        Path, option("--out", metavar="PATH", help="Output file; of a classifier, the folder.")
    ],
    to: Annotated[
        str, option(help=f"Format: {', '.join(EXPORT_FORMS)}, or {BUNDLE_FORM}.")
    ] = "parquet",
    heads: HeadsChoice = CHOSEN,
    splits: Annotated[str, option(help="Splits to export: train, test or both.")] = SPLITS,
    selection: SelectionOption = None,
    readout: Annotated[
        str | None,
        option(
            metavar="NAME",
            help=f"Readout of --to classifier: {', '.join(READOUT_NAMES)}, or a Python file.",
        ),
    ] = None,
    subtask: Annotated[
        str | None,
        option(metavar="NAME", help="Only this subtask (or prompt) of --to classifier."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Parquet is written shard by shard; npz and safetensors need memory for all features.

    A classifier is a folder with its files, a model card and, if possible, predict.py, which
    needs no savs.
    """
    opened = pipeline.open_store(store)
    if to == BUNDLE_FORM:
        if (heads, splits) != (CHOSEN, SPLITS):
            raise typer.BadParameter("a classifier has its own heads; omit --heads and --splits")
        _export_classifier(opened, out, selection, readout, subtask, as_json=json)
        return
    for name, given in (("readout", readout), ("subtask", subtask)):
        if given is not None:
            raise typer.BadParameter(f"--{name} is for --to {BUNDLE_FORM}; omit it")
    wanted = find_heads(opened, heads, selection)
    path = pipeline.export(opened, out, wanted, splits.split(","), to)
    say_size(path, path.stat().st_size, len(wanted), as_json=json)


def _export_classifier(
    store: "FeatureStore",
    out: Path,
    selection: Path | None,
    readout: str | None,
    subtask: str | None,
    *,
    as_json: bool,
) -> None:
    from savs.pipeline.running.result_files import results_folder
    from savs.pipeline.selection.readouts import BUILT_IN, choose_readout

    rule = choose_readout(readout or "vote")
    own = None if rule in BUILT_IN.values() else rule  # a built-in one is found by its name
    source = selection or results_folder(store.path, rule.name)
    made = pipeline.write_bundle(store, source, out, readout=own, subtask=subtask)
    if as_json:
        print_json({"path": str(made.path), "files": list(made.files), "note": made.note})
    else:
        print_line(str(made.path))
    say(f"{', '.join(made.files)}")
    if made.note:
        say(made.note)
