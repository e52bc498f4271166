"""`ClassifyBatches`: a classifier as a step over batches, for `map_batches` of Ray Data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.errors import MediaError
from savs.datasets.media.in_memory import file_bytes
from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.estimator import SavsClassifier, image_name
from savs.pipeline.evaluation.predictions import choice_probability, predicted
from savs.pipeline.extraction.model.model_options import AUTO
from savs.pipeline.selection.readouts import Readout

MADE = ("prediction", "probability", "margin", "reason")
"""Columns that a batch gets."""


class ClassifyBatches:
    """Adds predictions to batches of images. An actor makes one, and loads the model once.

    Parameters
    ----------
    classifier
        What `select`, `evaluate`, `write_bundle` or `SavsClassifier.save` wrote, of one task, or
        `hf://owner/name`.
    column
        The images of a batch: paths, bytes of files, or uint8 arrays as in `SavsClassifier`.
    model, question, readout, device, batch_size
        As in `SavsClassifier.load`.

    Raises
    ------
    ResultError, HubError
        The classifier cannot be read, or fetched.
    SelectionError
        It has several subtasks, or a model that must be given.

    Examples
    --------
    >>> images.map_batches(  # doctest: +SKIP
    ...     ClassifyBatches, fn_constructor_args=("features/results/vote",), batch_size=64
    ... )
    """

    def __init__(
        self,
        classifier: str | Path,
        *,
        column: str = "image",
        model: str | Path | None = None,
        question: str | None = None,
        readout: str | Path | Readout | None = None,
        device: str = AUTO,
        batch_size: int | None = None,
    ) -> None:
        self.column = column
        self.classifier = SavsClassifier.load(
            classifier,
            model=model,
            question=question,
            readout=readout,
            device=device,
            batch_size=batch_size,
        )

    def __call__(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Return a batch with `prediction`, `probability`, `margin` and `reason`.

        An image that cannot be read has a reason, no prediction, and NaN as its numbers.

        Raises
        ------
        ParameterError
            The batch has no such column, or has one of these already.
        ModelError, SelectionError
            The model cannot be loaded or run, or is another one.
        """
        if self.column not in batch:
            raise ParameterError(
                f"a batch has the columns {', '.join(batch)}, and no {self.column!r}; pass"
                " column=NAME of the images"
            )
        if taken := [name for name in MADE if name in batch]:
            raise ParameterError(f"a batch has a column {taken[0]!r} already; rename it")
        images = batch[self.column]
        contents, reasons = _contents(images)
        predictions, reasons = self._classified(contents, reasons)
        whole = pl.DataFrame({"row": range(len(images))}).join(
            predictions, on="row", how="left", maintain_order="left"
        )
        columns = {name: whole[name].to_numpy() for name in ("probability", "margin")}
        texts = {"prediction": whole["prediction"], "reason": [*map(reasons.get, whole["row"])]}
        columns |= {name: np.array([*values], dtype=object) for name, values in texts.items()}
        return dict(batch) | {name: columns[name] for name in MADE}

    def _classified(
        self, contents: Mapping[int, bytes], reasons: Mapping[int, str]
    ) -> tuple[pl.DataFrame, dict[int, str]]:
        """Return predictions by row, and the reasons of all rows without one."""
        schema = {"row": pl.Int64, "prediction": pl.String}
        schema |= {"probability": pl.Float32, "margin": pl.Float32}
        if not contents:
            return pl.DataFrame(schema=schema), dict(reasons)
        heads = self.classifier.read_images([*contents.values()])
        places = {image_name(place): row for place, row in enumerate(contents)}
        undecodable = {places[name]: reason for name, reason in heads.skipped.items()}
        decoded = pl.DataFrame(
            {"row": [row for row in contents if row not in undecodable], "label": None},
            schema={"row": pl.Int64, "label": pl.String},
        )
        if not decoded.height:
            return pl.DataFrame(schema=schema), {**reasons, **undecodable}
        scores = self.classifier.score_heads(heads)
        task = self.classifier.selection_.only_task()
        likely = choice_probability(scores, task.calibration)
        rows = predicted(decoded, task.classes, scores).with_columns(probability=likely)
        return rows.select(list(schema)), {**reasons, **undecodable}


def _contents(images: Array) -> tuple[dict[int, bytes], dict[int, str]]:
    """Return the bytes of the images by row, and why others cannot be read."""
    contents, reasons = {}, {}
    for row, image in enumerate(images):
        try:
            plain: Any = str(image) if isinstance(image, np.str_) else image
            contents[row] = file_bytes(plain, image_name(row))
        except MediaError as error:
            reasons[row] = str(error)
    return contents, reasons
