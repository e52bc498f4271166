"""`savs evaluate`: predictions and metrics from a store, without a GPU."""

from pathlib import Path
from typing import Annotated

import typer

from savs.pipeline.cli.options.shared import (
    BenchmarkOption,
    ConfigOption,
    JsonOption,
    StoreArgument,
    option,
    result_place,
)
from savs.pipeline.cli.output import print_json, say
from savs.pipeline.cli.tables import print_evaluation
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import ZERO_SHOT
from savs.pipeline.evaluation.cross_validation import cross_validate
from savs.pipeline.evaluation.evaluation import evaluate
from savs.pipeline.evaluation.evaluation_file import save_evaluation
from savs.pipeline.evaluation.zero_shot import zero_shot
from savs.pipeline.heads.training_set import train_digest
from savs.pipeline.plugins.benchmark import stored_benchmark
from savs.pipeline.readouts import READOUTS, Readout, choose_readout
from savs.pipeline.selection.selection import Selection, default_heads, select
from savs.pipeline.selection.selection_file import load_selection, selection_folder
from savs.stores import FeatureStore, open_store
from savs.stores.files.paths import is_remote
from savs.stores.results import (
    CONFIG,
    SUBMISSION,
    results_folder,
)


def evaluate_command(
    store: StoreArgument,
    selection: Annotated[
        Path | None,
        option(metavar="DIR", help="Folder of a selection (default: STORE/results/READOUT)."),
    ] = None,
    readout: Annotated[
        str, option(help=f"{', '.join(READOUTS)}, or {ZERO_SHOT}: the model's own answer.")
    ] = "vote",
    out: Annotated[
        Path | None,
        option(
            metavar="DIR",
            help="Folder of the results (default: STORE/results/NAME).",
        ),
    ] = None,
    drop_leaks: Annotated[
        bool,
        option("--drop-leaks", help="Leave out test examples that share an image with training."),
    ] = False,
    partial: Annotated[
        bool, option("--partial", help="Score what is there while extraction still runs.")
    ] = False,
    cv: Annotated[
        bool, option("--cv", help="Cross-validate on the training examples; no test is read.")
    ] = False,
    benchmark: BenchmarkOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Classify the test examples with a selection and measure how well.

    Without a selection, the one that `savs select` left in the store is used, else a default one is
    made.
    """
    rule = None if readout == ZERO_SHOT else choose_readout(readout, also=[ZERO_SHOT])
    if rule is None and cv:
        raise typer.BadParameter("--cv estimates a selection; the model's own answer has none")
    opened = open_store(store, partial=partial)
    opened.require_complete()
    name = selection_folder(selection).name if selection else rule.name if rule else readout
    name += "-cv" if cv else ""
    folder = result_place(opened, out, f"{name}-partial" if opened.missing() else name)
    if rule is None:
        result = zero_shot(opened, benchmark=benchmark, drop_leaks=drop_leaks)
    elif cv:
        result = cross_validate(opened, _find_selection(opened, selection, rule))
    else:
        measuring = stored_benchmark(opened, benchmark)
        chosen = _find_selection(opened, selection, rule)
        result = evaluate(opened, chosen, benchmark=measuring, drop_leaks=drop_leaks)
    metrics, predictions = save_evaluation(result, folder)
    if json:
        files = {"metrics_file": str(metrics), "predictions_file": str(predictions)}
        print_json(result.to_json() | files)
    else:
        print_evaluation(result)
    say(f"wrote {metrics} and {predictions}")
    if result.submission is not None:
        say(f"wrote {folder / SUBMISSION}, for the official evaluation")


def _find_selection(store: FeatureStore, path: Path | None, rule: Readout) -> Selection:
    own = None if rule in READOUTS.values() else rule  # a built-in one is found by its name
    if path is not None:
        return load_selection(path, readout=own)
    saved = results_folder(store.path, rule.name)
    if is_remote(store.path) or store.missing("train") or not (saved / CONFIG).exists():
        selection = select(store, heads=default_heads(store), readout=rule)
        say(f"no selection yet: made the default one, {len(selection.tasks[0].heads)} heads")
        return selection
    selection = load_selection(saved, readout=own)
    if selection.train != train_digest(store):
        name = rule.file.name if rule.file else rule.name
        raise SelectionError(
            f"{saved} was made from other training examples than the store holds now; make it again"
            f" with: savs select {store.path} --readout {name}"
        )
    say(f"using {saved}")
    return selection
