"""`savs app`: a page in the browser to classify, label, and look at results."""

from pathlib import Path
from typing import Annotated

import typer

from savs.foundation.network import HUB
from savs.pipeline.cli.options.fields import expand_options
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import (
    ClassifierDtypeOption,
    ClassifierModelOption,
    ClassifierRevisionOption,
    MediaRootOption,
    SelectionOption,
    advanced,
    option,
    require_folder,
)
from savs.pipeline.cli.output import print_json, say, spelled
from savs.pipeline.extraction.model.model_options import PlacingKeywords

EXAMPLES = (
    "savs app pets --media-root photos",
    "savs app pets --port 8000",
    "savs app pets-classifier",
)


@expand_options
def app_command(
    place: Annotated[
        str,
        typer.Argument(
            metavar="STORE|CLASSIFIER",
            help="Feature store, folder of a classifier, or hf://owner/name.",
            show_default=False,
        ),
    ],
    placing: PlacingKeywords,
    media_root: MediaRootOption = None,
    selection: SelectionOption = None,
    host: Annotated[
        str, option(metavar="ADDRESS", help="Address to listen on: other machines reach 0.0.0.0.")
    ] = "127.0.0.1",
    port: Annotated[int, option(min=1, help="Port to listen on.")] = 7860,
    share: Annotated[
        bool,
        advanced("--share", help="Make a public address, by a server of Hugging Face (Gradio)."),
    ] = False,
    model: ClassifierModelOption = None,
    revision: ClassifierRevisionOption = None,
    dtype: ClassifierDtypeOption = None,
    json: JsonOption = False,
) -> None:
    """Serves this machine alone, and sends nothing elsewhere. Ctrl-C ends it.

    Without torch, it labels and shows results. The model is loaded once, with the first image.
    """
    from savs.pipeline.app.server import require_app_extra, serve
    from savs.pipeline.app.workspace import Workspace

    require_app_extra()
    require_folder(media_root)
    folder, store = _find(place, selection)
    loading = {"model": model, "revision": revision, "dtype": dtype, "placing": placing}
    workspace = Workspace(folder, store, media_root, loading, spelled)
    started = (lambda address: print_json({"address": address})) if json else None
    serve(workspace, host=host, port=port, share=share, say=say, started=started)


def _find(place: str, selection: str | None) -> tuple[Path, Path | None]:
    """Return the folder of a classifier, and its store; None for a classifier alone."""
    from savs.foundation.files import real_path
    from savs.pipeline.classifying.bundle.hub import find_classifier
    from savs.pipeline.evaluation.results import Results
    from savs.pipeline.selection.compatibility import require_fit
    from savs.pipeline.selection.selection_config import load_config
    from savs.pipeline.targets import target_of
    from savs.stores import open_store
    from savs.stores.format.layout import MANIFEST

    if (store := Path(place) / MANIFEST).exists():
        path = store.parent
        opened = open_store(path)
        target = target_of(opened.manifest.identity.benchmark)
        results = Results(path)
        if selection is None and not results.selected:
            return results.place(target.default_readout).folder, path
        folder = results.find(selection).folder
        config = load_config(folder)
        config.target.require("the app", folder)
        require_fit(config, opened.manifest, path, of=folder)
        return folder, path
    if selection is not None:
        raise typer.BadParameter(f"`selection` is for a store; {place} is none")
    if "://" in place and not place.startswith(HUB):
        raise typer.BadParameter(f"the app reads folders of this machine; copy {place} here first")
    folder = find_classifier(place, say).folder
    load_config(folder)  # that it is a classifier is said now
    home = real_path(folder).parent.parent
    return folder, home if (home / MANIFEST).exists() else None
