"""Which inputs are put to a model in its type: pixels and the like, and no times."""

from typing import Any

import torch

from savs.pipeline.extraction.model.video_inputs import SECONDS


def in_type(name: str, value: Any, dtype: torch.dtype) -> Any:
    """Return an input with floating values in a model's type; anything else stays as it is.

    Seconds stay in float32. Models multiply them by frame numbers to positions, which would be
    wrong in bfloat16, with its three digits.
    """
    is_cast = torch.is_tensor(value) and value.is_floating_point() and name not in SECONDS
    return value.to(dtype) if is_cast else value
