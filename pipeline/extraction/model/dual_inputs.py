"""What dual encoders read: one image or one text, each by a tower of its own.

CLIP, SigLIP and every other class of transformers with `get_image_features` and
`get_text_features` are dual encoders.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from PIL import Image
from transformers import AutoModel

from savs.datasets.media.videos import videos_of
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.pieces import Pieces

TOWERS = ("get_image_features", "get_text_features")
FIXED_LENGTH = ("siglip", "siglip2")
"""Model types whose texts are padded to the whole length and have no attention mask, as in their
training: the text's output is that of the last position."""
IMAGE_TOKENS = 256
"""Of an image, where the configuration does not say."""


def is_dual(config: Any) -> bool:
    """Return whether transformers has a dual encoder for a configuration."""
    if type(config) not in AutoModel._model_mapping:
        return False
    found = AutoModel._model_mapping[type(config)]
    return all(hasattr(found, name) for name in TOWERS)


def text_limit(name: str, config: Any, processor: Any) -> int:
    """Return how many tokens the model reads of a text.

    Raises
    ------
    ModelError
        The checkpoint lacks its tokenizer or its image processor.
    """
    for part in ("tokenizer", "image_processor"):
        if getattr(processor, part, None) is None:
            raise ModelError(
                f"{name} is a dual encoder without {part.replace('_', ' ')}: its processor is a"
                f" {type(processor).__name__}; add the files of the {part.replace('_', ' ')} to it"
            )
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(min(filter(None, (positions, processor.tokenizer.model_max_length))))


def reader_of(config: Any, length: int) -> Any:
    """Return the function that makes prompts into the inputs of a model, see `dual_inputs`."""
    return partial(dual_inputs, length=length, fixed=config.model_type in FIXED_LENGTH)


def dual_inputs(
    processor: Any,
    prompts: Sequence[Pieces],
    image_options: Mapping[str, Any] | None = None,
    *,
    length: int,
    fixed: bool,
) -> Any:
    """Return a batch of images, or of texts, as the processor makes it.

    Parameters
    ----------
    processor
        Has the image processor and the tokenizer.
    prompts
        Each is one image, or each one text.
    image_options
        Options of the image processor.
    length
        Tokens that a text may have; a longer one is cut, as in the model's training.
    fixed
        Whether shorter texts are padded to that length, too, and padding is not masked.

    Raises
    ------
    ValueError
        A prompt is anything else.
    """
    pieces = [piece for prompt in prompts for piece in prompt]
    mixed = len({type(piece) for piece in pieces}) != 1 or any(len(p) != 1 for p in prompts)
    if mixed or videos_of(pieces):
        raise ValueError("a dual encoder reads one image or one text, and no prompt of both")
    if isinstance(pieces[0], Image.Image):
        return processor.image_processor(
            images=pieces, return_tensors="pt", **(image_options or {})
        )
    return processor.tokenizer(
        pieces,
        padding="max_length" if fixed else True,
        max_length=length,
        truncation=True,
        padding_side="right",
        return_attention_mask=not fixed,
        return_tensors="pt",
    )


def image_tokens(config: Any) -> int:
    """Return about how many positions an image takes in the image tower."""
    vision = getattr(config, "vision_config", None)
    patches = getattr(vision, "num_patches", None)
    size, patch = (getattr(vision, name, None) for name in ("image_size", "patch_size"))
    if isinstance(size, int) and isinstance(patch, int):
        return (size // patch) ** 2 + 1
    return patches if isinstance(patches, int) else IMAGE_TOKENS
