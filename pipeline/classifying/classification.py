"""`classify`: the chosen heads of new images are extracted, and predictions are read from them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Unpack

from savs.foundation.errors import ParameterError
from savs.pipeline.extraction.model.model_options import PlacingKeywords, require_extra
from savs.pipeline.extraction.run_options import BatchKeywords, RunOptions
from savs.pipeline.inputs.input_options import InputOptions, NewVideoKeywords
from savs.pipeline.names import shows_defaults
from savs.pipeline.running.launchers import find_rank
from savs.pipeline.running.option_texts import OTHER_MODEL, TRANSFORMERS, parse_classifiers
from savs.pipeline.running.options import Option, sort_keywords
from savs.pipeline.running.progress import SILENT, Reporting, bars

if TYPE_CHECKING:
    from savs.pipeline.classifying.classified import Classification
    from savs.pipeline.readouts import Readout


class ClassifyKeywords(NewVideoKeywords, PlacingKeywords, BatchKeywords, total=False):
    """Further keyword arguments of `classify`."""


@shows_defaults
def classify(
    classifier: Annotated[
        "str | Path | Mapping[str, str | Path]",
        Option(parse=parse_classifiers),
    ],
    inputs: Annotated[
        str | Path | Sequence[str | Path], Option(metavar="INPUT...", is_repeated=True)
    ],
    *,
    out: Annotated[
        str | Path | Sequence[str | Path] | None, Option(metavar="FILE", is_repeated=True)
    ] = None,
    sort_into: Annotated[str | Path | None, Option(metavar="DIR")] = None,
    risk: Annotated[float | None, Option(metavar="P")] = None,
    n: Annotated[int | None, Option(level="python")] = None,
    retry_skipped: bool = False,
    force: bool = False,
    question: Annotated[str | None, Option(metavar="TEXT")] = None,
    subtask: Annotated[str | None, Option(metavar="NAME")] = None,
    model: Annotated[
        str | Path | None,
        OTHER_MODEL,
    ] = None,
    allow_other_prompt: Annotated[bool, Option(level="python")] = False,
    revision: Annotated[str | None, Option(level="python")] = None,
    dtype: Annotated[str | None, Option(level="python")] = None,
    readout: Annotated["str | Path | Readout | None", Option(level="python")] = None,
    known_skips: Annotated[Collection[str] | None, Option(level="python")] = None,
    verbose: bool = False,
    reporting: Reporting = SILENT,
    **options: Unpack[ClassifyKeywords],
) -> "Classification":
    """Classify images, or stored features, that have no labels.

    Parameters
    ----------
    classifier
        Store, folder of `savs select` or `savs export`, or hf://owner/name; several of one model
        with commas, as NAME=CLASSIFIER for another name than that of the folder.

        On the Hugging Face hub optionally followed by `@revision`. Or name -> classifier of
        several, which belong to one model: an image is run on all in one pass, and `subtask` names
        them.
    inputs
        Images, folders, patterns, URLs, tables, or - for names on standard input; or a store.

        Of a store the examples without a label are classified, else its test examples: no model
        runs, and torch is not needed. A table has columns `image` or `images`, and may have `id`,
        `question` and `subtask`; labels are not read.
    out
        Output: .csv, .jsonl, .parquet, or .html for a page with pictures; repeatable (default:
        print a table).

        It has all images that this and earlier runs were given. The features that it is made of are
        in a store, `OUT.store`, which later runs go on with, and other outputs in the same folder
        take; without `out` nothing is kept.
    sort_into
        Copy each file into a folder of its class, unsure ones (`risk`) into a folder of that name.
        Replaces no file.

        A new folder, or one of an earlier run. The files of the input stay as they are. See
        `SortedFolder`.
    risk
        Add conformal prediction sets that miss the truth at most this often, such as 0.05 (of many
        labels: this share of the true ones).

        And the column `unsure`.
    n
        Predictions on an HTML page: the least sure ones (default: `DEFAULT_PREDICTIONS`).
    retry_skipped
        Try skipped examples again.
    force
        Replace `out` and the features next to it.
    question
        One prompt for all images (default: the classifier's).
    subtask
        Only this subtask, or this prompt of several.

        That images, and rows without a subtask, are run on.
    model
        Model, if it is not where the classifier says.
    allow_other_prompt
        Warn about a different prompt instead of failing.
    revision, dtype
        In place of those that the classifier records.
    readout
        The readout of the classifier, where it is the user's own.
    known_skips
        Ids of images that were skipped before; by default those that `out` has skipped.
    verbose
        Print messages and a progress bar.
    reporting
        Receives them instead.
    **options
        Fields of `InputOptions` (`columns`, `media_root` ...), `ModelOptions` (`device`,
        `adapter` ...) and `RunOptions` (`batch_size`, `workers` ...).

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
    from savs.pipeline.classifying.classifiers import load_classifiers
    from savs.pipeline.classifying.prediction_table import TableForm, outputs_of
    from savs.pipeline.classifying.sorted_files import require_apart
    from savs.pipeline.classifying.stored_features import classify_store, is_store

    reading, placing, batches = sort_keywords(
        *("classify", options), *(NewVideoKeywords, PlacingKeywords, BatchKeywords)
    )
    names = [str(name) for name in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    outs = [] if out is None else [out] if isinstance(out, str | Path) else out
    outputs = outputs_of([*map(Path, outs)], n)
    first = outputs[0].path if outputs else None
    has_features = is_store(names)
    if has_features:
        _require_no_images(
            sort_into=sort_into,
            retry_skipped=retry_skipped or None,
            question=question,
            model=model,
            revision=revision,
            dtype=dtype,
            engine=None if placing.get("engine") == TRANSFORMERS else placing.get("engine"),
            adapter=placing.get("adapter"),
        )
    else:
        require_extra()
    if not outputs and (retry_skipped or force):
        option = "`retry_skipped`" if retry_skipped else "`force`"
        raise ParameterError(f"{option} is about an output file; pass `out` FILE, or omit it")
    if sort_into is not None:
        require_apart(Path(sort_into), names)
    if known_skips is None:
        is_new = first is None or has_features or retry_skipped or force
        known_skips = () if is_new or first is None else earlier_skips(first)
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
    if has_features:
        for note in older:
            reporting.say(f"note: {note}")
        done = classify_store(
            selection,
            names[0],
            outputs,
            risk=risk,
            subtask=subtask,
            media_root=reading.get("media_root"),
            allow_other_prompt=allow_other_prompt,
            force=force,
            reporting=reporting,
        )
        return replace(done, notes=(*older, *done.notes))
    from savs.pipeline.classifying.classified_run import ClassifiedRun
    from savs.pipeline.classifying.model_match import model_options
    from savs.pipeline.classifying.new_images import fetching_for, find_new_images, prompt_table
    from savs.pipeline.selection.compatibility import require_same_prompt

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
            decoding=new_images.decoding,
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
        done = run.run(force=force)
    return replace(done, notes=(*older, *prompts, *done.notes), known_skips=frozenset(known_skips))


def _require_no_images(**options: Any) -> None:
    """Raise ParameterError for an option that a store has no use for."""
    for name, value in options.items():
        if value is not None:
            raise ParameterError(f"`{name}` is about images, and a store has features; omit it")


def earlier_skips(out: Path) -> frozenset[str]:
    """Return the ids of images that earlier runs skipped, without and with the number of a task."""
    import polars as pl

    from savs.datasets.benchmarks.options import without_prompt
    from savs.pipeline.classifying.classified_store import store_beside
    from savs.pipeline.extraction.run_extraction import earlier_skips as skips_of_store

    ids = [identifier for _, identifier in skips_of_store(store_beside(out))]
    return frozenset([*ids, *without_prompt(pl.Series(ids, dtype=pl.String))])


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
