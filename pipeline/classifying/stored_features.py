"""Examples of a store are classified: their features came with `savs import`, or are another's.

No model runs, and torch is not needed.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from savs.datasets import MediaFolder
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.classified import Classification
from savs.pipeline.classifying.prediction_table import (
    Output,
    Predicted,
    predictions_of,
    write_predictions,
)
from savs.pipeline.errors import OutputError, SelectionError
from savs.pipeline.inputs.input_options import require_media_root
from savs.pipeline.running.progress import Reporting
from savs.pipeline.selection.compatibility import require_features, require_same_prompt
from savs.pipeline.selection.selection import Selection
from savs.stores import FeatureStore, open_store
from savs.stores.format.layout import MANIFEST, UNLABELLED

TEST = "test"


def is_store(inputs: Sequence[str]) -> bool:
    """Return whether an input is a folder of features; ParameterError for one of several."""
    stores = [name for name in inputs if Path(name, MANIFEST).is_file()]
    if stores and len(inputs) > 1:
        raise ParameterError(f"{stores[0]} is a store, which is classified alone; pass it alone")
    return bool(stores)


def classify_store(
    selection: Selection,
    place: str | Path,
    outputs: Sequence[Output],
    *,
    risk: float | None,
    subtask: str | None,
    media_root: str | Path | None,
    allow_other_prompt: bool,
    force: bool,
    reporting: Reporting,
) -> Classification:
    """Return predictions of the examples of a store that have no label.

    If all have a label, the test examples are predicted. Parameters are those of `classify`; model,
    prompt and dtype are compared as far as they are known.

    SelectionError if the features have another model, prompt or head grid, or the classifier
    has no such subtask; StoreError if the store cannot be read, or has neither unlabelled nor
    test examples; ParameterError if `subtask` is needed, or has no meaning, or `media_root` is no
    folder; OutputError if an output exists, without `force`, or cannot be written.
    """
    require_media_root(media_root)
    for output in outputs:
        if output.path.exists() and not force:
            raise OutputError(f"{output.path} exists; pass another `out`, or `force` to replace it")
    store = open_store(place)
    notes = require_features(
        selection, store.manifest.identity.source(), place, allow_other_prompt=allow_other_prompt
    )
    store = _to_classify(store)
    examples = store.examples(TEST)
    selection = _for_rows(selection, [*dict.fromkeys(examples["subtask"])], subtask)
    asked = examples.filter(pl.col("prompt") != "")
    notes += require_same_prompt(selection, asked, is_allowed=allow_other_prompt)
    unknown = examples.height - asked.height
    if unknown and any(task.question for task in selection.run_tasks):
        notes.append(f"the prompt of {unknown:,} of {examples.height:,} examples is unknown")
    notes += selection.target.risk_notes(selection, risk)
    for note in notes:
        reporting.say(f"note: {note}")
    folders = {}
    if media_root is not None:
        folder = MediaFolder(Path(media_root), Path(media_root))
        folders = dict.fromkeys(examples["id"], folder)
    table = predictions_of(store, selection, risk)
    predicted = Predicted(table, selection, store, folders)
    for output in outputs:
        write_predictions(output, predicted, lambda _: None)
    found = table.collect()
    outs = {output.path: found.height for output in outputs}
    return Classification(found, outs, 0, 0.0, tuple(notes), selection.target)


def _to_classify(store: FeatureStore) -> FeatureStore:
    """Return a store whose test split is what is classified."""
    if store.ids(UNLABELLED):
        return store.in_one_split(TEST, waiting=True)
    if not store.ids(TEST):
        raise SelectionError(
            f"{store.path} has neither unlabelled nor test examples; measure its training examples"
            " with savs evaluate --folds"
        )
    return store


def _for_rows(
    selection: Selection, subtasks: Sequence[str | None], subtask: str | None
) -> Selection:
    """Return the classifier with the tasks that examples of these subtasks name."""
    known = [task.subtask for task in selection.run_tasks]
    if None not in subtasks or known == [None]:
        if subtask is not None:
            raise ParameterError("`subtask` is for examples without one; omit it")
        if absent := [name for name in subtasks if name not in known]:
            raise SelectionError(
                f"examples have the subtask {absent[0]!r}, and the classifier has"
                f" {', '.join(map(str, known))}"
            )
        return selection
    if subtask is None and len(known) > 1:
        raise ParameterError(
            f"examples name no subtask, and the classifier has {', '.join(map(str, known))}; pass"
            " one as `subtask`"
        )
    if subtask not in (None, *known):
        raise ParameterError(f"`subtask` is {subtask!r}, expected {', '.join(map(str, known))}")
    chosen = [task for task in selection.tasks if task.subtask == (subtask or known[0])]
    return replace(selection, tasks=tuple(replace(task, subtask=None) for task in chosen))
