"""`savs export`: a classifier, its page or a small store for others, or features for programs."""

from typing import TYPE_CHECKING, Any

import savs
from savs.foundation.errors import command
from savs.foundation.network import HUB_DATASETS, HUB_SPACES
from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown
from savs.pipeline.names import BUNDLE_FORM, IMPORTED, SPACE_FORM, STORE_FORM
from savs.pipeline.running.formatting import counted, format_bytes

if TYPE_CHECKING:
    from savs.pipeline.classifying.exporting import Exported


def show(done: "Exported", options: Options) -> Shown:
    """Word the files, and how they are used."""
    name, is_upload = done.name or str(done.path), done.name is not None
    if done.files:
        facts: dict[str, Any] = {"path": name, "files": list(done.files)}
        facts["note"] = done.notes[0] if done.notes else None
        messages = [", ".join(done.files), *done.notes]
    else:
        facts = {"path": name, "bytes": done.bytes, "heads": done.heads}
        messages = [*done.notes, f"{counted(done.heads, 'head')}, {format_bytes(done.bytes)}"]
    if is_upload:
        facts = {"name": name, "address": done.address, "commit": done.commit}
    messages += _uses(done, name, options)
    return Shown(facts=facts, data=[str(done.address or name)], messages=messages)


def _uses(done: "Exported", name: str, options: Options) -> list[str]:
    if options["media_root"] is not None:
        open_it = f"open it as: embedding-atlas {name} --vector vector --image image"
        if not done.missing:
            return [open_it]
        return [
            f"{done.missing:,} of {counted(done.rows, 'example')} have no picture: the file is not"
            " in `media_root`, cannot be read, or its content was changed",
            open_it,
        ]
    if done.form == BUNDLE_FORM:
        model = savs.open_store(options["store"]).manifest.identity.model
        words = ["classify", name, "IMAGES"]
        if model.get("class") == IMPORTED:
            words = ["evaluate", "NEW", "--selection", name]
        return ["use it as: " + command("savs", *words)]
    if done.form == SPACE_FORM and done.name is not None:
        return [f"the page: {done.address}"]
    if done.form == SPACE_FORM:
        install = command("pip", "install", "-r", f"{name}/requirements.txt")
        run = command("python", f"{name}/app.py")
        return [f"use it as: {install}; {run}; or upload it with --to {HUB_SPACES}OWNER/NAME"]
    if done.form == STORE_FORM:
        from savs.pipeline.classifying.bundle.card import evaluation_of

        place, first = name, ""
        if done.name is not None:
            place, repository = "STORE", name.removeprefix(HUB_DATASETS)
            first = f"hf download {repository} --repo-type dataset --local-dir STORE; "
        return [f"use it as: {first}{evaluation_of(place, done.selections)}"]
    return []


COMMAND = Command(
    function="savs.pipeline.classifying.exporting:export",
    about="A classifier is a folder with a model card and predict.py, which needs no savs.\n\nA"
    " space has a web page, too: run its app.py, or upload it to Hugging Face Spaces. Uses"
    " HF_TOKEN or the saved login for the Hub.",
    examples=(
        "savs export pets --to classifier --out pets-classifier",
        "savs export pets --to space --out pets-space",
        "savs export pets --to store --heads chosen --out pets-small",
        "savs export pets --to parquet --heads L3.H2,L4.H0 --out heads.parquet",
        "savs export pets --to parquet --media-root photos --out pets.parquet",
    ),
    show=show,
)
