"""`train`: from labelled images to a classifier, by extraction, selection and evaluation."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Unpack

import polars as pl

from savs.datasets.benchmarks.class_folders import (
    FOLDERS,
    class_folders,
    folder_kind,
    has_media,
)
from savs.datasets.benchmarks.general import GENERAL
from savs.datasets.benchmarks.options import stored_prompts, under_one_prompt
from savs.datasets.errors import SourceError
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import MediumKind
from savs.datasets.rows.files import TABLES_OF_FOLDERS, files_below
from savs.datasets.splits.labels import label_doubts
from savs.foundation.errors import ParameterError, command
from savs.foundation.files import real_path
from savs.foundation.network import HUB
from savs.pipeline.errors import SelectionError, WaitingForLabelsError
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.cross_validation import assess_left_out
from savs.pipeline.evaluation.evaluation import evaluate_method
from savs.pipeline.evaluation.evaluation_file import replace_evaluation
from savs.pipeline.evaluation.results import TRAINED, Results
from savs.pipeline.evaluation.suspects import save_suspects, suspects
from savs.pipeline.extraction.entry_points import follow
from savs.pipeline.extraction.model.model_options import ModelKeywords, ModelOptions
from savs.pipeline.extraction.run_options import RunOptions, TrainRunKeywords
from savs.pipeline.inputs.in_memory import Rows
from savs.pipeline.inputs.input_options import InputOptions, TrainInputKeywords
from savs.pipeline.names import IMPORTED, shows_defaults
from savs.pipeline.readouts import Readout, choose_readout
from savs.pipeline.running.formatting import counted
from savs.pipeline.running.option_texts import parse_model
from savs.pipeline.running.options import Option
from savs.pipeline.running.progress import SILENT, Reporting, bars
from savs.pipeline.running.result_files import require_writable
from savs.pipeline.selection.left_out import calibrate
from savs.pipeline.selection.readout_choice import choose_readout_by_folds
from savs.pipeline.selection.selection import Heads, Selection, parse_heads
from savs.pipeline.selection.selection_file import write_selection
from savs.pipeline.targets import labels_of
from savs.stores import FeatureStore
from savs.stores.files.addresses import is_remote
from savs.stores.format.layout import MANIFEST, UNLABELLED
from savs.stores.read.store import as_store

ENOUGH = 20
"""Test examples from which their accuracy is the one to expect: of fewer, intervals are wide."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A classifier, what it was made from, and how good it will be."""

    store: FeatureStore
    """The features."""
    selection: Selection
    """The classifier, calibrated if the examples suffice."""
    folder: Path
    """Where it was saved; `classify` takes it, or the store."""
    tested: Evaluation | None = field(repr=False)
    """What `evaluate` says of the test examples that have a label; None without any."""
    left_out: Evaluation | None = field(repr=False)
    """Cross-validation on the training examples, in which the readout is chosen anew; None if they
    are too few."""
    accuracies: dict[str, float]
    """Readout -> accuracy by cross-validation, of those that were tried; empty if one was given."""
    suspects: pl.DataFrame = field(repr=False)
    """Training examples whose label a classifier of the others contradicts, see `suspects`."""
    skipped: tuple[tuple[str, str, str], ...] = ()
    """`(split, id, reason)` of what could not be read."""
    notes: tuple[str, ...] = ()
    """What a user should know, a sentence each."""

    @property
    def expected(self) -> Evaluation:
        """The accuracy to expect: on test examples, or by cross-validation if these are few.

        Cross-validation measures classifiers of a part of the examples, see `train_shares`.
        SelectionError if neither could be done; `tested` and `left_out` are None then.
        """
        if self.tested is not None and self.tested.examples >= ENOUGH:
            return self.tested
        estimate = self.left_out or self.tested
        if estimate is None:
            raise SelectionError(
                f"{self.store.path}: too few labelled examples to estimate the accuracy; add"
                " examples, or a test split, and train again"
            )
        return estimate

    def __repr__(self) -> str:
        """Return a few lines: the classifier, its accuracy, and what comes next."""
        lines = [f"Trained({self.selection.readout}, {self.store!r})"]
        if self.left_out or self.tested:
            metric = self.expected.metrics[0]
            lines.append(
                f"  {metric.name} {metric.value:.3f} ({metric.low:.3f} .. {metric.high:.3f})"
                f"{self.expected.measured_of}"
            )
        is_imported = self.selection.model.get("class") == IMPORTED
        images = f"savs.classify({str(self.store.path)!r}, IMAGES)"
        lines.append(
            f"  next: {'savs.evaluate(STORE, trained.selection)' if is_imported else images}"
        )
        return "\n".join(lines)


class TrainOptions(TrainInputKeywords, ModelKeywords, TrainRunKeywords, total=False):
    """What `train` passes on to `extract`."""


@shows_defaults
def train(
    source: Annotated[Rows, Option(metavar="IMAGES|STORE")],
    *,
    question: Annotated[str | Sequence[str] | None, Option(level="python")] = None,
    model: Annotated[
        str | Path | None,
        Option(metavar="ID[@REVISION]", parse=parse_model, fills={"revision": "ID@REVISION"}),
    ] = None,
    out: Annotated[str | Path | None, Option(metavar="STORE")] = None,
    readout: Annotated[str | Path | Readout | None, Option(metavar="NAME")] = None,
    heads: Annotated[Heads | None, Option(metavar="N|all|L12.H7,...|DIR")] = None,
    allow_removed: Annotated[bool, Option(level="python")] = False,
    verbose: bool = False,
    reporting: Reporting = SILENT,
    **options: Unpack[TrainOptions],
) -> Trained:
    """Make a classifier: extract features, select heads, choose a readout, say how good it is.

    Parameters
    ----------
    source
        Folder of class folders, a table with image and label, or a store to train on again.

        A folder with one folder of images or sounds per class, and maybe a folder `unlabelled`; a
        table of media and labels (see the benchmark `general`), which may be a frame in memory; or
        a store, whose training examples are taken as they are: no model runs then.
    question
        The prompt of all images, or several.
    model
        Model: a Hugging Face id, with @ also a branch, tag or commit; a local folder; or demo.
    out
        Folder of features and classifier (default: photos-savs for photos).

        Next to the folder `photos`, or a table `photos.csv`. If it is there already, its examples
        of this source become the present ones: only new and edited images are read. Examples of
        other sources stay.
    readout
        Readout, see `savs select --readout` (default: the best of
        `DEFAULT_TRIED_READOUTS` by cross-validation; of numbers `DEFAULT_READOUT_OF_NUMBERS`).
    heads
        Heads to use: the N best (default: `DEFAULT_HEADS`), all, a list, or those of a saved
        selection.
    allow_removed
        Train although a class, or more than half of the images, is gone since.
    verbose
        Print messages and a progress bar.
    reporting
        Receives them instead.
    **options
        Those of `extract`, such as `shots`, `test`, `unlabelled` and `media_root`. With `shots`,
        that many images per class are trained on, and the others are the test examples.

    Raises
    ------
    ParameterError
        An argument has no meaning for a store, or `model` is missing, or `out` of images without
        a name.
    SelectionError
        There are too few training examples, or one class only; `WaitingForLabelsError` if all
        images still wait for a label.
    SavsError
        As `extract` and `select`.
    """
    of_store = isinstance(source, FeatureStore) or is_store(source)
    if not of_store and out is None:
        out = default_store(source)
    _require_folder(source, out)
    if not of_store:
        _require_apart(source, out)
    place: Any = getattr(source, "path", source) if of_store else out
    if place is not None:  # what has no name is said below
        require_writable(Results(Path(place)).place(TRAINED).folder)
    rule, heads = asked_of(readout, heads, None if of_store else options)
    reporting = bars() if verbose else reporting
    skipped: tuple[tuple[str, str, str], ...] = ()
    if of_store:
        of_images = {"out": out, "model": model, "question": question, **options}
        _require_no_images(source, of_images | ({"allow_removed": True} if allow_removed else {}))
        store = as_store(source)
        facts = store.manifest.identity.benchmark
        once = under_one_prompt(store.examples("train"), stored_prompts(facts))
        notes = label_doubts(once, kind=labels_of(facts).kind)
    else:
        store, skipped, notes = _extract(
            source, out, model, allow_removed, reporting, {**options, "question": question}
        )
    store.require_complete()
    if not of_store and not store.ids("train") and (waiting := len(store.ids(UNLABELLED))):
        suggest = command("savs", "suggest", store.path, "--out", "next.html")
        raise WaitingForLabelsError(
            f"{counted(waiting, 'example')} read and stored in {store.path}; no example has a label"
            f" yet. next: {suggest}, then savs label, then {command('savs', 'train', store.path)}"
        )
    readouts = () if rule is None else (rule,)
    choice = choose_readout_by_folds(store, heads=heads, readouts=readouts)
    selection, doubtful = choice.selection, None
    with suppress(SelectionError):  # too few examples: `choice.note` says so
        calibration = calibrate(store, selection)
        selection = calibration.selection
        if not selection.target.refusal("a list of suspects", store.path):
            doubtful = suspects(
                store, selection, assess_left_out(store, selection, calibration.left_out)
            )
    has_test = store.ids("test") and store.examples("test")["label"].is_not_null().any()
    tested = evaluate_method(store, selection) if has_test else None
    left_out = assess_left_out(store, selection, choice.left_out) if choice.left_out else None
    trained = Results(store.path).place(TRAINED)
    with trained.writing() as new:
        write_selection(selection, new)
        # an earlier training may have had test examples, or enough examples for folds
        save_suspects(doubtful, new)
        replace_evaluation(tested, new)
    with trained.of_folds.writing() as new:
        replace_evaluation(left_out, new)
    return Trained(
        store=store,
        selection=selection,
        folder=trained.folder,
        tested=tested,
        left_out=left_out,
        accuracies=choice.accuracies,
        suspects=pl.DataFrame() if doubtful is None else doubtful,
        skipped=skipped,
        notes=(*notes, *filter(None, [choice.note])),
    )


def asked_of(
    readout: str | Path | Readout | None, heads: Heads | None, extraction: Mapping[str, Any] | None
) -> tuple[Readout | None, Heads | None]:
    """Return the readout and heads to train with, so that wrong ones are told before a model runs.

    `extraction` has the options of what is to be stored; None where it is stored already. Errors
    as in `choose_readout` and `parse_heads`; ParameterError for a readout of answers or class texts
    that will not be there.
    """
    rule = None if readout is None else choose_readout(readout)
    if rule is not None and extraction is not None:
        answers = (extraction.get("answers") or "").split(",")
        missing, option = "", ""
        if rule.answers and "labels" not in answers:
            missing, option = "the model's own answers", "--answers labels"
        elif rule.texts and extraction.get("classes") is None:
            missing, option = "texts of the classes", "--classes labels"
        if missing:
            raise ParameterError(
                f"readout {rule.name!r} reads {missing}, which are kept only if they are asked for;"
                f" use `{command('savs', 'extract')}` with {option}, then"
                f" `{command('savs', 'train', 'STORE')} --readout {rule.name}`"
            )
    return rule, parse_heads(heads)


def extract_share(
    source: str | Path,
    *,
    out: str | Path | None,
    model: str | Path | None,
    allow_removed: bool,
    reporting: Reporting,
    **options: Any,
) -> None:
    """Extract the examples that no other process has claimed, as `train` does before it selects."""
    _require_apart(source, out)
    _extract(source, out, model, allow_removed, reporting, options)


def _require_no_images(store: Any, arguments: Mapping[str, Any]) -> None:
    """Raise ParameterError if an argument that is about images was passed with a store."""
    kinds = (InputOptions, ModelOptions, RunOptions)
    optional = [one for kind in kinds for one in fields(kind) if one.default is not MISSING]
    defaults = {one.name: one.default for one in optional}
    wrong = [name for name, value in arguments.items() if value != defaults.get(name)]
    if wrong:
        raise ParameterError(
            f"`{wrong[0]}` is for images, and {store} is a store of features; omit it, or pass the"
            " images"
        )


def default_store(source: Any) -> Path | None:
    """Return the folder of the store of images for which none is given, next to them.

    None if they have no name. SourceError if they are not there.
    """
    if not isinstance(source, str | Path) or "://" in str(source):
        return None
    if not Path(source).exists() and not any(sign in str(source) for sign in "*?["):
        raise SourceError(f"{source} does not exist; check the path")
    path = Path(source)
    if path.name in ("", ".."):
        path = path.resolve()  # the folder that is worked in, say
    name = path.name if path.is_dir() else path.name.partition(".")[0]
    return path.with_name(f"{name}-savs") if name and name.strip("*?[]") == name else None


def _require_folder(source: Any, out: str | Path | None) -> None:
    """Raise ParameterError for a store at a URL, before a model runs: results need a folder."""
    if isinstance(source, FeatureStore):
        place, is_url = source.path, is_remote(source.path)
    else:
        place = source if out is None else out
        is_table = place is source and str(source).startswith(HUB)
        is_url = isinstance(place, str) and "://" in place and not is_table
    if is_url:
        raise ParameterError(
            f"{place} is no folder, where the classifier is saved; use `savs extract`, then"
            f" `{command('savs', 'select', place, '--out', 'DIR')}`"
        )


def _require_apart(source: Any, out: Any) -> None:
    """Raise ParameterError if a store would lie among the images, whose folders are classes."""
    if out is None or "://" in str(out) or not is_media_folder(source):
        return
    if real_path(Path(out)).is_relative_to(real_path(Path(source))):
        raise ParameterError(
            f"`out` is {out}, which lies in {source}, whose folders are classes; pass a folder"
            " elsewhere as `out`"
        )


def is_store(source: Any) -> bool:
    """Return whether a source is the folder of a store."""
    return isinstance(source, str | Path) and (Path(source) / MANIFEST).is_file()


def _extract(
    source: Any,
    out: str | Path | None,
    model: str | Path | None,
    allow_removed: bool,
    reporting: Reporting,
    options: Mapping[str, Any],
) -> tuple[FeatureStore, tuple[tuple[str, str, str], ...], list[str]]:
    """Extract the features of labelled images and of the other examples; return notes, too."""
    if out is None or model is None:
        name = "model" if model is None else "out"
        raise ParameterError(
            f"`{name}` is missing: training on images needs a model and a place for the features"
        )
    shots, test = options.get("shots"), options.get("test")
    drawn = shots is not None and test is None
    splits = {"test": source} if drawn else {"train": source, "test": test}
    folder = Path(source) if is_media_folder(source) else None
    kind = IMAGES if folder is None else folder_kind(folder)
    benchmark = FOLDERS[kind]
    if folder is not None and not class_folders(folder):
        _require_deep_enough(folder, benchmark.name, kind)
        splits = {UNLABELLED: source}  # all labels are still to come
    done = follow(
        GENERAL.name if folder is None else benchmark.name,
        model=model,
        out=out,
        reporting=reporting,
        allow_removed=allow_removed,
        thumbnails=True,
        **{**options, **{name: value for name, value in splits.items() if value is not None}},
    )
    notes = list(done.warnings)
    if folder is not None and options["question"] is None:
        notes.append(f"the question is {kind.question!r}; pass `question` to ask what you look for")
    return done.store, tuple(done.skipped), notes


def is_media_folder(source: Any) -> bool:
    """Return whether a source is a folder of media, and no table; stores in it do not count."""
    if not isinstance(source, str | Path) or not Path(source).is_dir():
        return False
    names = files_below(Path(source))
    tables = (Path(source, name) for name in names if name.endswith(TABLES_OF_FOLDERS))
    return not any(
        not any((folder / MANIFEST).is_file() for folder in file.parents) for file in tables
    )


def _require_deep_enough(folder: Path, benchmark: str, kind: MediumKind) -> None:
    """Raise ParameterError for a class folder in place of the folder that has all of them.

    It is one if all folders next to it have media, and none lie between them.
    """
    name, above = folder.absolute().name, folder.absolute().parent
    with suppress(SourceError):  # what lies above may be closed
        classes = class_folders(above)
        if name not in classes or len(classes) < 2 or has_media(above, kind):
            return
        if not all(has_media(above / other, kind) for other in classes):
            return
        raise ParameterError(
            f"{folder} has no class folders, and {above} has: pass that one. If the"
            f" {kind.noun}s of {folder} wait for a label: "
            + command("savs", "extract", benchmark, "--unlabelled", folder)
        )
