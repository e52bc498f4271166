"""An evaluation is written: metrics, predictions, units, and the selection that made them.

`results.py` reads it.
"""

from importlib.metadata import version
from pathlib import Path

from savs.foundation.errors import ParameterError
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.trials import units_of_evaluation
from savs.pipeline.running.result_files import (
    METRICS,
    PREDICTIONS,
    SUBMISSION,
    UNITS,
    withdraw,
    write_json,
    write_table,
    writing,
)
from savs.pipeline.selection.selection_file import write_selection
from savs.stores.format.layout import digest


def save_evaluation(evaluation: Evaluation, folder: str | Path) -> tuple[Path, Path]:
    """Write metrics.json and the two tables, and the selection and submission.json, if any.

    predictions.parquet has a row an example, units.parquet a row a metric and unit. metrics.json
    and the tables hold `run`, the digest of the metrics. metrics.json has the SHA-256 of the other
    files, so that files of two evaluations are not read as one. All replace earlier ones together.

    `evaluation` is what `evaluate` returned; `folder` is made if it is not there. Returns the paths
    of the metrics and of the predictions. StoreWriteError if the folder cannot be written.
    """
    if not isinstance(evaluation, Evaluation):
        raise ParameterError(
            f"`evaluation` is {evaluation!r:.100}, expected what evaluate() returns"
        )
    folder = Path(folder)
    with writing(folder) as new:
        write_evaluation(evaluation, new)
    return folder / METRICS, folder / PREDICTIONS


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write the files of an evaluation into the folder of a `writing` block."""
    content = {"savs": version("savs")} | evaluation.to_json()
    mark = {"run": digest(content)}
    units = units_of_evaluation(evaluation.units, evaluation.point, evaluation.inflation)
    sums = {
        UNITS: write_table(folder / UNITS, units, mark),
        PREDICTIONS: write_table(folder / PREDICTIONS, evaluation.table, mark),
    }
    if evaluation.selection is not None:
        sums |= write_selection(evaluation.selection, folder)
    if evaluation.submission is not None:
        sums[SUBMISSION] = write_json(folder / SUBMISSION, evaluation.submission)
    else:
        withdraw(folder / SUBMISSION)  # that of an earlier evaluation
    write_json(folder / METRICS, mark | {"files": sums} | content)


def replace_evaluation(evaluation: Evaluation | None, folder: Path) -> None:
    """Do the same in place of an earlier evaluation; None removes that, except its selection."""
    if evaluation is not None:
        write_evaluation(evaluation, folder)
        return
    for name in (METRICS, SUBMISSION, PREDICTIONS, UNITS):
        withdraw(folder / name)
