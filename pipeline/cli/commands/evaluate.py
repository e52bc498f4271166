"""`savs evaluate`: predictions and metrics from a store, without a GPU."""

from typing import TYPE_CHECKING

from savs.pipeline.cli.command import Command, Options, Own, save_by_default
from savs.pipeline.cli.output import Shown
from savs.pipeline.running.formatting import used_of
from savs.pipeline.running.options import Option

if TYPE_CHECKING:
    from savs.pipeline.evaluation.assessment import Evaluation


def show(done: "Evaluation", options: Options) -> Shown:
    """Word the metrics, how far probabilities can be trusted, and what was written."""
    from savs.pipeline.evaluation.tables import confidence_tables
    from savs.pipeline.running.result_files import METRICS, PREDICTIONS, SUBMISSION

    data, messages = words_of(done, per_class=options["per_class"])
    for part in done.confidence:
        if part.prompt is not None:
            data.append(f"\nunder the prompt {part.prompt!r}:")
        data += confidence_tables(part.to_json())
    assert done.folder is not None
    metrics, predictions = done.folder / METRICS, done.folder / PREDICTIONS
    messages.append(f"wrote {metrics} and {predictions}")
    if done.submission is not None:
        messages.append(f"wrote {done.folder / SUBMISSION}, for the official evaluation")
    files = {"metrics_file": str(metrics), "predictions_file": str(predictions)}
    return Shown(facts=done.to_json() | files, data=data, messages=messages)


def words_of(done: "Evaluation", *, per_class: bool = False) -> tuple[list, list[str]]:
    """Return the tables of an evaluation, and its counts and notes."""
    from savs.pipeline.evaluation.tables import evaluation_tables

    split = done.table.select("split").head(1).collect().item()
    used, left_out = done.examples - done.skipped, done.planned - done.examples
    notes = [f"note: {note}" for note in done.notes]
    counts = used_of(done.planned, used, done.skipped, left_out, split)
    return [*evaluation_tables(done, per_class=per_class)], [counts, *notes]


COMMAND = Command(
    function="savs.pipeline.evaluation.stage_two:evaluate",
    about="Uses the saved selection of the store, or makes a default one.\n\nWithout test examples,"
    " it leaves out training examples in turn, as with --folds 5.",
    examples=(
        "savs evaluate pets",
        "savs evaluate pets --readout lda --per-class",
        "savs evaluate pets --folds 5",
    ),
    allows=("partial", "other-prompt"),
    own={
        "per_class": Own(
            bool, False, Option("Also print each class and the most frequent confusions.")
        )
    },
    prepare=save_by_default,
    show=show,
)
