"""Whether a model gives the features that a store holds, whichever program computed them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np

from savs.datasets import Example, MediaError, MediaFolder
from savs.foundation.arrays import Array
from savs.pipeline.classifying.model_match import DECODING, decoding_rules
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.check_model import Check, Checkup, model_description
from savs.pipeline.extraction.checks.trial import (
    DEAD,
    FEW,
    TOLERANCES,
    compare,
    distances,
    run_single,
)
from savs.pipeline.extraction.chosen_heads import keep_heads
from savs.pipeline.extraction.line.prepare import pieces_of
from savs.pipeline.extraction.model.model_options import ModelKeywords, ModelOptions
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model_run import ModelRun
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.names import IMPORTED
from savs.pipeline.prompts.media.inputs import Pieces
from savs.pipeline.running.options import sort_keywords
from savs.pipeline.running.progress import SILENT, Reporting
from savs.pipeline.selection.compatibility import require_fit
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.training_data import reads_answers
from savs.stores import FeatureStore
from savs.stores.format.layout import SPLITS, UNLABELLED, pick

COMPARED = 16
"""Examples that run."""
FEATURES = "features equal the store's"
VOTES = "the store's classifier predicts the same"


def compare_with_store(
    model: str | Path,
    store: FeatureStore,
    *,
    media_root: str | Path | None = None,
    selection: Selection | None = None,
    reporting: Reporting = SILENT,
    **options: Unpack[ModelKeywords],
) -> Checkup:
    """Run some prompts of a store one by one, and compare their heads with those in the store.

    Features differ where more of them move than rounding explains, in the coarser of both types;
    predictions of a classifier, its `selection`, where more of them change than when each example
    runs with its own copy. The store's examples need prompts, as the model shall read them;
    `options` are the fields of `ModelOptions` that the features were computed with.

    ModelError if the model cannot be loaded, has not the store's heads, or fewer than two examples
    can run; SelectionError if the selection belongs to another store.
    """
    (loading,) = sort_keywords("compare_with_store", {**options, "model": model}, ModelOptions)
    if selection is not None:
        require_fit(selection, store.manifest, store.path)
    run = ModelRun(loading, RunOptions(), reporting)
    identity = store.manifest.identity
    decoding = {name: identity.processor[name] for name in DECODING if name in identity.processor}
    root = Path() if media_root is None else Path(media_root)
    folder = MediaFolder(root, rules=decoding_rules(decoding))
    examples, digests, features = _stored_examples(store)
    readable = dict(_readable(examples, digests, folder, run.encoder))
    absent = len(examples) - len(readable)
    if len(readable) < 2:
        raise ModelError(
            f"{len(readable)} of {len(examples)} examples of {store.path} can be run: their"
            f" prompts or media are not there, or differ from the files that were read in"
            f" {root.absolute()}; give `media_root`, the folder of the media, and features with"
            " prompts"
        )
    examples, features = [examples[place] for place in readable], features[[*readable]]
    whole = run.load()
    loaded = replace(whole, hook_points=keep_heads(whole.hook_points, store.heads))
    if absent_grid := [grid for grid in store.grid if grid not in loaded.grid]:
        grid = absent_grid[0]
        raise ModelError(
            f"layer {grid.layer} of {store.path} has {len(grid.heads)} heads of {grid.head_dim}"
            f" values, which {loaded.name} has not; compare the model and the kind of features of"
            " the store"
        )
    singles = [run_single(loaded, pieces) for pieces in readable.values()]
    alone = np.stack([single.heads for single in singles])
    nudged = np.stack([single.nudged for single in singles])
    dtype = max(identity.dtype, loaded.dtype, key=TOLERANCES.__getitem__)
    verdict = compare(alone, nudged, features, dtype)
    facts = model_description(loaded) | {
        "store": f"{identity.model.get('name')} ({identity.model.get('class')}), {identity.dtype}",
        "compared": f"{len(singles)} examples, {absent} others could not be run",
        **_spread(alone, features),
    }
    if identity.model.get("class") != IMPORTED:
        now = loaded.identity(identity.benchmark, media=decoding).source()
        facts["differs in"] = "; ".join(identity.source().differences(now)) or "nothing"
    votes = Check(VOTES, None, "the store has no classifier")
    if selection is not None and reads_answers(selection.tasks):
        votes = Check(VOTES, None, "not compared, since it reads the model's own answers")
    elif selection is not None:
        there, here, off = (
            _predictions(selection, store, examples, some) for some in (features, alone, nudged)
        )
        same = float((there == here).mean())
        what = f"{same:.1%} of {len(here)} predictions are the same"
        votes = Check(VOTES, float((off == here).mean()) - same <= FEW, what)
    return Checkup(facts, (Check(FEATURES, verdict.same, verdict.seen), votes), None)


def _stored_examples(
    store: FeatureStore,
) -> tuple[list[Example], list[Sequence[str]], Array]:
    """Return some examples of the first shard of each split, and what the store has of each.

    That is the SHA-256 of its media, where known, and `(examples, heads, head_dim)` features.
    """
    splits = [name for name in (*SPLITS, UNLABELLED) if name in store.splits]
    examples, digests, parts = [], [], []
    for split in splits:
        block = next((b for b in store.blocks(split) if not b.examples.is_empty()), None)
        if block is None:
            continue
        count = min(block.examples.height, COMPARED // len(splits))
        places = np.linspace(0, block.examples.height - 1, count).round().astype(int)
        for row in block.examples[places].iter_rows(named=True):
            names = ("id", "label", "prompt", "group", "subtask", "category")
            known = {name: row[name] for name in names}
            examples.append(Example(split=split, index=0, media=tuple(row["media"]), **known))
            digests.append(row["media_sha256"])
        parts.append(block.features[:, places].swapaxes(0, 1))
    return examples, digests, np.concatenate(parts)


def _readable(
    stored: Sequence[Example],
    digests: Sequence[Sequence[str]],
    folder: MediaFolder,
    encoder: PromptEncoder,
) -> Iterator[tuple[int, Pieces]]:
    """Yield the place and the prompt of the examples whose media are there and are the same."""
    for place, (example, before) in enumerate(zip(stored, digests, strict=True)):
        if not (example.prompt or example.media):
            continue
        try:
            contents = list(map(folder.digest, example.media))
            pieces = encoder.pieces_read(pieces_of(example, folder, encoder))
        except MediaError:
            continue
        if not before or contents == list(before):
            yield place, pieces


def _spread(alone: Array, stored: Array) -> Mapping[str, str]:
    """Return how far `(examples, heads, head_dim)` features are from the stored ones, in words."""
    apart = distances(alone, stored)
    lengths = np.linalg.norm(alone, axis=2) * np.linalg.norm(stored, axis=2)
    cosines = ((alone * stored).sum(axis=2) / np.maximum(lengths, DEAD**2))[lengths > DEAD**2]
    return {
        "relative distance": f"median {np.median(apart):.1e}, largest {apart.max():.1e}",
        "cosine": f"median {np.median(cosines):.6f}, lowest {cosines.min():.6f}",
    }


def _predictions(
    selection: Selection, store: FeatureStore, examples: Sequence[Example], features: Array
) -> Array:
    """Return the class of each example, of `(examples, heads, head_dim)` features."""
    predictions = np.full(len(examples), "", dtype=object)  # where a subtask has no classifier
    by_head = features.swapaxes(0, 1)
    for run in selection.runs():
        rows = np.array([n for n, e in enumerate(examples) if e.subtask == run.subtask], int)
        if len(rows):
            scores = run.score(pick(by_head, store.heads, run.heads, rows)[:, :, : run.width])
            predictions[rows] = selection.target.sureness(run, scores)[0].to_numpy()
    return predictions
