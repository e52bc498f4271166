"""What models call their inputs, and which are put to them in their type: all but times."""

from typing import Any

import torch

PIXELS = "pixel_values"
"""What models call the pixels of images."""
MEAN_SECONDS, OMNI_SECONDS = "second_per_grid_ts", "video_second_per_grid"
SECONDS = (MEAN_SECONDS, OMNI_SECONDS)
"""Inputs with the seconds that pass between the merged frames of each video; no other input is of
times. Qwen2.5-VL has the first, Qwen2.5-Omni and Qwen3-Omni the second."""


def in_type(name: str, value: Any, dtype: torch.dtype) -> Any:
    """Return an input with floating values in a model's type; anything else stays as it is.

    Seconds stay in float32. Models multiply them by frame numbers to positions, which would be
    wrong in bfloat16, with its three digits.
    """
    is_cast = torch.is_tensor(value) and value.is_floating_point() and name not in SECONDS
    return value.to(dtype) if is_cast else value
