"""A bundle: a classifier with a card and, where it can be run without savs, a program.

Nothing in it is pickled, and loading it runs nothing of it. The program, predict.py, puts one image
before one question and computes one readout at a time in float32. Where that would give other
predictions than savs, it is left out, and `why_not_standalone` names the reason.
"""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from savs.datasets.example import split_prompt
from savs.foundation.files import PARTIAL, left_overs_of
from savs.pipeline.classifying.bundle.card import model_card
from savs.pipeline.errors import ExportError
from savs.pipeline.running.result_files import (
    CLASSIFIER,
    CONFIG,
    as_folder,
    unfinished_result,
    whole_result,
    write_file,
)
from savs.pipeline.selection.readouts import Readout
from savs.pipeline.selection.selection import only_subtask
from savs.pipeline.selection.selection_config import SelectionConfig, load_config
from savs.pipeline.selection.selection_file import copy_selection, load_selection, save_selection
from savs.stores import ResultError
from savs.stores.format.layout import LOGIT_SCALE
from savs.stores.read.store import AnyStore, as_store

CARD = "README.md"
PREDICT = "predict.py"
BUNDLE = (CLASSIFIER, CONFIG, CARD, PREDICT)
"""The files of a bundle; predict.py may be missing."""
MARK = "bundle"
"""Stem of the unfinished file that a folder has until it has all files of a bundle."""
STANDALONE = ("vote", "posterior", "calm", "lda")
"""Readouts that predict.py computes."""
NOT_RECORDED = ("adapter", "code", "kwargs")
"""What changes a model and is never taken from a classifier."""
HOW = "`savs export STORE --to classifier --out DIR`"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was written."""

    path: Path
    """Its folder."""
    files: tuple[str, ...]
    """Names of its files."""
    note: str | None
    """Why it has no predict.py; None if it has one."""


def write_bundle(
    store: AnyStore,
    classifier: str | Path,
    out: str | Path,
    *,
    readout: str | Path | Readout | None = None,
    subtask: str | None = None,
) -> Bundle:
    """Write a classifier of a store as a folder that others can use.

    Parameters
    ----------
    store
        The store that it was selected from; its class counts are in the card.
    classifier
        Folder that `select` or `evaluate` wrote; metrics in it are in the card.
    out
        A folder that is empty or does not exist, or where an export was killed that ran on this
        host, since its last boot, and in this container.
    readout
        The readout of the classifier, where it is the user's own.
    subtask
        The only subtask of the classifier, e.g. one of several prompts; all by default.

    Raises
    ------
    ResultError
        The classifier, or an evaluation next to it, cannot be read.
    SelectionError
        The classifier has no such subtask.
    ExportError
        `out` has files.
    StoreWriteError
        `out` cannot be written.
    """
    store = as_store(store)
    folder, given = Path(out), as_folder(classifier)
    source = given.parent if given.name == CONFIG else given
    whole = load_selection(source, readout=readout)
    selection = only_subtask(whole, subtask)
    _require_free(folder)
    reason = why_not_standalone(selection)
    card = model_card(selection, store, source, reason, whole)
    with whole_result(folder), unfinished_result(folder / MARK, BUNDLE):
        write_file(folder / CARD, card.encode("utf-8"))
        if reason is None:
            write_file(folder / PREDICT, predict_program())
        save_selection(selection, folder) if subtask else copy_selection(source, folder)
    names = tuple(name for name in BUNDLE if (folder / name).exists())
    return Bundle(folder, names, None if reason is None else f"no {PREDICT}: {reason}")


def _require_free(folder: Path) -> None:
    """Raise ExportError if a folder has files, but for those of a bundle that was not finished."""
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set[str]()
    ours = {name for name in names if name in BUNDLE or name.endswith(PARTIAL)}
    if names and not (names == ours and left_overs_of(folder / MARK)):
        raise ExportError(f"{folder} has files, which would be replaced; pass an empty folder")


def bundle_files(folder: Path) -> list[Path]:
    """Return the files of a bundle, after its classifier was loaded and checked whole.

    Of a classifier with a user's readout only config.json is checked: the readout is not run.

    Raises
    ------
    ResultError
        It is not a bundle, or not as it was written.
    """
    if not folder.is_dir():
        raise ResultError(f"{folder} is not a folder; pass a bundle: {HOW}")
    absent = [name for name in (CONFIG, CLASSIFIER, CARD) if not (folder / name).is_file()]
    if absent:
        raise ResultError(f"{folder} is not a bundle: it has no {absent[0]}; write one: {HOW}")
    if load_config(folder).readout_file is None:
        load_selection(folder)
    return [folder / name for name in BUNDLE if (folder / name).is_file()]


def predict_program() -> bytes:
    """Return the content of predict.py."""
    return (files("savs.pipeline.classifying.bundle") / "files" / PREDICT).read_bytes()


def why_not_standalone(config: SelectionConfig) -> str | None:
    """Return why predict.py cannot run a classifier; None if it can."""
    if config.readout not in STANDALONE or config.readout_file is not None:
        return f"it computes {', '.join(STANDALONE)}, not {config.readout}"
    task, *others = config.tasks
    if others:
        return f"it answers one question, and the classifier has {len(config.tasks)} subtasks"
    if task.question is None:
        return "it asks one question, and the training examples had several"
    if task.media != 1:
        return "it reads one image for each prompt, and the training examples had other numbers"
    facts = config.source.model
    if LOGIT_SCALE in facts:
        return "it reads the heads of a language model, and this is a dual encoder"
    if facts.get("placeholders") or split_prompt(task.question, 1)[0] != 0:
        return "it puts the image before the question, and the prompt has it elsewhere"
    if found := [name for name in NOT_RECORDED if facts.get(name)]:
        return f"it runs the model as it is, and this one was loaded with: {', '.join(found)}"
    if config.source.processor.get("video"):
        return "it reads images, and training had videos, or was given `video`"
    if config.source.processor.get("jpeg_draft"):
        return "it decodes images whole, and training decoded them with `jpeg_draft`"
    return None
