"""Prompts that a model has read and continues: the cache, and the position of the next token."""

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from savs.pipeline.extraction.model.devices import moved
from savs.pipeline.extraction.model.pieces import GRID, IDS, KINDS, MASK, MEAN_SECONDS

OF_VIDEOS = ("video_grid_thw", MEAN_SECONDS)
"""Inputs that say where the tokens of videos stand, in such models."""


def new_cache(model: Any) -> DynamicCache:
    """Return an empty cache for the layers of a model's decoder."""
    return DynamicCache(config=model.config.get_text_config())


def following(cache: Any) -> dict[str, Any]:
    """Return the arguments of a forward pass that continues from a cache, and extends it.

    Older versions of transformers name the cache differently; only this function names it.
    """
    return {"cache": cache, "use_cache": True}


def widened(cache: Any, order: Sequence[int], device: torch.device) -> Any:
    """Return a copy of a cache with the rows of `order`; the cache itself stays as it is."""
    wide = copy.copy(cache)
    wide.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in wide.layers:  # layers of linear attention keep their states in dictionaries
        states = {name: value.copy() for name, value in vars(layer).items() if type(value) is dict}
        vars(layer).update(states)
    wide.reorder_cache(moved(torch.tensor(order), device))  # makes new tensors
    return wide


def has_axes(model: Any) -> bool:
    """Return whether images have positions of several axes, which are computed before a pass."""
    return hasattr(getattr(model, "model", model), "get_rope_index")


def knows_positions(model: Any, inputs: Any) -> bool:
    """Return whether the positions after a prompt are known, so that a pass can continue there."""
    return not has_axes(model) or KINDS in inputs


def image_positions(model: Any, inputs: Any) -> torch.Tensor | None:
    """Return `(axes, batch, tokens)` positions of prompts, where images have several axes."""
    if not has_axes(model):
        return None
    inner = getattr(model, "model", model)
    known = inspect.signature(inner.get_rope_index).parameters
    videos = {name: inputs[name] for name in OF_VIDEOS if name in known and name in inputs}
    positions, _ = inner.get_rope_index(
        inputs[IDS],
        inputs[KINDS],
        image_grid_thw=inputs.get(GRID),
        attention_mask=inputs[MASK],
        **videos,
    )
    return positions
