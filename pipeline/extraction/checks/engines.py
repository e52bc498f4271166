"""vLLM compared with transformers before the first shard: here, or with what it wrote elsewhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from accelerate.utils.memory import clear_device_cache

from savs.datasets import Example, MediaError
from savs.foundation.arrays import Array
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.decisions import (
    COMPUTED,
    DEFAULTS,
    FIXED,
    LOOP,
    NO_ANSWERS_KEPT,
    UNNEEDED,
    Batching,
    as_asked,
)
from savs.pipeline.extraction.checks.trial import (
    COMPARED,
    Choice,
    Single,
    Verdict,
    compare,
    distance,
    error_line,
    run_single,
    stacked,
)
from savs.pipeline.extraction.line.feed import MediaOf
from savs.pipeline.extraction.line.prepare import pieces_of
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model.reading import RefusedPromptError
from savs.pipeline.extraction.model.vllm_model import VllmModel
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.source import Splits
from savs.pipeline.prompts.chat import PROMPTS
from savs.pipeline.prompts.input_names import IDS
from savs.pipeline.prompts.media.catalogue import images_in
from savs.pipeline.prompts.media.inputs import Pieces
from savs.pipeline.running.option_texts import VLLM
from savs.stores import FeatureStore, open_store

EXAMPLES = 256
"""Of a call of vLLM by default: it makes its batches itself."""


def is_of_vllm(record: Mapping[str, Any], version: str, run: RunOptions) -> bool:
    """Return whether a store records that vLLM of a version runs it, by the options of a run."""
    batching = as_asked(record, run, ("batch_size", "batch_tokens", "batch_check"))
    return batching is not None and batching.attention == Choice(VLLM, version)


def batching_of_vllm(model: VllmModel, run: RunOptions, verdict: Verdict) -> Batching:
    """Return the record of a run by vLLM: its version, and how far it is from transformers."""
    sizes = {name: getattr(run, name) for name in DEFAULTS if getattr(run, name) is not None}
    batches: dict[str, Any] = {**DEFAULTS, "batch_size": EXAMPLES, **sizes}
    return Batching(
        **batches,
        batch_tokens=model.tokens,
        raw_pixels=False,
        attention=Choice(VLLM, model.version),
        tower=Choice(LOOP, ""),
        host_inputs=Choice(COMPUTED, ""),
        batches=Choice(VLLM, verdict.seen),
        answers=Choice(NO_ANSWERS_KEPT, ""),
        sharing=Choice(UNNEEDED, ""),
        tokens=Choice(FIXED, ""),
    )


def one_of_each(
    prompts: Sequence[Pieces], examples: Splits, media: MediaOf, encoder: PromptEncoder
) -> list[Pieces]:
    """Return prompts, and one for each other number of images that examples have.

    Engines may cut several images of a prompt otherwise (LLaVA-OneVision).
    """
    compared, known = [*prompts], set(map(images_in, prompts))
    for example in chain.from_iterable(examples.values()):
        if len(example.media) in known or len(compared) == 2 * COMPARED:
            continue
        try:
            pieces = pieces_of(example, media(example), encoder)
            encoder.encode([pieces])
        except Exception:  # the run itself skips it, and says so
            continue
        known.add(len(example.media))
        compared.append(pieces)
    return compared


def compare_here(
    model: VllmModel, prompts: Sequence[Pieces], load: Callable[[], LoadedModel]
) -> Verdict:
    """Run some prompts by transformers, free its memory, and compare them, and their tokens.

    `load` loads the model with the hook points of `model`. Where transformers cannot run it,
    nothing is compared. ModelError if vLLM refuses all prompts.
    """
    name = f"transformers {transformers.__version__}"
    try:
        singles, reference_tokens = _reference(load, prompts)
    except Exception as error:  # the run by vLLM need not fail by it
        return Verdict(True, f"nothing was compared: {name} does not run it ({error_line(error)})")
    finally:
        clear_device_cache(garbage_collection=True)
    taken, refusals = [], []
    for n, pieces in enumerate(prompts):
        try:
            _by_vllm(model, [pieces])
            taken.append(n)
        except RefusedPromptError as error:
            refusals.append(error)
    if not taken:
        raise ModelError(f"{refusals[0]}; so it does with all prompts that were tried")
    other, tokens = _by_vllm(model, [prompts[n] for n in taken])
    for here, there in zip(tokens, (reference_tokens[n] for n in taken), strict=True):
        if here != there:
            return Verdict(
                False, f"{name} makes {len(there)} tokens of a prompt, and vLLM others, {len(here)}"
            )
    alone = np.stack([singles[n].heads for n in taken])
    nudged = np.stack([singles[n].nudged for n in taken])
    verdict = compare(alone, nudged, other, model.dtype)
    return Verdict(verdict.same, f"against {name}, {len(taken)} prompts: {verdict.seen}")


def _reference(
    load: Callable[[], LoadedModel], prompts: Sequence[Pieces]
) -> tuple[list[Single], list[list[int]]]:
    """Return what transformers reads, and the tokens; its model is free when this ends."""
    model = load()
    tokens = [model.inputs([pieces])[IDS][0].tolist() for pieces in prompts]
    return [run_single(model, pieces) for pieces in prompts], tokens


def compare_with(store: str | Path, model: VllmModel, examples: Splits, media: MediaOf) -> Verdict:
    """Compare examples with a store's rows of equal id and content; ModelError if it has none."""
    reference = open_store(store)
    identity = reference.manifest.identity
    points = tuple(p for p in model.hook_points if p.site.label == identity.site)
    grid = tuple(point.grid for point in points)
    if grid != reference.grid:
        raise ModelError(
            f"`compare_with` {store} has {identity.site} of {identity.model.get('name')}, expected"
            f" the sites and heads that are read of {model.name}; pass a store of the same options"
        )
    prompts, stored = [], []
    for pieces, features in _rows_of_both(reference, model, examples, media):
        prompts.append(pieces)
        stored.append(features)
        if len(prompts) == 4 * COMPARED:
            break
    if not prompts:
        raise ModelError(
            f"`compare_with` {store} has none of the examples of this run, by id, prompt and"
            " content of the images; extract some of these examples by transformers into it"
        )
    other, _ = _by_vllm(model, prompts, points)
    alone = np.stack(stored)
    verdict = compare(alone, alone, other, model.dtype)  # what rounding does there is not stored
    moved = verdict.seen.partition(" (")[0]
    return Verdict(
        verdict.same,
        f"against {len(prompts)} rows of {reference.path}: {moved}, the largest relative distance"
        f" is {distance(alone, other):.1e} in {model.dtype}",
    )


def _rows_of_both(
    store: FeatureStore, model: VllmModel, examples: Splits, media: MediaOf
) -> Iterator[tuple[Pieces, Array]]:
    """Yield prompts and stored `(heads, head_dim)` float32 features of rows that a run has, too."""
    for split in (split for split in examples if split in store.splits):
        known: dict[str, Example] = {example.id: example for example in examples[split]}
        for block in store.blocks(split):
            columns = block.examples.select("id", "prompt", "media_sha256").iter_rows()
            for place, (identifier, prompt, digests) in enumerate(columns):
                example = known.get(identifier)
                if example is None or example.prompt != prompt:
                    continue
                folder = media(example)
                try:
                    if list(map(folder.digest, example.media)) == list(digests):
                        yield (
                            pieces_of(example, folder, model.encoder),
                            block.features[:, place].astype(np.float32),
                        )
                except MediaError:
                    continue


def _by_vllm(
    model: VllmModel, prompts: Sequence[Pieces], points: Sequence[Any] = ()
) -> tuple[Array, list[list[int]]]:
    """Return `(prompts, heads, head_dim)` float32, of some `points` or of all, and the tokens."""
    launched, tokens = model.run_prompts(model.encoder.encode(prompts)[PROMPTS])
    read = launched.result()
    if points:
        places = [n for n, point in enumerate(model.hook_points) if point in points]
        model = replace(model, hook_points=tuple(points))
        read = replace(read, heads=[read.heads[n] for n in places])
    return stacked(model, read).swapaxes(0, 1), tokens
