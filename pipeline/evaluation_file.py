"""An evaluation on disk: metrics, predictions, and the selection that made them."""

from pathlib import Path

from savs.pipeline.assessment import Evaluation
from savs.pipeline.selection_file import save_selection
from savs.stores.results import (
    METRICS,
    PREDICTIONS,
    SELECTION,
    SUBMISSION,
    write_json,
    write_predictions,
)


def save_evaluation(evaluation: Evaluation, folder: str | Path) -> tuple[Path, Path]:
    """Write metrics.json, predictions.parquet, and selection.npz and submission.json, if any.

    Returns
    -------
    tuple
        Paths of the metrics and of the predictions.

    Raises
    ------
    StoreWriteError
        The folder cannot be written.
    """
    place = Path(folder)
    if evaluation.selection is not None:
        save_selection(evaluation.selection, place / SELECTION)
    if evaluation.submission is not None:
        write_json(place / SUBMISSION, evaluation.submission)
    return (
        write_json(place / METRICS, evaluation.to_json()),
        write_predictions(place / PREDICTIONS, evaluation.predictions),
    )
