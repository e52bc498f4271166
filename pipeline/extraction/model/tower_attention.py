"""The attention of vision towers: chunks of one length in one call.

A tower that reads images of any size keeps the patches of a batch side by side, and each image, or
each window of one, attends to itself. Under sdpa transformers calls the attention for each of these
chunks in turn, in every layer; Pixtral masks what is between images. With an implementation whose
name has "flash" in it, the same towers make one call a layer and say where chunks end. The function
here has such a name. It runs chunks of one length as a batch through sdpa.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.utils import logging

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.devices import moved

NAME = "savs_flash_runs"
"""Name of the registered function."""
VISION = "vision_config"
"""Where a configuration has that of its vision tower."""
SDPA = "sdpa"
MASKED = ("pixtral",)
"""Types of towers that compute the attention between all images of a batch, and mask most of it."""
CALLS_OF_GATHERING = 2
"""Sorting patches by the length of their chunk takes as long as this many calls: one operation for
queries, keys, values and what comes out; a call has two."""


@dataclass(frozen=True, slots=True)
class Runs:
    """How chunks are put together."""

    groups: list[tuple[int, int]]
    """Chunks that run as a batch, and the length of each."""
    order: torch.Tensor | None
    """`(patches,)` where each patch of the groups stands among all; None if groups are runs."""
    back: torch.Tensor | None
    """`(patches,)` where each patch stands among those of the groups."""


class RunsAttention:
    """Attention of chunks, called as transformers calls an implementation of FlashAttention."""

    def __init__(self) -> None:
        self.calls = 0
        """Counts the calls, so that a tower which never makes any is known."""
        self._told: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        """Ends of chunks on the device -> the same on the host."""
        self._runs: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        """Ends of chunks -> their runs: all layers are given the same tensor, and each read of it
        would wait for the device."""

    def tell(self, ends: torch.Tensor, on_host: torch.Tensor) -> None:
        """Take ends of chunks from the host, so that those on the device need not be read back."""
        self._told[ends] = on_host.tolist()

    def __call__(
        self,
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        cu_seq_lens_q: torch.Tensor | None = None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        """Return `(1, patches, heads, head_dim)` of queries, `(1, heads, patches, head_dim)`.

        ModelError if the tower does not say where chunks end. It is never run in another way: some
        towers (Gemma 4, Idefics 2, LFM2-VL) drop the mask of their padding for such an
        implementation.
        """
        self.calls += 1
        if cu_seq_lens_q is None or attention_mask is not None or len(query) != 1:
            raise ModelError(
                f"{type(module).__name__} does not say where the patches of an image end; set"
                " `tower_attention` loop"
            )
        if cu_seq_lens_q not in self._runs:
            ends = self._told.get(cu_seq_lens_q) or cu_seq_lens_q.tolist()
            self._runs[cu_seq_lens_q] = find_runs(ends, query.device)
        runs = self._runs[cu_seq_lens_q]
        sizes = [count * length for count, length in runs.groups]
        split = [
            (states if runs.order is None else states.index_select(2, runs.order)).split(sizes, 2)
            for states in (query, key, value)
        ]
        parts = []
        for group, states in zip(runs.groups, zip(*split, strict=True), strict=True):
            queries, keys, values = (p[0].unflatten(1, group).transpose(0, 1) for p in states)
            attended, _ = sdpa_attention_forward(module, queries, keys, values, None, **options)
            parts.append(attended.flatten(0, 1))  # (patches, heads, head_dim)
        joined = parts[0] if len(parts) == 1 else torch.cat(parts)
        return (joined if runs.back is None else joined.index_select(0, runs.back))[None], None


def find_runs(ends: Sequence[int], device: torch.device) -> Runs:
    """Return how chunks are put together, on the device of their patches.

    `ends` are those of the chunks, after a 0. Chunks of one length run together where they are
    neighbours, so that patches stay where they are. Where lengths alternate, as those of whole and
    of cut windows do, all of a length run together, and their patches are gathered.
    """
    chunks = [(stop - start, start) for start, stop in pairwise(ends)]
    runs = [(len([*run]), length) for length, run in groupby(length for length, _ in chunks)]
    counts = Counter(length for length, _ in chunks)
    if len(runs) <= len(counts) + CALLS_OF_GATHERING:
        return Runs(runs, None, None)
    chunks.sort()
    order = torch.cat([torch.arange(start, start + length) for length, start in chunks])
    return Runs(
        [(counts[length], length) for length in sorted(counts)],
        moved(order, device),
        moved(order.argsort(), device),
    )


RUNS = RunsAttention()
AttentionInterface.register(NAME, RUNS)


def has_sdpa_tower(model: Any) -> bool:
    """Return whether a model has a vision tower on sdpa, or on runs in its place."""
    config = getattr(model.config, VISION, None)
    return getattr(config, "_attn_implementation", None) in (SDPA, NAME)


def is_masked(model: Any) -> bool:
    """Return whether a model's tower masks the attention between images, see `MASKED`."""
    return getattr(getattr(model.config, VISION, None), "model_type", None) in MASKED


def set_runs(model: Any, *, runs: bool) -> None:
    """Let a model's vision tower run its attention in runs, or as transformers does under sdpa.

    Nothing happens to a tower with another attention than sdpa.
    """
    if has_sdpa_tower(model):
        set_attention(model, {VISION: NAME if runs else SDPA})


@contextmanager
def as_loop(model: Any) -> Iterator[None]:
    """Let a model's vision tower run as transformers runs it, and then again as it did before."""
    runs = has_sdpa_tower(model) and getattr(model.config, VISION)._attn_implementation == NAME
    set_runs(model, runs=False)
    try:
        yield
    finally:
        set_runs(model, runs=runs)


Names = dict[str, "str | Names | None"]
"""Part of a configuration -> its attention; "" stands for the configuration itself."""


def attention_names(config: Any) -> Names:
    """Return the attention of a configuration and of all its parts, as `set_attention` takes it."""
    names: Names = {"": config._attn_implementation}
    for part in config.sub_configs:
        if (nested := getattr(config, part, None)) is not None:
            names[part] = attention_names(nested)
    return names


def set_attention(model: Any, names: Names) -> None:
    """Set the attention of some parts of a model; the others stay as they are."""
    tower: Any = getattr(model.config, VISION, None)
    before = tower and tower._attn_implementation
    named = names.get(VISION, before)
    after = named[""] if isinstance(named, dict) else named
    if before == NAME:
        tower._attn_implementation = SDPA
    if after == NAME:
        names = names | {VISION: SDPA}
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # of parts without a module of their own it warns
    try:
        model.set_attn_implementation(names)
    finally:
        logging.set_verbosity(level)
    if after == NAME:  # by hand: transformers looks for a package of any name with "flash" in it
        tower._attn_implementation = NAME
