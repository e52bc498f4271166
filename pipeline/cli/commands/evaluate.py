"""`savs evaluate`: predictions and metrics from a store, without a GPU."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import savs
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import (
    BenchmarkOption,
    OtherPromptOption,
    RiskOption,
    SelectionOption,
    StoreArgument,
    advanced,
    option,
    result_place,
)
from savs.pipeline.cli.output import print_evaluation, print_json, print_line, print_tables, say
from savs.pipeline.names import OWN_ANSWERS, READOUT_NAMES, TEXT_READOUT_NAMES

if TYPE_CHECKING:
    from savs.pipeline.selection.selection import Selection


EXAMPLES = (
    "savs evaluate pets",
    "savs evaluate pets --readout lda --per-class",
    "savs evaluate pets --folds 5",
)


def evaluate_command(
    store: StoreArgument,
    readout: Annotated[
        str | None,
        option(
            metavar="NAME",
            help=f"{', '.join(READOUT_NAMES)}; {', '.join(TEXT_READOUT_NAMES)} (by the classes'"
            f" names); the model's own: {', '.join(OWN_ANSWERS)} (default: that of the store's"
            " result, or vote).",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        option(metavar="DIR", help="Output folder (default: STORE/results/NAME)."),
    ] = None,
    per_class: Annotated[
        bool,
        option("--per-class", help="Also print each class and the most frequent confusions."),
    ] = False,
    risk: RiskOption = None,
    folds: Annotated[
        str | None,
        option(
            metavar="N|loo",
            help="Cross-validate on the training examples instead: N parts, or leave one out.",
        ),
    ] = None,
    selection: SelectionOption = None,
    drop_leaks: Annotated[
        bool,
        advanced("--drop-leaks", help="Exclude test examples that share an image with training."),
    ] = False,
    partial: Annotated[
        bool,
        advanced("--partial", help="Score the examples extracted so far, while extraction runs."),
    ] = False,
    allow_other_prompt: OtherPromptOption = False,
    benchmark: BenchmarkOption = None,
    json: JsonOption = False,
) -> None:
    """Uses the saved selection of the store, or makes a default one.

    Without test examples, it leaves out training examples in turn, as with --folds 5.
    """
    from savs.foundation.files import real_path
    from savs.pipeline.cli.selections import find_selection
    from savs.pipeline.evaluation import results
    from savs.pipeline.evaluation.captions import compares_captions
    from savs.pipeline.evaluation.tables import confidence_tables
    from savs.pipeline.heads.folds import FOLDS
    from savs.pipeline.inputs.plugins import stored_benchmark
    from savs.pipeline.readouts import choose_readout
    from savs.pipeline.running.result_files import SUBMISSION
    from savs.pipeline.targets import target_of
    from savs.stores.files.addresses import is_remote
    from savs.stores.format.layout import CAPTIONS, RESULTS

    opened = savs.open_store(store, partial=partial)
    known, is_named = results.Results(opened.path), selection is not None
    saved = known.find(selection) if is_named else known.default if readout is None else None
    readout = readout or target_of(opened.manifest.identity.benchmark).default_readout
    rule = None if readout in OWN_ANSWERS else choose_readout(readout, also=OWN_ANSWERS)
    of_captions = rule is not None and saved is None and compares_captions(opened, rule)
    is_ours = saved is None or (
        not is_remote(opened.path)
        and real_path(saved.folder).parent == real_path(opened.path / RESULTS)
    )
    left_out = bool(opened.ids("train")) and not opened.ids("test") and risk is None
    cv = folds is not None or (left_out and is_ours and rule is not None and not of_captions)
    if rule is None and cv:
        raise typer.BadParameter(f"`folds` needs heads to select; omit it with --readout {readout}")
    if risk is not None and (rule is None or cv):
        wrong = "--folds" if cv else f"--readout {readout}"
        raise typer.BadParameter(f"`risk` needs a calibrated selection; omit it with {wrong}")
    parts = FOLDS if folds is None else _parse_folds(folds)
    if not cv:
        opened.require_split("test")
    name = saved.folder.absolute().name if saved else rule.name if rule else readout
    is_chosen = cv and name == results.TRAINED
    if saved is not None and saved.config is not None and is_chosen:
        # what `savs train` measured stays in its own folder: there the readout is chosen anew
        name = saved.config.readout
    name += results.FOLDS if cv else ""
    folder = result_place(opened, out, name + (results.UNFINISHED if opened.missing() else ""))
    if saved is not None and out is None and not is_chosen and not is_ours:
        _keep_other(folder, saved.folder)
    measuring = None if cv else stored_benchmark(opened, benchmark)
    method: Selection | str
    if rule is None:
        method = readout
    elif of_captions:
        if cv or risk is not None:
            raise typer.BadParameter("captions need no selection; omit `folds` and `risk`")
        method = CAPTIONS
    else:
        opened.require_complete()
        method = find_selection(opened, rule, saved, is_named=is_named)
    result = savs.evaluate(
        opened,
        method,
        on="folds" if cv else "test",
        folds=parts,
        benchmark=measuring,
        drop_leaks=drop_leaks,
        allow_other_prompt=allow_other_prompt,
        risk=risk,
    )
    if folds is None and cv:
        say("note: the store has no test examples: each training example was left out in turn")
    if is_chosen:
        say(
            "note: this is the accuracy of the readout that savs train chose on the same examples;"
            " what it printed itself measures the choice, too"
        )
    metrics, predictions = savs.save_evaluation(result, folder)
    if json:
        files = {"metrics_file": str(metrics), "predictions_file": str(predictions)}
        print_json(result.to_json() | files)
    else:
        print_evaluation(result, per_class=per_class)
        for part in result.confidence:
            print_line()
            if part.prompt is not None:
                print_line(f"under the prompt {part.prompt!r}:")
            print_tables(confidence_tables(part.to_json()))
    say(f"wrote {metrics} and {predictions}")
    if result.submission is not None:
        say(f"wrote {folder / SUBMISSION}, for the official evaluation")


def _keep_other(folder: Path, selection: Path) -> None:
    """Raise a usage error if a selection from elsewhere would replace another of its name."""
    from savs.pipeline.running.result_files import CONFIG
    from savs.pipeline.selection.selection_config import selection_run

    if (folder / CONFIG).exists() and selection_run(folder) != selection_run(selection):
        raise typer.BadParameter(
            f"{folder} holds another selection than {selection}, which would replace it; pass"
            " --out DIR with a folder of another name"
        )


def _parse_folds(text: str) -> Any:
    """Return a number of folds, or `loo`; a usage error for anything else."""
    if text == "loo":
        return text
    from savs.foundation.bounds import whole_number

    folds = whole_number(text)
    if folds is None or folds < 2:
        raise typer.BadParameter(f"`folds` is {text!r:.50}, expected an integer from 2 on, or loo")
    return folds
