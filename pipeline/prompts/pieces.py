"""A prompt as its pieces: text, images, videos and sounds, in reading order."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from savs.datasets.media.sounds import Sound, sounds_of
from savs.datasets.media.videos import Decoded, Video, images_of, videos_of

Pieces = tuple[str | Decoded, ...]
"""A prompt as text, images, videos and sounds in reading order."""


def images_in(pieces: Pieces) -> int:
    """Return how many images a prompt has, the frames of its videos included."""
    return len(images_of(pieces))


def is_plain(pieces: Pieces) -> bool:
    """Return whether a prompt has neither videos nor sounds."""
    return not videos_of(pieces) and not sounds_of(pieces)


def shape_of(pieces: Pieces) -> tuple[int, ...]:
    """Return 0 for each image, -1 for each sound, and for each video the number of its frames.

    Prompts of one shape may be a batch: some models are wrong, and some processors fail, where the
    numbers of images, of sounds or of frames differ within one. A video with its sound has its
    microseconds, too, since processors take one rate of frames for a whole batch.
    """
    shape: list[int] = []
    for piece in pieces:
        if isinstance(piece, Video):
            shape.append(len(piece.frames))
            shape += [] if piece.sound is None else [round(piece.duration_s * 1e6)]
        elif not isinstance(piece, str):
            shape.append(-isinstance(piece, Sound))
    return tuple(shape)


def map_images(pieces: Pieces, change: Callable[[Image.Image], Image.Image]) -> Pieces:
    """Return a prompt whose images, and frames of videos, are changed, in reading order."""
    changed: list[str | Decoded] = []
    for piece in pieces:
        if isinstance(piece, Video):
            changed.append(replace(piece, frames=tuple(map(change, piece.frames))))
        else:
            changed.append(piece if isinstance(piece, str | Sound) else change(piece))
    return tuple(changed)


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
