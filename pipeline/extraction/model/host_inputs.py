"""What a model computes from the sizes of images, computed on the host before its pass.

Models whose images have any size read the sizes back from the device: for the positions of tokens,
for those of patches, for windows. Each read waits for all that was started before. They also take
these values as arguments, by public names (`accepts_precomputed_kwargs` of transformers), so that
the process which prepares a batch can compute them while the model runs another one.
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Any

import torch
from torch import nn
from transformers import AutoModel
from transformers.vision_utils import (
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
    get_vision_window_index,
)

from savs.pipeline.extraction.model.continuation import OF_VIDEOS, has_axes, positions_and_next
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model.tower_attention import VISION
from savs.pipeline.prompts.input_names import GRID, INTERPOLATION, KINDS, NEXT_POSITIONS, POSITIONS

Grid = tuple[int, int, int]
"""Frames, rows and columns of patches."""
CACHED_SIZES = 256
"""Sizes of images whose values are cached."""


def host_inputs(encoder: PromptEncoder, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return more arguments of the model's forward for a batch on the host, and `NEXT_POSITIONS`.

    There are none for prompts without images or with videos, and for models that do not have
    positions of several axes or do not take grids of patches. Which of the arguments a model uses
    is not asked: a comparison tells, see `host_ways`.
    """
    tower: Any = getattr(encoder.config, VISION, None)
    merge = getattr(tower, "spatial_merge_size", None)
    has_videos = any(name in inputs for name in OF_VIDEOS)
    model = _without_weights(encoder)
    if not {GRID, KINDS} <= inputs.keys() or has_videos or merge is None or model is None:
        return {}
    arguments = tower_inputs(encoder, inputs[GRID])
    if POSITIONS not in inputs:  # else an embedding recipe has set them
        positions = positions_and_next(model, inputs)
        assert positions is not None  # the model has axes
        arguments |= {POSITIONS: positions[0], NEXT_POSITIONS: positions[1]}
    return arguments


def tower_inputs(encoder: PromptEncoder, image_grids: torch.Tensor) -> dict[str, Any]:
    """Return those of `host_inputs` that the vision tower takes, from `(images, 3)` grids.

    The configuration has a vision tower that merges patches.
    """
    tower: Any = getattr(encoder.config, VISION)
    merge = tower.spatial_merge_size
    grids = [tuple(grid) for grid in image_grids.tolist()]
    arguments: dict[str, Any] = {
        "image_position_ids": torch.cat([_places(grid, merge) for grid in grids])
    }
    frames = [rows * columns for count, rows, columns in grids for _ in range(count)]
    arguments |= _ends("cu_seqlens", "max_seqlen", frames)
    if (size := getattr(tower, "window_size", None)) is not None:
        windows = [_windows(grid, merge, size, tower.patch_size) for grid in grids]
        starts = accumulate((len(index) for index, _ in windows), initial=0)
        arguments["image_window_index"] = torch.cat(
            [index + start for start, (index, _) in zip(starts, windows, strict=False)]
        )
        lengths = [length for _, sizes in windows for length in sizes]
        arguments |= _ends("cu_window_seqlens", "max_window_seqlen", lengths)
    if (count := getattr(tower, "num_position_embeddings", None)) is not None:
        parts = [_interpolated(grid, merge, int(count**0.5)) for grid in grids]
        arguments["image_interp_indices"] = torch.cat([indices for indices, _ in parts])
        arguments[INTERPOLATION] = torch.cat([weights for _, weights in parts])
    return arguments


def _without_weights(encoder: PromptEncoder) -> Any:
    """Return the inner model with its configuration alone; None if images have no axes."""
    kind: Any = AutoModel._model_mapping.get(type(encoder.config), None)
    if encoder.code.to_inputs is not None or kind is None:
        return None
    model = kind.__new__(kind)  # its own `__init__` would make all weights
    nn.Module.__init__(model)
    model.config = encoder.config
    return model if has_axes(model) else None


def _ends(ends: str, longest: str, lengths: list[int]) -> dict[str, Any]:
    cumulated = torch.tensor([*accumulate(lengths, initial=0)], dtype=torch.int32)
    return {f"image_{ends}": cumulated, f"image_{longest}": max(lengths)}


@lru_cache(CACHED_SIZES)
def _places(grid: Grid, merge: int) -> torch.Tensor:
    return get_vision_position_ids(torch.tensor([grid]), merge)


@lru_cache(CACHED_SIZES)
def _windows(grid: Grid, merge: int, size: int, patch: int) -> tuple[torch.Tensor, list[int]]:
    """Return the order of an image's merged patches, and the patches of each window."""
    index, ends = get_vision_window_index(torch.tensor([grid]), merge, size, patch)
    return index, ends.diff().tolist()


@lru_cache(CACHED_SIZES)
def _interpolated(grid: Grid, merge: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which learned positions each patch has, and how much of each, as in Qwen3-VL."""
    return get_vision_interpolation_indices_and_weights(
        torch.tensor([grid]), side, "bilinear", True, merge
    )
