"""Names of what processors make and models take, and the type that each is given in."""

from typing import Any

import torch

GRID = "image_grid_thw"
"""Patches of each image, from which some models know the positions of its tokens."""
IDS, MASK = "input_ids", "attention_mask"
KINDS = "mm_token_type_ids"
"""Which tokens stand for images: models with positions of several axes need it."""
TYPES = ("token_type_ids", KINDS, "moe_mm_token_type_ids")
"""Inputs that say which tokens stand for images; those of an answer are text, 0."""
TEXT = (IDS, MASK, *TYPES)
"""Inputs with a column a token."""
PIXELS = "pixel_values"
"""What models call the pixels of images."""
MEAN_SECONDS, OMNI_SECONDS = "second_per_grid_ts", "video_second_per_grid"
SECONDS = (MEAN_SECONDS, OMNI_SECONDS)
"""Inputs with the seconds that pass between the merged frames of each video; no other input is of
times. Qwen2.5-VL has the first, Qwen2.5-Omni and Qwen3-Omni the second."""
POSITIONS, NEXT_POSITIONS = "position_ids", "next_positions"
"""Inputs with `(axes, batch, tokens)` where tokens stand, and `(axes, batch)` where the next token
will: the second is for answers, and no argument of a model."""
CHUNK_ENDS = ("image_cu_seqlens", "image_cu_window_seqlens")
"""Inputs with the ends of images, and of windows, among the patches of a vision tower."""
INTERPOLATION = "image_interp_weights"
"""Input with how much each patch has of learned positions; models multiply it in float32."""


def in_type(name: str, value: Any, dtype: torch.dtype) -> Any:
    """Return an input with floating values in a model's type; anything else stays as it is.

    Seconds stay in float32. Models multiply them by frame numbers to positions, which would be
    wrong in bfloat16, with its three digits. So do weights of positions.
    """
    exact = (*SECONDS, INTERPOLATION)
    is_cast = torch.is_tensor(value) and value.is_floating_point() and name not in exact
    return value.to(dtype) if is_cast else value
