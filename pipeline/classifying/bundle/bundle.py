"""A bundle: a classifier with a card and, if it can run without savs, a program.

Nothing in it is pickled, and loading it runs nothing of it. The program, predict.py, puts one image
before one question and computes one readout at a time in float32. Where that would give other
predictions than savs, it is left out, and `why_not_standalone` names the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from savs.datasets.example import split_prompt
from savs.datasets.media_kinds.catalogue import KINDS
from savs.datasets.media_kinds.medium import IMAGE_COLUMN
from savs.foundation.files import PARTIAL, left_overs
from savs.pipeline.classifying.bundle import guard
from savs.pipeline.classifying.bundle.card import Shared, model_card, space_card
from savs.pipeline.classifying.model_match import is_imported
from savs.pipeline.demo import DEMO_MODEL, DEMO_NAME
from savs.pipeline.errors import ExportError
from savs.pipeline.evaluation.results import Result
from savs.pipeline.extraction.effects import fields_in_identity
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.readouts import BUILT_IN, Readout
from savs.pipeline.running.result_files import (
    CLASSIFIER,
    CONFIG,
    unfinished_result,
    write_file,
)
from savs.pipeline.selection.compatibility import require_fit
from savs.pipeline.selection.selection import only_subtask
from savs.pipeline.selection.selection_config import (
    SelectionConfig,
    load_config,
)
from savs.pipeline.selection.selection_file import copy_selection, load_selection, write_selection
from savs.stores import ResultError
from savs.stores.format.layout import CARD, HEADS_SITE, IMAGE_OUTPUTS, LOGIT_SCALE
from savs.stores.read.store import AnyStore, as_store

PREDICT = "predict.py"
BUNDLE = (CLASSIFIER, CONFIG, CARD, PREDICT)
"""The files of a bundle; predict.py may be missing."""
APP, GUARD, REQUIREMENTS, LOCAL_MODEL = "app.py", "guard.py", "requirements.txt", "model"
SHIPPED_MODEL = tuple(
    f"{LOCAL_MODEL}/{path.name}"
    for path in sorted(DEMO_MODEL.iterdir())
    if path.name != "training.jsonl"
)
"""The files of the demo model in a Space: it is on no hub."""
SPACE = (*BUNDLE, APP, GUARD, REQUIREMENTS)
"""The files of a Space, but for those of a model."""
WRITTEN = (*SPACE, *SHIPPED_MODEL)
"""All files that an export may write."""
MARK = "bundle"
"""Stem of the unfinished file that a folder has until it has all files of a bundle."""
STANDALONE = tuple(
    name
    for name, rule in BUILT_IN.items()
    if rule.answers or (rule.load is None and not rule.texts)
)
"""Readouts that predict.py computes: a `HeadsFit` of images, and the model's own answers."""
NOT_RECORDED = ("adapter", "checkpoint_code", "code", "kwargs")
"""What changes a model and is never taken from a classifier."""
HOW = "`savs export STORE --to classifier --out DIR`"
HOW_SPACE = "`savs export STORE --to space --out DIR`"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was written."""

    path: Path
    """Its folder."""
    files: tuple[str, ...]
    """Names of its files."""
    note: str | None
    """Why it has no predict.py, or what a Space still needs; None if it has all."""


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
        The classifier has no such subtask, or many labels.
    ExportError
        `out` has files.
    StoreWriteError
        `out` cannot be written.
    """
    shared = _shared(store, classifier, readout, subtask)
    _require_free(Path(out))
    reason = why_not_standalone(shared.selection)
    files = {CARD: model_card(shared, reason).encode("utf-8")}
    if reason is None:
        files[PREDICT] = _program(PREDICT)
    names = _write(shared, Path(out), files)
    return Bundle(Path(out), names, None if reason is None else f"no {PREDICT}: {reason}")


def write_space(
    store: AnyStore,
    classifier: str | Path,
    out: str | Path,
    *,
    subtask: str | None = None,
    title: str | None = None,
) -> Bundle:
    """Write a classifier as a Space of the Hugging Face Hub: a page that classifies images.

    The Space is a bundle with app.py and what it needs, and front matter. It needs no savs. It has
    no training image. The model is that of the Hub at the recorded commit; the demo model is in the
    folder `model`, and the files of another local model belong there.

    Parameters
    ----------
    store, classifier, out
        As for `write_bundle`.
    subtask
        The only subtask of the classifier; it must be given if there are several.
    title
        Of the page; by default the name of the folder.

    Raises
    ------
    ExportError
        predict.py cannot run the classifier, or `out` has files.
    ResultError, SelectionError, StoreWriteError
        As for `write_bundle`.
    """
    shared, folder = _shared(store, classifier, None, subtask), Path(out)
    tasks = shared.selection.run_tasks
    if len(tasks) > 1:
        raise ExportError(
            f"a Space asks one question, and {shared.source} has {len(tasks)} subtasks; pass"
            f" `subtask`, one of {', '.join(str(task.subtask) for task in tasks)}"
        )
    if reason := why_not_standalone(shared.selection):
        raise ExportError(
            f"{shared.source} cannot be a Space, which runs {PREDICT}: {reason}; share it as a"
            f" bundle: {HOW}"
        )
    _require_free(folder)
    facts = shared.selection.model
    is_demo = facts.get("name") == DEMO_NAME
    note = None
    if facts.get("revision") is None and not is_demo:
        note = (
            f"the model is a local folder: put its files into {folder / LOCAL_MODEL}, or set the"
            " variable MODEL of the Space to its name on the Hub"
        )
    files = {
        CARD: space_card(shared, title or folder.resolve().name).encode("utf-8"),
        **{name: _program(name) for name in (PREDICT, APP, REQUIREMENTS)},
        GUARD: Path(guard.__file__).read_bytes(),
    }
    if is_demo:
        files |= {name: (DEMO_MODEL / Path(name).name).read_bytes() for name in SHIPPED_MODEL}
    return Bundle(folder, _write(shared, folder, files), note)


def _shared(
    store: AnyStore,
    classifier: str | Path,
    readout: str | Path | Readout | None,
    subtask: str | None,
) -> Shared:
    opened, result = as_store(store), Result.at(classifier)
    source, whole = result.folder, result.selection(readout)
    whole.target.require("a bundle", source)
    require_fit(whole, opened.manifest, opened.path, of=source)
    if subtask is not None:
        whole.target.require("a subtask", source)
    return Shared(opened, source, whole, only_subtask(whole, subtask))


def _write(shared: Shared, folder: Path, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Write the files and the classifier, all or none; return their names."""
    with unfinished_result(folder / MARK, WRITTEN):
        for name, content in files.items():
            write_file(folder / name, content)
        if len(shared.selection.tasks) < len(shared.whole.tasks):
            write_selection(shared.selection, folder)
        else:
            copy_selection(shared.source, folder)
    return tuple(name for name in WRITTEN if (folder / name).exists())


def _require_free(folder: Path) -> None:
    """Raise ExportError if a folder has files, but for those of an export that was not finished."""
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set[str]()
    if LOCAL_MODEL in names and (folder / LOCAL_MODEL).is_dir():
        names.remove(LOCAL_MODEL)
        names |= {f"{LOCAL_MODEL}/{entry.name}" for entry in (folder / LOCAL_MODEL).iterdir()}
    ours = {name for name in names if name in WRITTEN or name.endswith(PARTIAL)}
    if names and not (names == ours and left_overs(folder, MARK)):
        raise ExportError(f"{folder} has files, which would be replaced; pass an empty folder")


def bundle_files(folder: Path) -> list[Path]:
    """Return the files of a bundle, after its classifier was loaded and checked whole.

    Of a classifier with a user's readout only config.json is checked: the readout is not run.
    ResultError if it is not a bundle, or not as it was written.
    """
    if not folder.is_dir():
        raise ResultError(f"{folder} is not a folder; pass a bundle: {HOW}")
    absent = [name for name in (CONFIG, CLASSIFIER, CARD) if not (folder / name).is_file()]
    if absent:
        raise ResultError(f"{folder} is not a bundle: it has no {absent[0]}; write one: {HOW}")
    if load_config(folder).readout_file is None:
        load_selection(folder)
    return [folder / name for name in BUNDLE if (folder / name).is_file()]


def space_files(folder: Path) -> list[Path]:
    """Return the files of a Space, and those in its folder `model`, checked as `bundle_files` does.

    ResultError if it is not a Space, or not as it was written.
    """
    ours = bundle_files(folder)
    absent = [name for name in SPACE if not (folder / name).is_file()]
    if absent:
        raise ResultError(f"{folder} is not a Space: it has no {absent[0]}; write one: {HOW_SPACE}")
    model = sorted(path for path in (folder / LOCAL_MODEL).rglob("*") if not path.is_dir())
    return [*ours, folder / APP, folder / GUARD, folder / REQUIREMENTS, *model]


def _program(name: str) -> bytes:
    return (files("savs.pipeline.classifying.bundle") / "files" / name).read_bytes()


def why_not_standalone(config: SelectionConfig) -> str | None:
    """Return why predict.py cannot run a classifier; None if it can."""
    if config.readout not in STANDALONE or config.readout_file is not None:
        return f"it computes {', '.join(STANDALONE)}, not {config.readout}"
    if not config.target.is_standalone:
        return f"it does not predict {config.target.noun}"
    if is_imported(config):
        return "it runs a model, and another program computed these features"
    task, *others = config.run_tasks
    if others:
        return f"it answers one question, and the classifier has {len(config.tasks)} subtasks"
    if task.question is None:
        return "it asks one question, and the training examples had several"
    if task.media != 1:
        return "it reads one image for each prompt, and the training examples had other numbers"
    facts = config.source.model
    if LOGIT_SCALE in facts:
        return "it reads the heads of a language model, and this is a dual encoder"
    if IMAGE_OUTPUTS in facts:
        return "it reads the heads of a language model, and this is an image encoder"
    if config.source.site != HEADS_SITE:
        return f"it reads attention heads, and the classifier chose from: {config.source.site}"
    if facts.get("embedding"):
        return "it reads the heads of a language model, and this is an embedding model"
    if facts.get("placeholders") or split_prompt(task.question, 1)[0] != 0:
        return "it puts the image before the question, and the prompt has it elsewhere"
    changing = (*NOT_RECORDED, *fields_in_identity(ModelOptions))
    if changed := [name for name in changing if facts.get(name) is not None]:
        return f"it runs the model as it is, and this one was loaded with: {', '.join(changed)}"
    for kind in KINDS:
        if config.source.processor.get(next(iter(kind.recorded), "")):
            given = f", or was given `{kind.noun}`" if kind.column == IMAGE_COLUMN else ""
            return f"it reads images, and training had {kind.noun}s{given}"
    if config.source.processor.get("jpeg_draft"):
        return "it decodes images whole, and training decoded them with `jpeg_draft`"
    return None
