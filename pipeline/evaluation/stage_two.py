"""`select` and `evaluate` as the commands and Python have them: with the results of a store.

What they compute is in `selection/selection.py` and `evaluation.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal

import polars as pl

from savs.datasets import Benchmark
from savs.datasets.benchmarks.options import stored_prompts, under_one_prompt
from savs.datasets.splits.labels import label_doubts, refuse_doubts
from savs.foundation.errors import ParameterError, command
from savs.foundation.files import real_path
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.captions import compares_captions
from savs.pipeline.evaluation.cross_validation import assess_left_out
from savs.pipeline.evaluation.evaluation import evaluate_method
from savs.pipeline.evaluation.evaluation_file import save_evaluation
from savs.pipeline.evaluation.results import (
    FOLDS,
    TRAINED,
    UNFINISHED,
    Result,
    Results,
    place_of_result,
)
from savs.pipeline.evaluation.suspects import save_suspects, suspects
from savs.pipeline.heads.folds import FOLDS as DEFAULT_FOLDS
from savs.pipeline.heads.scoring import Scoring
from savs.pipeline.inputs.chosen_benchmark import stored_benchmark
from savs.pipeline.names import DEFAULT_HEADS, OWN_ANSWERS, shows_defaults
from savs.pipeline.readouts import BUILT_IN, Readout, choose_readout
from savs.pipeline.running.formatting import counted
from savs.pipeline.running.option_texts import parse_folds, parse_target
from savs.pipeline.running.options import Option
from savs.pipeline.running.progress import SILENT, Reporting
from savs.pipeline.running.result_files import CONFIG, writing
from savs.pipeline.selection.compatibility import is_of_store
from savs.pipeline.selection.left_out import calibrate
from savs.pipeline.selection.selection import Heads, Selection, choose_heads
from savs.pipeline.selection.selection_config import selection_run
from savs.pipeline.selection.selection_file import write_selection
from savs.pipeline.selection.training_data import Training
from savs.pipeline.statistics.intervals import Metric
from savs.pipeline.targets import labels_of, target_of
from savs.stores import FeatureStore
from savs.stores.files.addresses import is_remote
from savs.stores.format.layout import CAPTIONS, RESULTS
from savs.stores.read.store import AnyStore, as_store, open_store


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Selected(Selection):
    """A selection with what its left-out training examples say of it, and where it was saved."""

    estimates: Mapping[str | None, Metric] | None
    """Cross-validated accuracy of each subtask, average precision of each label, or error of
    numbers; None if it was not estimated, or the examples are too few."""
    suspects: pl.DataFrame | None
    """Training examples whose label others contradict, see `suspects`; None if not asked for."""
    folder: Path | None
    """Where it was saved."""
    store: FeatureStore
    """That it was made from."""


@shows_defaults
def select(
    store: AnyStore | Training,
    *,
    heads: Annotated[Heads | None, Option(metavar="N|all|L12.H7,...|DIR")] = None,
    readout: Annotated[str | Path | Readout | None, Option(metavar="NAME")] = None,
    out: Annotated[str | Path | bool | None, Option(metavar="DIR")] = None,
    suspects: bool = False,
    joint_heads: Annotated[bool, Option(level="python")] = False,
    precision: Annotated[float | None, Option(metavar="P")] = None,
    target: Annotated[
        str | None,
        Option(
            metavar="labels|own-answer|pseudo-labels:P",
            parse=parse_target,
            fills={"pseudo_labels": "pseudo-labels:P"},
        ),
    ] = None,
    max_layer: Annotated[int | None, Option(level="more", min=0)] = None,
    scoring: Annotated[str | Path | Scoring | None, Option(level="more", metavar="NAME")] = None,
    pseudo_labels: Annotated[float | None, Option(level="python")] = None,
    estimate: Annotated[bool, Option(level="more", is_on=True)] = True,
    strict: Annotated[bool, Option(level="python")] = False,
    reporting: Reporting = SILENT,
) -> Selection:
    """Choose the heads that tell the training classes apart, for each subtask or label by itself.

    Heads are ordered by score, then margin, then (layer, head); scores that differ by a rounding
    tie. Memory holds the training features of one layer at a time.

    Parameters
    ----------
    store
        Feature store: a folder or a URL (https://).

        Its train split is read; in Python, also training examples in memory.
    heads
        Heads to use: the N best (default: `DEFAULT_HEADS`), all, a list, or those of a saved
        selection.

        All if there are fewer. A list is best first, and only fitted: `(layer, head)` each, a text
        such as `L12.H7,L13.H0`, or a selection or its folder, which may be of another task. Of the
        readout `neurons` they are single values, such as `L12.H7.N5`.
    readout
        Rule fitted on the heads: vote, posterior, calm, lda, hec-v, mahalanobis, logistic, ridge,
        knn, neurons; by the classes' names clip, clip-names, tip-adapter, tip-adapter-cv,
        lp-plus-plus, hec-t, hec-vt, hec-vt-cv; or a Python file (default:
        `DEFAULT_READOUT`; of numbers `DEFAULT_READOUT_OF_NUMBERS`).

        Also an object.
    out
        Output folder (default: STORE/results/READOUT).

        In Python nothing is saved by default; True is the default of the command. What is saved is
        calibrated, and its accuracy estimated by cross-validation: the result is a `Selected`.
    suspects
        List training examples whose label others contradict.

        Also saved as `suspects.csv`.
    joint_heads
        Of many labels: choose the same heads for all, by the mean of their scores.
    precision
        Of many labels: choose thresholds with this precision (default: the best F1).

        The lowest threshold of each label that has it on left-out examples.
    target
        What to learn: the labels (default); whether the model's own answers, which the store keeps,
        are right; or these answers as labels, where their probability is at least P.

        In Python `own-answer`, or `pseudo_labels`. From `answers` (HALP, arXiv 2603.05465).
    max_layer
        Choose heads from layers up to N, counted from 0.

        `classify` loads and runs no layer after the deepest chosen head.
    scoring
        How heads are scored: resubstitution (default), loo, kfold, pursuit, worst-prompt,
        steady-prompt, or a Python file.

        `resubstitution` as in the paper; `loo` and `kfold` leave examples out; `pursuit` takes one
        after the other by what the labels still lack; of the `kfold` scores under the prompts of a
        store `worst-prompt` takes the lowest, `steady-prompt` the mean less half their spread. Of
        numbers it is `kfold`: the squared error of a ridge regression on the head alone, on
        left-out examples.
    pseudo_labels
        Take the model's own answers of at least this probability as training labels.

        No label of the store is read: 0 takes all examples. CALM's self-labelled form, see
        `AnsweredTraining`.
    estimate
        Estimate accuracy and calibrate, by cross-validation.

        Of what is saved, or for suspects.
    strict
        Refuse doubtful training labels instead of naming them.
    reporting
        Receives notes.

    Raises
    ------
    ParameterError
        The precision is not between 0 and 1, or it or `joint_heads` is for examples with one label;
        `pseudo_labels` is no probability, or the target is unknown; either of these, or `out`,
        `suspects` or `strict`, is for features in memory.
    ResultError
        The store does not keep the model's own answers to its training examples.
    SelectionError
        Unknown readout or scoring, more heads than there are, a class without a usable
        training example, one class only, or heads of another model. Or heads are given, and
        `max_layer` would choose them, too. Suspects of too few examples.
    StoreIncompleteError
        A shard of the train split is missing.
    """
    choice = {
        "heads": heads,
        "readout": readout,
        "scoring": scoring,
        "max_layer": max_layer,
        "joint_heads": joint_heads,
        "precision": precision,
        "pseudo_labels": pseudo_labels,
        "target": target,
    }
    if not out and not suspects and not strict:
        return choose_heads(store, **choice)
    if pseudo_labels is not None and (suspects or strict):
        name = "suspects" if suspects else "strict"
        raise ParameterError(f"`{name}` is for the labels of examples; omit `pseudo_labels`")
    if not isinstance(store, str | Path | FeatureStore):
        raise ParameterError("features in memory have no results; omit `out`, `suspects`, `strict`")
    opened = as_store(store)
    facts = opened.benchmark
    once = under_one_prompt(opened.examples("train"), stored_prompts(facts))
    doubts = [] if pseudo_labels is not None else label_doubts(once, kind=labels_of(facts).kind)
    for line in refuse_doubts(doubts, strict=strict):
        reporting.say(f"note: {line}")
    selection = choose_heads(opened, **choice)
    crossed = None
    if pseudo_labels is not None:
        reporting.say(
            f"note: the labels are the model's own answers to"
            f" {counted(selection.examples, 'example')}: no accuracy is estimated, and"
            " probabilities are not calibrated"
        )
    elif estimate or suspects:
        selection, crossed = calibrated(opened, selection, reporting, is_needed=suspects)
    doubtful = _suspects(opened, selection, crossed) if suspects else None
    folder = None
    if out:
        name = selection.target.result_name(selection.readout)
        folder = place_of_result(opened.path, None if out is True else Path(out), name)
        with writing(folder) as new:
            write_selection(selection, new)
            save_suspects(doubtful, new)
    if heads is None and len(opened.heads) < DEFAULT_HEADS:
        held = counted(len(opened.heads), "head")
        reporting.detail(f"the store has {held}, fewer than {DEFAULT_HEADS}: took all")
    known = {field.name: getattr(selection, field.name) for field in fields(Selection)}
    estimates = None
    if crossed is not None:
        metrics = {metric.name: metric for metric in crossed.metrics}
        subtasks = [task.subtask for task in selection.tasks]
        estimates = selection.target.estimates(metrics, crossed.tables, subtasks)
    return Selected(**known, estimates=estimates, suspects=doubtful, folder=folder, store=opened)


_suspects = suspects  # a parameter of `select` has this name


@shows_defaults
def evaluate(
    store: AnyStore,
    method: Annotated[
        Selection | str | None, Option(name="readout", metavar="NAME", is_positional=False)
    ] = None,
    *,
    out: Annotated[str | Path | bool | None, Option(metavar="DIR")] = None,
    risk: Annotated[float | None, Option(metavar="P")] = None,
    folds: Annotated[
        int | Literal["loo"] | None, Option(metavar="N|loo", parse=parse_folds)
    ] = None,
    selection: Annotated[str | Path | None, Option(metavar="NAME|DIR")] = None,
    drop_leaks: Annotated[bool, Option(level="more")] = False,
    partial: Annotated[bool, Option(level="python")] = False,
    allow_other_prompt: Annotated[bool, Option(level="python")] = False,
    benchmark: Annotated[
        str | Path | Benchmark | None, Option(level="more", metavar="FILE.py")
    ] = None,
    on: Annotated[Literal["test", "folds"] | None, Option(level="python")] = None,
    reporting: Reporting = SILENT,
) -> Evaluation:
    """Classify examples by any method, and measure how well, from what the store keeps alone.

    Memory holds the chosen heads of one shard at a time, or of several small ones, and predictions
    as Parquet, see `Evaluation.table`. A skipped test example counts as wrong, and so does one
    whose label training never had; both are reported.

    Parameters
    ----------
    store
        Feature store: a folder or a URL (https://).

        Of a complete extraction, or of a running one with `partial`.
    method
        Readout, see `savs select --readout`, or the model's own answers: zero-shot, zero-shot-mean,
        icl, generated (default: the readout of the store's result, or `DEFAULT_READOUT`).

        In Python also a selection. Names that need none are `zero-shot`, `zero-shot-mean`, `icl`
        and `generated`, see `OwnAnswers`, and `captions` of a dual encoder's store, see
        `MatchedCaptions`.
    out
        Output folder (default: STORE/results/NAME).

        In Python nothing is saved by default; True is the default of the command.
    risk
        Add conformal prediction sets that miss the truth at most this often, such as 0.05 (of many
        labels: this share of the true ones).

        See `Calibration.sets`; without a selection, one is calibrated.
    folds
        Cross-validate on the training examples instead: N parts, or leave one out.

        Each is classified by a selection that is made again from the other folds. Examples that
        share an image or a group stay in one fold; fewer folds where a class has fewer examples.
        Heads that were taken from elsewhere (`heads_from`) are only fitted again. Without test
        examples it is 5 by default.
    selection
        Selection to use: a name in STORE/results, or a folder (default: trained,
        `DEFAULT_READOUT`, or the only one).
    drop_leaks
        Exclude test examples that share an image with training.

        With their whole groups.
    partial
        Score the examples extracted so far, while extraction runs.
    allow_other_prompt
        Warn about a different prompt instead of failing.

        Of a selection of another store; in the same store it is always a note.
    benchmark
        Python file of the benchmark, if the store was made with one.

        Folds are measured by accuracy alone.
    on
        `test` or `folds`: by default what the store has.
    reporting
        Receives notes.

    Raises
    ------
    StoreIncompleteError
        A planned shard is missing.
    SelectionError
        The selection belongs to another model or prompt, or lacks a subtask of the test split,
        or a calibration for the risk. Of folds also: there are fewer than two; the selection is of
        other training examples than the store has now, or of some of its subtasks; a class has one
        example, or all its examples share an image or a group, or too few are left of it to score
        heads by another scoring than `resubstitution`.
    ResultError
        The store keeps no such answers of the model.
    ParameterError
        The risk is not between 0 and 1, or the method is unknown or makes no such predictions.
    BenchmarkNotFoundError
        The store's benchmark is one of your own, and was not given, or another one was.
    LeakError
        All test examples would be left out.
    """
    if on not in (None, "test", "folds"):
        raise ParameterError(f"`on` is {on!r}, expected 'test' or 'folds'")
    if selection is not None and any(isinstance(x, Selection) for x in (method, selection)):
        raise ParameterError(
            "`selection` is the name or folder of a saved result; pass a selection itself as"
            " `method`, and no other"
        )
    opened = as_store(store)
    if partial:
        opened = open_store(opened.path, partial=True)
    if isinstance(method, Selection):
        plan = _Plan(method, "folds" if folds is not None or on == "folds" else "test")
        name = method.target.result_name(method.readout) + (FOLDS if plan.on == "folds" else "")
        saved = None
    else:
        plan, name, saved = _plan(opened, method, selection, folds, on, risk)
    if risk is not None and plan.on == "folds":
        raise ParameterError("`risk` needs a calibrated selection; omit it with `folds`")
    folder = None
    if out:
        name += UNFINISHED if opened.missing() else ""
        folder = place_of_result(opened.path, None if out is True else Path(out), name)
        is_taken = out is True and plan.is_foreign and (folder / CONFIG).exists()
        if saved and is_taken and selection_run(folder) != selection_run(saved.folder):
            raise ParameterError(
                f"{folder} holds another selection than {saved.folder}, which would replace it;"
                " pass `out` with a folder of another name"
            )
    chosen = plan.method
    if plan.rule is not None:
        opened.require_complete()
        chosen = find_selection(opened, plan.rule, saved, reporting, is_named=selection is not None)
    assert chosen is not None
    result = evaluate_method(
        opened,
        chosen,
        on=plan.on,
        folds=DEFAULT_FOLDS if folds is None else folds,
        benchmark=None if plan.on == "folds" else stored_benchmark(opened, benchmark),
        drop_leaks=drop_leaks,
        allow_other_prompt=allow_other_prompt,
        risk=risk,
    )
    for note in plan.notes:
        reporting.say(f"note: {note}")
    if folder is None:
        return result
    save_evaluation(result, folder)
    return replace(result, folder=folder)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What `evaluate` classifies by, and which examples."""

    method: Selection | str | None
    on: Literal["test", "folds"]
    rule: Readout | None = None
    """The readout of the selection that is still to be found."""
    notes: tuple[str, ...] = ()
    is_foreign: bool = False
    """Whether the saved selection lies outside the store."""


def _plan(
    store: FeatureStore,
    method: str | None,
    selection: str | Path | None,
    folds: int | str | None,
    on: str | None,
    risk: float | None,
) -> tuple[_Plan, str, Result | None]:
    """Return the plan, the name of the result, and the saved result that it takes.

    Without test examples the classifier of a store is cross-validated.
    """
    results, is_named = Results(store.path), selection is not None
    saved = results.find(selection) if is_named else results.default if method is None else None
    readout = method or target_of(store.benchmark).default_readout
    is_own = readout in (*OWN_ANSWERS, CAPTIONS)
    rule = None if is_own else choose_readout(readout, also=OWN_ANSWERS)
    of_captions = rule is not None and saved is None and compares_captions(store, rule)
    is_ours = saved is None or (
        not is_remote(store.path)
        and real_path(saved.folder).parent == real_path(store.path / RESULTS)
    )
    left_out = bool(store.ids("train")) and not store.ids("test") and risk is None
    is_alone = left_out and is_ours and rule is not None and not of_captions and on is None
    cv = folds is not None or on == "folds" or is_alone
    if is_own and is_named:
        raise ParameterError(f"`selection` is of heads; omit it with {readout}")
    if is_own and cv:
        raise ParameterError(f"`folds` needs heads to select; omit it with {readout}")
    if risk is not None and is_own:
        raise ParameterError(f"`risk` needs a calibrated selection; omit it with {readout}")
    if of_captions and (cv or risk is not None):
        raise ParameterError("captions need no selection; omit `folds` and `risk`")
    if not cv:
        store.require_split("test")
    name = saved.folder.absolute().name if saved else rule.name if rule else readout
    notes, is_foreign = [], not is_ours
    if is_alone and folds is None:
        notes.append("the store has no test examples: each training example was left out in turn")
    if cv and name == TRAINED and saved is not None and saved.config is not None:
        # what `savs train` measured stays in its own folder: there the readout is chosen anew
        name, is_foreign = saved.config.readout, False
        notes.append(
            "this is the accuracy of the readout that savs train chose on the same examples; its"
            " own figure measures the choice, too"
        )
    if rule is None or of_captions:
        plan = _Plan(CAPTIONS if of_captions else readout, "test")
    else:
        plan = _Plan(None, "folds" if cv else "test", rule, tuple(notes), is_foreign)
    return plan, name + (FOLDS if cv else ""), saved


def find_selection(
    store: FeatureStore,
    rule: Readout,
    saved: Result | None,
    reporting: Reporting = SILENT,
    *,
    is_named: bool,
) -> Selection:
    """Return the selection of a result, by default that of the readout, or a new one.

    SelectionError if one that was not named belongs to other training examples than the store's.
    """
    readout = None if rule in BUILT_IN.values() else rule  # a built-in one is found by its name
    if saved is not None and (is_named or saved.name == TRAINED):
        return saved.selection(readout)
    saved = saved or Results(store.path).place(rule.name)
    if is_remote(store.path) or store.missing("train") or not saved.is_selected:
        selection = choose_heads(store, readout=rule)
        of_heads = f"selected {counted(selection.head_count, 'head')}"
        reporting.say(f"no selection yet: {of_heads if selection.head_count else rule.name}")
        return calibrated(store, selection, reporting)[0]
    selection = saved.selection(readout)
    is_classified = not store.ids("train")  # `classify` saved its classifier there
    if not (is_classified or is_of_store(selection, store)):
        file = selection.readout_file
        raise SelectionError(
            f"{saved.folder} holds a selection of other training examples than the store's; run "
            + command(
                "savs", "select", store.path, "--readout", file.name if file else selection.readout
            )
        )
    reporting.detail(f"using {saved.folder}")
    return selection


def calibrated(
    store: FeatureStore, selection: Selection, reporting: Reporting, *, is_needed: bool = False
) -> tuple[Selection, Evaluation | None]:
    """Return a selection with its calibration, and the cross-validation that this comes from.

    Where the examples are too few, a note says so: the selection is returned as it is, and None;
    if it `is_needed`, SelectionError.
    """
    try:
        calibration = calibrate(store, selection)
    except SelectionError as error:
        if is_needed:
            raise
        reporting.say(f"note: no cross-validated accuracy: {error}")
        reporting.say("note: so the probabilities are not calibrated either")
        return selection, None
    left_out = calibration.left_out
    return calibration.selection, assess_left_out(store, calibration.selection, left_out)
