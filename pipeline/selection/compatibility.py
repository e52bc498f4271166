"""May a selection be used here? One answer for every use of a selection.

| what differs | on stored features | on a model, or on features, that are classified |
| --- | --- | --- |
| site, pooling, weights, configuration, processor, decoding, a chosen head | refused | refused |
| chat template | refused | refused, or noted with `allow_other_prompt` |
| window and stride of videos | noted | noted |
| dtype; name or revision of the same weight files | refused: select heads again | noted |
| kind of labels of a store | refused | |
| training examples or labels that came to a store since | noted | |
| prompt of the examples | of another store refused, or noted with `allow_other_prompt` | the same |

Of imported features that are classified, model name, heads and dtype are known; the rest is noted.
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from savs.datasets.example import of_subtask
from savs.pipeline.errors import SelectionError
from savs.pipeline.names import IMPORTED
from savs.pipeline.running.formatting import counted_as
from savs.pipeline.selection.selection_config import SelectionConfig, require_selection
from savs.pipeline.selection.training_data import (
    examples_digest,
    labels_digest,
    segment_digests,
    split_digest,
    train_digest,
)
from savs.pipeline.targets import target_of
from savs.pipeline.targets.tasks import TaskConfig
from savs.stores import FeatureStore, head_name
from savs.stores.format.layout import grid_widths
from savs.stores.format.manifest import FeatureSource, Manifest

NAMES = ("model.name", "model.revision")
TEMPLATE = "prompt"
WINDOWS = ("processor.window_ms", "processor.stride_ms")


def _notes(
    selection: SelectionConfig,
    found: Manifest | FeatureSource,
    what: str,
    remedy: str,
    *,
    runs: bool = False,
    allow_other_prompt: bool = False,
) -> list[str]:
    """Return how a selection differs from a store or other features, by the table above.

    SelectionError, of `what` does not fit and a `remedy`, if that is refused. `runs` says that
    `found` are the features of a model that classifies new media. Heads that were not chosen may be
    absent on either side: a store may be slim.
    """
    is_store = isinstance(found, Manifest)
    features = found.identity.source() if isinstance(found, Manifest) else found
    ours = selection.source
    held, meant = grid_widths(features.grid), grid_widths(ours.grid)
    if all(held.get(head) == meant[head] for head in selection.model_heads):
        ours = replace(ours, grid=features.grid)
    noted = {*WINDOWS}
    if runs:
        keys = ("weights", "config")
        weights, theirs = ([one.model.get(key) for key in keys] for one in (ours, features))
        has_same_weights = None not in weights and weights == theirs
        noted |= {"dtype", *(NAMES if has_same_weights else ())}
        noted |= {TEMPLATE} if allow_other_prompt else set()
    lines = ours.differences(
        features,
        "in the store" if is_store else "now",
        here="in the classifier" if runs else "in the selection",
    )
    refused = [line for line in lines if line.partition(":")[0] not in noted]
    if isinstance(found, Manifest):
        target, meant_by = target_of(found.identity.benchmark), selection.target
        if target is not meant_by:
            refused.append(f"labels: {meant_by.noun} in the selection, {target.noun} in the store")
        lines += older_note(selection, found)
    if refused:
        differ = "".join(f"\n  {line}" for line in refused)
        raise SelectionError(f"{what}, they differ in:{differ}\n{remedy}")
    return lines


def require_fit(
    selection: SelectionConfig,
    found: Manifest | FeatureSource,
    name: str | Path,
    of: str | Path = "",
) -> list[str]:
    """Return notes on a selection that is used on a store, or on other features.

    `name` is that of the store or the features, `of` the folder of the selection, for the message.
    SelectionError if it was made from other features, or for another kind of labels; ParameterError
    if it is no selection, but its path, for example.
    """
    require_selection(selection)
    return _notes(
        selection,
        found,
        f"the selection{f' {of}' if of else ''} does not fit {name}",
        "give a selection of the same features: run `savs select` on them",
    )


def require_match(
    selection: SelectionConfig, running: FeatureSource, *, allow_other_prompt: bool
) -> list[str]:
    """Return notes on a classifier whose model runs; SelectionError if it is another model."""
    return _notes(
        selection,
        running,
        "the classifier belongs to another model",
        "run the classifier's own model (`model`, `revision`, `adapter`, `model_code`,"
        " `model_kwargs`), or select heads with this one",
        runs=True,
        allow_other_prompt=allow_other_prompt,
    )


def require_features(
    selection: SelectionConfig, found: FeatureSource, name: str | Path, *, allow_other_prompt: bool
) -> list[str]:
    """Return notes on a classifier of stored features; SelectionError if they are not its model's.

    `name` is that of their store, for the message.
    """
    ours = selection.source
    if IMPORTED not in (ours.model.get("class"), found.model.get("class")):
        return _notes(
            selection,
            found,
            f"the classifier does not fit {name}",
            "classify features of the classifier's own model, or select heads from these",
            runs=True,
            allow_other_prompt=allow_other_prompt,
        )
    held, meant = grid_widths(found.grid), grid_widths(ours.grid)
    for head in selection.model_heads:
        if held.get(head) != meant[head]:
            width = f"{held[head]} values" if head in held else "is not there"
            raise SelectionError(
                f"{head_name(head)} of the classifier has {meant[head]} values, and in {name} it"
                f" {'has ' if head in held else ''}{width}; import features by layers and heads"
            )
    names = [source.model.get("name") for source in (ours, found)]
    if names[0] != names[1]:
        raise SelectionError(
            f"the classifier is of model {names[0]!r}, and {name} of {names[1]!r}; if that is the"
            f" same model, import with `model` {names[0]}"
        )
    if ours == found:
        return []
    dtypes = f"; their dtypes are {ours.dtype} and {found.dtype}" * (ours.dtype != found.dtype)
    return [f"the weights, processor and chat template of {name} are unknown{dtypes}"]


def require_same_prompt(
    selection: SelectionConfig, examples: pl.DataFrame | pl.LazyFrame, *, is_allowed: bool
) -> list[str]:
    """Return a note for each subtask whose examples have another prompt than in training.

    `examples` have the columns `id`, `subtask`, `prompt` and `media`. Subtasks whose training
    examples have several prompts are not compared. SelectionError if an example has another prompt,
    or another number of media, and that is not allowed.
    """
    media = pl.col("media").list.len()
    prompts = examples.lazy().select("id", "subtask", "prompt", media).collect()
    trained = pl.DataFrame(
        [(task.subtask, task.question, task.media) for task in selection.run_tasks],
        schema={"subtask": pl.String, "question": pl.String, "asked": prompts.schema["media"]},
        orient="row",
    )
    # one join for all tasks: a filter for each would look at all examples as often
    compared = prompts.join(trained, on="subtask", how="left", nulls_equal=True)
    has_other = (pl.col("prompt") != pl.col("question")) | (pl.col("media") != pl.col("asked"))
    odd = set(compared.filter(has_other.fill_null(value=False))["subtask"])
    remarks = [
        _other_prompts(task, prompts.filter(pl.col("subtask").eq_missing(pl.lit(task.subtask))))
        for task in selection.run_tasks
        if task.subtask in odd
    ]
    notes = [note for note in remarks if note]
    if notes and not is_allowed:
        raise SelectionError(
            f"{notes[0]}; heads that were chosen for one prompt may mean nothing for another: ask"
            " the same, select heads with this prompt, or pass `allow_other_prompt`"
        )
    return notes


def _other_prompts(task: TaskConfig, examples: pl.DataFrame) -> str | None:
    """Return what differs from a task's training examples, None if nothing does."""
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


def appended_since(selection: SelectionConfig, manifest: Manifest) -> int:
    """Return how many training examples a store has more than when a selection was made from it.

    0 if the selection is of all of them, or of other examples.
    """
    plan = manifest.plan.splits.get("train")
    segments = () if plan is None else plan.segments
    known, _ = split_digest(selection.train)
    is_earlier = known == segment_digests(manifest)[: len(known)]
    return sum(segment.rows for segment in segments[len(known) :]) if is_earlier else 0


def labelled_since(selection: SelectionConfig, manifest: Manifest) -> bool:
    """Return whether labels have changed the training examples that a selection was made from."""
    known, labels = split_digest(selection.train)
    now = segment_digests(manifest)
    is_earlier = known == now[: len(known)] if known else not now
    return is_earlier and labels != labels_digest(manifest)


def is_of_store(selection: SelectionConfig, store: FeatureStore) -> bool:
    """Return whether a selection was made of a store's training examples, as they are or were."""
    store = selection.seen(store)
    if "train" not in store.splits:
        return False
    store.examples("train")  # needed later; the same opening says which were skipped
    return is_older(selection, store.manifest) or examples_digest(selection.train) == train_digest(
        store
    )


def is_older(selection: SelectionConfig, manifest: Manifest) -> bool:
    """Return whether training examples or labels came to a store since a selection was made."""
    return bool(older_note(selection, manifest))


def older_note(selection: SelectionConfig, manifest: Manifest) -> list[str]:
    """Return a note if a selection is older than the training examples of its store."""
    added = appended_since(selection, manifest)
    what = [counted_as(added, "training example", "was appended", "were appended")] if added else []
    what += ["labels or files changed"] if labelled_since(selection, manifest) else []
    if not what:
        return []
    return [
        f"the selection is older than its store: {' and '.join(what)} since; make it again to use"
        " them, with `savs train` or `savs select`"
    ]


def pseudo_labels_note(selection: SelectionConfig) -> list[str]:
    """Return a note if the labels that heads were chosen by were the model's own answers."""
    least = selection.pseudo_labels
    if least is None:
        return []
    return [
        f"the training labels were the model's own answers to {selection.examples:,} examples, of"
        f" probability {least:g} at least"
    ]
