"""`savs evaluate`: predictions and metrics from a store, without a GPU."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from savs import pipeline
from savs.pipeline.cli.options.shared import (
    BenchmarkOption,
    JsonOption,
    OtherPromptOption,
    RiskOption,
    StoreArgument,
    option,
    result_place,
)
from savs.pipeline.cli.output import print_json, say
from savs.pipeline.cli.tables import print_confidence, print_evaluation
from savs.pipeline.names import OWN_ANSWERS, READOUT_NAMES, TEXT_READOUT_NAMES

if TYPE_CHECKING:
    from savs.pipeline import Selection


def evaluate_command(
    store: StoreArgument,
    selection: Annotated[
        Path | None,
        option(metavar="DIR", help="Selection to use (default: STORE/results/READOUT)."),
    ] = None,
    readout: Annotated[
        str,
        option(
            help=f"{', '.join(READOUT_NAMES)}; {', '.join(TEXT_READOUT_NAMES)} (by the classes'"
            f" names); the model's own: {', '.join(OWN_ANSWERS)}."
        ),
    ] = "vote",
    out: Annotated[
        Path | None,
        option(metavar="DIR", help="Output folder (default: STORE/results/NAME)."),
    ] = None,
    drop_leaks: Annotated[
        bool,
        option("--drop-leaks", help="Exclude test examples that share an image with training."),
    ] = False,
    partial: Annotated[
        bool,
        option("--partial", help="Score the examples extracted so far, while extraction runs."),
    ] = False,
    cv: Annotated[
        bool, option("--cv", help="Cross-validate on the training examples instead.")
    ] = False,
    per_class: Annotated[
        bool,
        option("--per-class", help="Also print each class and the most frequent confusions."),
    ] = False,
    allow_other_prompt: OtherPromptOption = False,
    risk: RiskOption = None,
    cv_folds: Annotated[
        str | None,
        option(
            metavar="N|loo",
            help="Parts of --cv: a number (default: 5), or loo to leave out one example at a time.",
        ),
    ] = None,
    benchmark: BenchmarkOption = None,
    json: JsonOption = False,
) -> None:
    """Use the selection that `savs select` saved in the store, or make a default one."""
    from savs.pipeline.cli.selections import find_selection, keep_other_results
    from savs.pipeline.evaluation.captions import compares_captions
    from savs.pipeline.inputs.plugins import stored_benchmark
    from savs.pipeline.running.result_files import SUBMISSION, whole_result
    from savs.pipeline.selection.readouts import choose_readout
    from savs.pipeline.selection.selection_file import selection_folder
    from savs.stores.format.layout import CAPTIONS

    rule = None if readout in OWN_ANSWERS else choose_readout(readout, also=OWN_ANSWERS)
    if rule is None and cv:
        raise typer.BadParameter(f"--cv needs heads to select; omit it with --readout {readout}")
    if risk is not None and (rule is None or cv):
        wrong = "--cv" if cv else f"--readout {readout}"
        raise typer.BadParameter(f"--risk needs a calibrated selection; omit it with {wrong}")
    folds = _folds(cv_folds, cv=cv)
    opened = pipeline.open_store(store, partial=partial)
    if not cv:
        opened.require_split("test")
    name = selection_folder(selection).name if selection else rule.name if rule else readout
    name += "-cv" if cv else ""
    folder = result_place(opened, out, f"{name}-partial" if opened.missing() else name)
    if selection is not None and out is None:
        keep_other_results(folder, selection)
    measuring = None if cv else stored_benchmark(opened, benchmark)
    method: Selection | str
    if rule is None:
        method = readout
    elif compares_captions(opened, rule) and selection is None:
        if cv or risk is not None:
            raise typer.BadParameter("captions need no selection; omit --cv and --risk")
        method = CAPTIONS
    else:
        opened.require_complete()
        method = find_selection(opened, selection, rule)
    result = pipeline.evaluate(
        opened,
        method,
        on="folds" if cv else "test",
        folds=folds,
        benchmark=measuring,
        drop_leaks=drop_leaks,
        allow_other_prompt=allow_other_prompt,
        risk=risk,
    )
    with whole_result(folder):
        metrics, predictions = pipeline.save_evaluation(result, folder)
    if json:
        files = {"metrics_file": str(metrics), "predictions_file": str(predictions)}
        print_json(result.to_json() | files)
    else:
        print_evaluation(result, per_class=per_class)
        for part in result.confidence:
            print_confidence(part)
    say(f"wrote {metrics} and {predictions}")
    if result.submission is not None:
        say(f"wrote {folder / SUBMISSION}, for the official evaluation")


def _folds(text: str | None, *, cv: bool) -> int | Literal["loo"]:
    """Return the number of folds, or `loo`; a usage error for anything else."""
    from savs.pipeline.selection.heads.folds import FOLDS

    if text is None:
        return FOLDS
    if not cv:
        raise typer.BadParameter("--cv-folds needs --cv; add it")
    if text == "loo":
        return "loo"
    if not text.isdecimal() or int(text) < 2:
        raise typer.BadParameter(f"--cv-folds is {text!r}, expected an integer from 2 on, or loo")
    return int(text)
