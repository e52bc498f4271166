"""An evaluation on disk: metrics, predictions, and the selection that made them."""

from pathlib import Path

from savs.pipeline.evaluation import Evaluation
from savs.pipeline.selection_file import save_selection
from savs.stores.results import (
    METRICS,
    PREDICTIONS,
    SELECTION,
    write_metrics,
    write_predictions,
)


def save_evaluation(evaluation: Evaluation, folder: str | Path) -> tuple[Path, Path]:
    """Write metrics.json, predictions.parquet and, if there is one, selection.npz.

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
    return (
        write_metrics(place / METRICS, evaluation.to_json()),
        write_predictions(place / PREDICTIONS, evaluation.predictions),
    )
