"""Inputs of prompts that share images: what each prompt says of its text, and each image by itself.

An image by itself is the same whatever prompt shows it, so it is read, cut into patches and put
through the vision tower once.
"""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from savs.pipeline.extraction.model.pieces import Pieces
from savs.pipeline.extraction.model.prompt_encoder import RAW_IMAGES, PromptEncoder

ImageKey = tuple[str, int]
"""What an image is known by: SHA-256 of its medium, and which frame of that it is."""
GRID = "image_grid_thw"
"""Patches of each image, from which some models know the positions of its tokens."""
TEXT = (
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "mm_token_type_ids",
    "moe_mm_token_type_ids",
)
"""Inputs with a column a token."""
SIZES_ALONE = {"device": "meta"}
"""Options of an image processor that make it compute the shapes of pixels, and no pixels."""
PLAIN = "What is this?"
"""Text beside an image by itself: processors and templates are made for both."""


def encode_texts(
    encoder: PromptEncoder, prompts: Sequence[Pieces], *, sizes_alone: bool
) -> dict[str, Any]:
    """Return the inputs of a batch of prompts without those of the vision tower.

    Parameters
    ----------
    encoder
        With the processor.
    prompts
        Text and images in reading order.
    sizes_alone
        Let the processor compute no pixels, see `knows_sizes`.
    """
    inputs = encoder.encode(prompts, SIZES_ALONE if sizes_alone else None)
    return {name: inputs[name] for name in (*TEXT, GRID) if name in inputs}


def encode_image(encoder: PromptEncoder, image: Image.Image, *, raw: bool) -> dict[str, Any]:
    """Return what the vision tower takes for one image; `raw` as in `PromptEncoder.encode`."""
    inputs = encoder.encode([(image, PLAIN)], RAW_IMAGES if raw else None)
    return {name: value for name, value in inputs.items() if name not in TEXT}


def knows_sizes(encoder: PromptEncoder, prompts: Sequence[Pieces]) -> bool:
    """Return whether the processor makes a prompt's text from the sizes of its images alone.

    Most do, at a tenth of the time; a few look at the pixels that they made.
    """
    try:
        quick = encode_texts(encoder, prompts, sizes_alone=True)
        plain = encode_texts(encoder, prompts, sizes_alone=False)
        return all(torch.equal(quick[name], value) for name, value in plain.items())
    except Exception:  # what a processor raises then differs from one to the next
        return False
