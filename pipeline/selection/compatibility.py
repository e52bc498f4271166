"""Whether heads that were chosen on some examples mean the same on others, or in a model."""

from dataclasses import replace
from typing import Any

import polars as pl

from savs.datasets.example import of_subtask
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.config_json import SelectionConfig, TaskConfig, grid_widths
from savs.stores import FeatureStore
from savs.stores.format.layout import digest
from savs.stores.format.manifest import FeatureSource
from savs.stores.read.store import require_store


def require_same_model(store: FeatureStore, selection: SelectionConfig) -> None:
    """Check that a selection's heads can be used on a store.

    Raises
    ------
    ParameterError
        One of the two is something else, such as a path.
    SelectionError
        The selection is of another model, or the store lacks one of its heads.
    """
    require_store(store)
    require_selection(selection)
    ours = store.manifest.identity.source()
    apart = ours.differences(usable_source(selection, ours), "in the selection")
    if apart:
        raise SelectionError(
            f"the selection does not fit {store.path}, they differ in:\n  "
            + "\n  ".join(apart)
            + "\nrun `savs select` on this store"
        )


def require_selection(selection: Any) -> None:
    """Raise ParameterError unless this is a selection, instead of its path, for example."""
    if not isinstance(selection, SelectionConfig):
        raise ParameterError(
            f"the selection is {selection!r:.100}, expected what select() or load_selection(PATH)"
            " returns"
        )


def usable_source(selection: SelectionConfig, ours: FeatureSource) -> FeatureSource:
    """Return what a selection is of; with our heads, where all that it chose are among them."""
    held, meant = grid_widths(ours.grid), grid_widths(selection.source.grid)
    if all(head in held and held[head] == meant[head] for head in selection.heads):
        return replace(selection.source, grid=ours.grid)  # one of the two may be of a slim store
    return selection.source


def has_layer_weights(source: FeatureSource) -> bool:
    """Return whether a source says which weights each layer has, so that few can be compared."""
    parts = source.model.get("layer_weights")
    return isinstance(parts, list) and digest(parts) == source.model.get("weights")


def require_same_prompt(
    selection: SelectionConfig, examples: pl.DataFrame | pl.LazyFrame, *, is_allowed: bool
) -> list[str]:
    """Return a note for each subtask whose examples have another prompt than in training.

    Subtasks whose training examples have several prompts are not compared.

    Parameters
    ----------
    selection
        The classifier.
    examples
        What it is put to: columns `id`, `subtask`, `prompt` and `media`.
    is_allowed
        Whether other prompts are only noted.

    Raises
    ------
    SelectionError
        An example has another prompt, or another number of media, and that is not allowed.
    """
    media = pl.col("media").list.len()
    asked = examples.lazy().select("id", "subtask", "prompt", media).collect()
    found = [
        _other_prompts(task, asked.filter(pl.col("subtask").eq_missing(pl.lit(task.subtask))))
        for task in selection.tasks
    ]
    notes = [note for note in found if note]
    if notes and not is_allowed:
        raise SelectionError(
            f"{notes[0]}; heads that were chosen for one prompt may mean nothing for another: ask"
            " the same, select heads with this prompt, or pass --allow-other-prompt"
        )
    return notes


def _other_prompts(task: TaskConfig, examples: pl.DataFrame) -> str | None:
    """Return what differs from a task's training examples, None where nothing does."""
    has_other = pl.lit(value=False) if task.question is None else pl.col("prompt") != task.question
    has_more = pl.lit(value=False) if task.media is None else pl.col("media") != task.media
    other = examples.filter(has_other | has_more)
    if not other.height:
        return None
    first = other.row(0, named=True)
    where = of_subtask(task.subtask)
    text = f"{other.height:,} of {examples.height:,} examples{where} have another prompt than"
    if first["prompt"] != task.question and task.question is not None:
        return f"{text} in training, {task.question!r}; {first['id']!r} has {first['prompt']!r}"
    return f"{text} in training, with {task.media} images; {first['id']!r} has {first['media']}"
