"""A selection made of images in memory instead of a store."""

from collections.abc import Sequence
from pathlib import Path

from savs.datasets.media.media import sha256
from savs.foundation.arrays import Array
from savs.pipeline.classifying.chosen_heads import ChosenHeads, choose_heads
from savs.pipeline.classifying.feature_cache import ImageHeads
from savs.pipeline.classifying.image_calibration import calibrate_images
from savs.pipeline.selection.readouts import Readout, choose_readout
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.task_selection import TaskSelection
from savs.stores.format.layout import digest


def select_of_images(
    found: ImageHeads,
    contents: Sequence[bytes],
    classes: Sequence[str],
    labels: Array,
    *,
    question: str,
    heads: int | None,
    readout: str | Path | Readout,
    scoring: str,
) -> Selection:
    """Choose heads, fit a readout and calibrate it, as `savs select` does of a store.

    Parameters
    ----------
    found
        All heads of the images.
    contents
        The images' files, in the same order: training is known by what they hold.
    classes
        Names of the classes.
    labels
        `(n,)` class numbers.
    question
        The prompt of the images.
    heads, readout, scoring
        As in `SavsClassifier`.

    Raises
    ------
    SelectionError
        As `choose_heads`.
    """
    names, widths, features = found.features()
    rule, digests = choose_readout(readout), [sha256(content) for content in contents]

    def choose(own: Array, numbers: Array) -> ChosenHeads:
        return choose_heads(
            *(own, numbers, tuple(classes), names, widths),
            count=heads,
            readout=rule,
            scoring=scoring,
        )

    chosen = choose(features, labels)
    task = TaskSelection(
        subtask=None,
        classes=tuple(classes),
        heads=tuple(names[place] for place in chosen.places),
        scores=tuple(chosen.scores.score[chosen.places].tolist()),
        margins=tuple(chosen.scores.margin[chosen.places].tolist()),
        examples=len(contents),
        question=question,
        media=1,
        fitted=chosen.fitted,
        calibration=calibrate_images(chosen, choose, features, labels, classes, digests, scoring),
    )
    return Selection(
        source=found.source,
        train=digest([[name, classes[n]] for name, n in zip(digests, labels, strict=True)]),
        readout=chosen.rule.name,
        readout_file=chosen.rule.file,
        rule=chosen.rule,
        scoring=scoring,
        tasks=(task,),
    )
