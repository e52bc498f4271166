"""A selection made of images in memory instead of a store."""

from collections.abc import Sequence
from pathlib import Path

from savs.datasets.media.media import sha256
from savs.foundation.arrays import Array
from savs.pipeline.classifying.chosen_heads import choose_heads
from savs.pipeline.classifying.feature_cache import ImageHeads
from savs.pipeline.readouts import Readout
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
    """Choose heads and fit a readout, as `select` does of a store.

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
    chosen = choose_heads(
        *(features, labels, tuple(classes), names, widths),
        count=heads,
        readout=readout,
        scoring=scoring,
    )
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
    )
    return Selection(
        source=found.source,
        train=digest([[sha256(c), classes[n]] for c, n in zip(contents, labels, strict=True)]),
        readout=chosen.rule.name,
        readout_file=chosen.rule.file,
        rule=chosen.rule,
        scoring=scoring,
        tasks=(task,),
    )
