"""`savs models`: the architectures that work, and a test of a checkpoint."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Unpack

import savs
from savs.foundation.errors import ParameterError
from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown, pairs
from savs.pipeline.extraction.model.model_options import CheckedKeywords, ModelKeywords
from savs.pipeline.names import DEFAULT_BATCH_SIZE
from savs.pipeline.running.option_texts import parse_against, parse_model
from savs.pipeline.running.options import Option
from savs.pipeline.running.progress import SILENT, Reporting
from savs.pipeline.running.table import Table
from savs.stores.errors import ResultError

if TYPE_CHECKING:
    from savs.pipeline.extraction.check_model import Checkup


def models(
    model: Annotated[
        str | None,
        Option(metavar="[CHECKPOINT]", parse=parse_model, fills={"revision": "ID@REVISION"}),
    ] = None,
    *,
    against: Annotated[
        str | None,
        Option(
            metavar="STORE|RESULT", parse=parse_against, fills={"selection": "STORE/results/NAME"}
        ),
    ] = None,
    media_root: Annotated[str | None, Option(metavar="DIR")] = None,
    selection: Annotated[str | None, Option(level="python")] = None,
    batch_size: Annotated[int, Option(level="python")] = DEFAULT_BATCH_SIZE,
    reporting: Reporting = SILENT,
    **loading: Unpack[ModelKeywords],
) -> "dict[str, Any] | Checkup":
    """Return the architectures and how they were tested, or the test of a checkpoint.

    Parameters
    ----------
    model
        Hugging Face id, folder, or demo: test it.
    against
        Compare with a store instead: run some of its examples, and compare the predictions of its
        classifier, or of a result such as STORE/results/vote.
    media_root
        Folder of the store's images, with `against`.
    selection
        Classifier to compare with: a name in STORE/results, or a folder (default: trained, vote, or
        the only one).
    batch_size
        Largest batch size to test.
    """
    if model is None:
        return _families()
    if against is None:
        if media_root or selection:
            raise ParameterError("`media_root` is for `against`; add it")
        from savs.pipeline.extraction.entry_points import check_model

        reporting.say(f"loading {model}")
        return check_model(model, batch_size, **loading)
    if media_root is not None and not Path(media_root).is_dir():
        raise ParameterError(f"`media_root` is {media_root!r}, which is not a folder")
    from savs.pipeline.classifying.store_match import compare_with_store
    from savs.pipeline.evaluation.results import Results

    store = savs.open_store(against)
    try:
        classifier = Results(store.path).find(selection).selection()
    except ResultError:
        if selection is not None:
            raise
        classifier = None
    return compare_with_store(
        model,
        store,
        media_root=media_root,
        selection=classifier,
        reporting=reporting,
        **loading,
    )


def _families() -> dict[str, Any]:
    from importlib.resources import files

    return json.loads(
        files("savs.pipeline.extraction").joinpath("families.json").read_text("utf-8")
    )


def show(done: Any, _: Options) -> Shown:
    """Word the list, or the checks."""
    if isinstance(done, dict):
        return _shown_families(done)
    marks = {True: "yes", False: "NO", None: "-"}
    rows = [[check.name, marks[check.passed]] for check in done.checks]
    facts = [[name, str(text)] for name, text in done.facts.items()]
    messages = [f"{check.name}: {check.what}" for check in done.checks]
    return Shown(
        facts=done.to_json(),
        data=[*pairs(facts), Table.of_cells(["check", "holds"], rows)],
        messages=[*messages, done.verdict],
        exit_code=0 if done.passed else exits.FAILURE,
    )


def _shown_families(report: dict[str, Any]) -> Shown:
    rows = []
    for f in report["families"]:
        # inputs next to text, with the status of untested ones
        reads = [k if how == "verified" else f"{k} ({how})" for k, how in f["reads"].items()]
        missing = [name for name, how in f["sites"].items() if how != "read"]  # --json says why
        sites = f"all but {', '.join(missing)}" if missing else "all" if f["sites"] else ""
        rows.append([f["family"], f["status"], ", ".join(reads), f["sharing"], sites, f["what"]])
    columns = ["family", "status", "reads", "computed once", "sites", "details"]
    message = (
        f"{len(rows)} architectures, tested with transformers {report['transformers']}; test a"
        " checkpoint: savs models CHECKPOINT"
    )
    table = Table.of_cells(columns, rows, are_texts=True)
    return Shown(facts=report, data=[table], messages=[message])


COMMAND = Command(
    function="savs.pipeline.cli.commands.models:models",
    about="Tests a checkpoint: runs generated images one by one and in batches, compares the"
    " features.\n\nWith --against STORE: runs some of the store's examples, and compares with its"
    " features and with the predictions of its classifier.\n\nExits with code 1 if a check fails.",
    examples=(
        "savs models",
        "savs models demo",
        "savs models demo --against pets --media-root photos",
    ),
    kinds=(CheckedKeywords,),
    allows=("remote-code",),
    show=show,
)
