"""Dual encoders: one image or one text, each read by its own tower.

CLIP, SigLIP and every other class of transformers with `get_image_features` and
`get_text_features` are dual encoders. Each tower's output is stored as layer 0 with one head.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from PIL import Image
from transformers import AutoModel

from savs.datasets.media.videos import videos_of
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.answers import NOTHING, Asked
from savs.pipeline.extraction.model.attention_hooks import HookPoint
from savs.pipeline.extraction.model.loaded_model import Launched, LoadedModel
from savs.pipeline.extraction.model.pieces import PIXELS, Pieces
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.stores import LayerGrid
from savs.stores.format.layout import LOGIT_SCALE

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


@dataclass(frozen=True, slots=True)
class DualEncoder(LoadedModel):
    """A frozen dual encoder. Images and texts run through different towers, in different batches.

    Its only hook point stands for what both towers give out; there is no attention head.
    """

    def count_tokens(self, inputs: Mapping[str, Any]) -> int:
        """Return the positions that a batch takes: texts with their padding, or patches."""
        if PIXELS in inputs:
            return len(inputs[PIXELS]) * image_tokens(self.model.config)
        return inputs["input_ids"].numel()

    def launch(
        self, inputs: Any, asked: Asked = NOTHING, scale: PixelScale | None = None
    ) -> Launched:
        """Start a pass through the tower of a batch of images or of texts.

        Raises
        ------
        ModelError
            The towers differ in the width of what they give out.
        """
        arguments = self.placed(inputs, scale)
        tower = "get_image_features" if PIXELS in arguments else "get_text_features"
        with torch.inference_mode():
            found = _pooled(getattr(self.model, tower)(**arguments))
        (grid,) = self.grid
        if found.shape[1:] != (grid.head_dim,):
            raise ModelError(
                f"{self.name}: {tower} gives {tuple(found.shape)} for {len(found)} inputs, expected"
                f" {grid.head_dim} values of each, as the text tower gives"
            )
        self._require_dtype({grid.layer: found})
        return self._collected({grid.layer: found}, {})


def output_point(model: Any, encoder: PromptEncoder) -> HookPoint:
    """Return the place of what the towers give out; its width is that of a text's output."""
    inputs = encoder.encode([("text",)]).to(model.device)
    with torch.inference_mode():
        width = _pooled(model.get_text_features(**inputs)).shape[1]
    return HookPoint(LayerGrid(0, (0,), int(width)), torch.nn.Identity())


def scale_facts(model: Any) -> dict[str, float | None]:
    """Return what the model multiplies cosines by, None where it does not say.

    Stores tell a dual encoder's features by this fact.
    """
    scale = getattr(model, LOGIT_SCALE, None)
    temperature = getattr(model, "temperature", None)
    if isinstance(scale, torch.Tensor):
        return {LOGIT_SCALE: _rounded(scale.float().exp())}
    if isinstance(temperature, torch.Tensor):
        return {LOGIT_SCALE: _rounded(1 / temperature.float())}
    return {LOGIT_SCALE: None}


def _rounded(value: torch.Tensor) -> float:
    return float(f"{value.item():.6g}")


def _pooled(found: Any) -> torch.Tensor:
    """Return `(batch, width)`: a tensor before transformers 5, and in some classes since."""
    return found if torch.is_tensor(found) else found.pooler_output
