"""`classify`: the chosen heads of new images are extracted, and predictions are read from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from savs.foundation.errors import ParameterError
from savs.pipeline.extraction.model.model_options import PlacingKeywords, require_extra
from savs.pipeline.extraction.run_options import BatchKeywords, RunOptions
from savs.pipeline.inputs.input_options import InputOptions, NewImageKeywords
from savs.pipeline.running.formatting import counted, listed
from savs.pipeline.running.launchers import find_rank
from savs.pipeline.running.options import sort_keywords
from savs.pipeline.running.progress import SILENT, Reporting, bars

if TYPE_CHECKING:
    import polars as pl

    from savs.pipeline.classifying.sorted_files import SortedFiles
    from savs.pipeline.readouts import Readout
    from savs.pipeline.targets import Target


class QuestionKeywords(TypedDict, total=False):
    """The prompt of all images, if it differs from the classifier's."""

    question: str | None


class ClassifyKeywords(
    QuestionKeywords, NewImageKeywords, PlacingKeywords, BatchKeywords, total=False
):
    """Further keyword arguments of `classify`."""


@dataclass(frozen=True, slots=True)
class Classification:
    """Predictions of new images."""

    predictions: "pl.DataFrame"
    """Columns `CLASSIFIED_SCHEMA`, of many labels `LABELS_SCHEMA`, of numbers `NUMBERS_SCHEMA`, in
    the order of the input. With `out` these are in the files, and here are only `id`, `subtask`,
    `prediction`, `labels`, `value`, `unsure`, `atypical` and `reason` of all rows of the first."""
    outs: Mapping[Path, int]
    """The files that have them -> rows of each."""
    rows: int
    """Examples that the model ran in this run."""
    seconds: float
    """Time that they took, without loading the model."""
    notes: tuple[str, ...]
    """What limits the predictions."""
    target: "Target"
    """What is predicted."""
    sorted_files: "SortedFiles | None" = None
    """The copies in folders of classes, with `sort_into`."""

    def __repr__(self) -> str:
        """Return a few lines: how many images of each class, how many were skipped, and where."""
        counts = [f"{count:,} {name}" for name, count in self.counts]
        lines = [
            f"Classification({counted(self.predictions.height, 'example')}: {listed(counts)})",
            f"  {self.predictions['prediction'].null_count():,} skipped,"
            f" {counted(len(self.notes), 'note')}",
            f"  in {listed([*map(str, self.outs)])}"
            if self.outs
            else "  next: classification.predictions",
        ]
        return "\n".join(lines)

    @property
    def counts(self) -> list[tuple[str, int]]:
        """Each class, or each of many labels, with how often it was predicted; most often first."""
        predicted = self.target.predicted_labels(self.predictions).drop_nulls()
        return list(predicted.value_counts(sort=True).iter_rows())

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Id and reason of every example that could not be classified."""
        rows = self.predictions.select("id", "reason").drop_nulls("reason")
        return list(rows.iter_rows())


def classify(
    classifier: "str | Path | Mapping[str, str | Path]",
    inputs: str | Path | Sequence[str | Path],
    *,
    out: str | Path | Sequence[str | Path] | None = None,
    model: str | Path | None = None,
    revision: str | None = None,
    dtype: str | None = None,
    readout: "str | Path | Readout | None" = None,
    subtask: str | None = None,
    allow_other_prompt: bool = False,
    risk: float | None = None,
    n: int | None = None,
    sort_into: str | Path | None = None,
    retry_skipped: bool = False,
    force: bool = False,
    verbose: bool = False,
    reporting: Reporting = SILENT,
    **options: Unpack[ClassifyKeywords],
) -> Classification:
    """Classify images that have no labels.

    Parameters
    ----------
    classifier
        Folder that `select`, `evaluate` or `write_bundle` wrote, or `hf://owner/name` on the
        Hugging Face hub, optionally followed by `@revision`. Or name -> classifier of several,
        which belong to one model: an image is run on all in one pass, and `subtask` names them.
    inputs
        Images, folders, patterns, addresses, JSON Lines, JSON, CSV or Parquet files, or `-` for
        names on standard input. A table has columns `image` or `images`, and may have `id`,
        `question` and `subtask`; labels are not read.
    out
        A file, or several of one run: `*.csv`, `*.jsonl` or `*.parquet`, the table of all images
        that this and earlier runs were given, or `*.html`, a page of their pictures. The features
        that it is made of are in a store, `OUT.store`, which later runs go on with, and other
        outputs in the same folder take; without `out` nothing is kept.
    model, revision, dtype
        In place of those that the classifier records.
    readout
        The readout of the classifier, where it is the user's own.
    subtask
        The only subtask of the classifier that images, and rows without a subtask, are run on.
    allow_other_prompt
        Note where examples have another prompt than in training, instead of refusing them.
    risk
        Also make prediction sets that lack the truth at most this often, and `unsure`.
    n
        Predictions on an HTML page: the least sure ones; None for 500.
    sort_into
        A new folder, or one of an earlier run: each image and video is copied into a folder of its
        class there, and unsure ones, with `risk`, into the folder `unsure`. The files of the input
        stay as they are, and no other file is replaced. See `SortedFolder`.
    retry_skipped
        Try examples again that an earlier run skipped.
    force
        Replace `out`.
    verbose
        Print messages and a progress bar.
    reporting
        Receives them instead.
    **options
        `question`, the prompt of images where it is not that of the classifier; fields of
        `InputOptions` (`columns`, `media_root` ...), `ModelOptions` (`device`, `adapter` ...) and
        `RunOptions` (`batch_size`, `workers` ...).

    Raises
    ------
    MissingExtraError
        torch and transformers are not installed.
    ResultError, HubError
        The classifier cannot be read, or fetched.
    DatasetError, SelectionError, ModelError
        An input is not there or malformed, the model or the prompt is not that of the classifier,
        the model cannot run, or the classifier has no calibration for the risk.
    ParameterError
        `risk` is not between 0 and 1, `retry_skipped` or `force` without `out`, `n` without a page,
        two equal outputs, a `sort_into` inside an input, or of images that are no files, or a value
        out of its range.
    OutputError
        `out` or `sort_into` belongs to another classifier, has another suffix, or cannot be
        written.

    Examples
    --------
    >>> classify("features/results/vote", "photos", out="photos.csv")  # doctest: +SKIP
    """
    require_extra()
    from savs.pipeline.classifying.classified_run import ClassifiedRun
    from savs.pipeline.classifying.classifiers import load_classifiers
    from savs.pipeline.classifying.model_match import model_options
    from savs.pipeline.classifying.new_images import fetching_for, find_new_images, prompt_table
    from savs.pipeline.classifying.prediction_table import TableForm, outputs_of
    from savs.pipeline.classifying.sorted_files import require_apart
    from savs.pipeline.selection.compatibility import require_same_prompt

    asking, reading, placing, batches = sort_keywords(
        *("classify", options),
        *(QuestionKeywords, NewImageKeywords, PlacingKeywords, BatchKeywords),
    )
    question = asking.get("question")
    names = [str(name) for name in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    outs = [] if out is None else [out] if isinstance(out, str | Path) else out
    outputs = outputs_of([*map(Path, outs)], n)
    first = outputs[0].path if outputs else None
    if not outputs and (retry_skipped or force):
        option = "`retry_skipped`" if retry_skipped else "`force`"
        raise ParameterError(f"{option} is about an output file; pass `out` FILE, or omit it")
    if sort_into is not None:
        require_apart(Path(sort_into), names)
    rank = find_rank()
    if rank.ranks > 1:
        require_shareable(names, first, force=force)
    reporting = bars() if verbose else reporting
    selection, older = load_classifiers(classifier, readout, reporting.say)
    target = selection.target
    has_page = any(not isinstance(output.form, TableForm) for output in outputs)
    for use, is_asked in {
        "a risk": risk is not None,
        "`sort_into`": sort_into is not None,
        "a page": has_page,
    }.items():
        if is_asked:
            target.require(use, "the classifier")
    loading = model_options(selection, model=model, revision=revision, dtype=dtype, placing=placing)
    reads = InputOptions(**reading)
    with fetching_for(first, reads) as fetching:
        new_images = find_new_images(selection, names, reads, fetching, question, subtask)
        prompts = require_same_prompt(
            selection, prompt_table(new_images.groups), is_allowed=allow_other_prompt
        )
        prompts += target.risk_notes(selection, risk)
        for note in [*new_images.notes, *(f"note: {line}" for line in (*older, *prompts))]:
            reporting.say(note)
        run = ClassifiedRun(
            selection=selection,
            groups=new_images.groups,
            loading=loading,
            options=RunOptions(**batches, retry_skipped=retry_skipped),
            reporting=reporting,
            question=question,
            allow_other_prompt=allow_other_prompt,
            rank=rank,
            risk=risk,
            outputs=outputs,
            sort_into=None if sort_into is None else Path(sort_into),
        )
        finished = run.run(force=force)
    outcomes = finished.outcomes
    of_runs = dict.fromkeys(note for outcome in outcomes for note in outcome.notes)
    return Classification(
        predictions=finished.predictions,
        outs=finished.rows,
        rows=sum(outcome.rows for outcome in outcomes),
        seconds=sum(outcome.seconds for outcome in outcomes),
        notes=(*older, *prompts, *of_runs),
        target=target,
        sorted_files=finished.sorted_files,
    )


def require_shareable(inputs: Sequence[str], out: Path | None, *, force: bool) -> Path:
    """Return the output, if several processes can run the same command.

    ParameterError if they would have no file in common, replace it each by itself, or share
    standard input.
    """
    from savs.pipeline.classifying.new_images import STDIN

    if out is None:
        raise ParameterError("several processes share an output file; pass `out` FILE")
    if force:
        raise ParameterError(f"several processes would each replace {out}; remove it before")
    if STDIN in inputs:
        raise ParameterError("several processes cannot share standard input; pass names, or a file")
    return out
