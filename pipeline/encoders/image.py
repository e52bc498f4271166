"""Encoders: an image, or a text, by itself; no prompt combines the two.

A *dual encoder* has a tower for images and one for texts: CLIP, SigLIP and every other class of
transformers with `get_image_features` and `get_text_features`. An *image encoder* has the first
alone: DINO, ViT, RADIO, the vision side of SigLIP, what timm has. There are no attention heads to
read: each output is stored as a layer of one head.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import AutoModel

from savs.datasets.media_kinds.catalogue import other_than_images
from savs.pipeline.errors import ModelError
from savs.pipeline.prompts.input_names import IDS, PIXELS
from savs.pipeline.prompts.media.catalogue import images_in, is_plain
from savs.pipeline.prompts.media.inputs import Pieces
from savs.stores.format.layout import IMAGE_OUTPUTS, LOGIT_SCALE, head_name

TOWERS = ("get_image_features", "get_text_features")
FIXED_LENGTH = ("siglip", "siglip2")
"""Model types whose texts are padded to the whole length and have no attention mask, as in their
training: the text's output is that of the last position."""
IMAGE_TOKENS = 256
"""Of an image, where the configuration does not say."""
POOLED, PATCHES = 0, 1
"""The layer of what a model pools itself, and that of the mean of its patches."""
POOLED_NAMES = ("pooler_output", "summary")
"""What transformers calls the first."""
PREFIX = (
    *("cls_token", "class_embedding", "distillation_token", "register_tokens"),
    "cls_register_token",
)
"""Weights of embeddings that are tokens before those of the patches."""
PATCH_MASK = "pixel_attention_mask"
"""Input of models that pad the patches of an image."""
BLANK = Image.new("RGB", (224, 224), (128, 128, 128))


def _model_class(config: Any) -> Any:
    return AutoModel._model_mapping.get(type(config), None)


def is_dual(config: Any) -> bool:
    """Return whether transformers has a dual encoder for a configuration."""
    return all(hasattr(_model_class(config), name) for name in TOWERS)


def is_image_encoder(config: Any) -> bool:
    """Return whether transformers has a model for a configuration that reads images alone."""
    return getattr(_model_class(config), "main_input_name", None) == PIXELS


def text_limit(name: str, config: Any, processor: Any) -> int:
    """Return how many tokens are read of a text; ModelError if a reader is missing."""
    for part in ("tokenizer", "image_processor"):
        if getattr(processor, part, None) is None:
            raise ModelError(
                f"{name} is a dual encoder without {part.replace('_', ' ')}: its processor is a"
                f" {type(processor).__name__}; add the files of the {part.replace('_', ' ')} to it"
            )
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(min(filter(None, (positions, processor.tokenizer.model_max_length))))


def inputs_of(config: Any, length: int | None) -> Callable[..., Any]:
    """Return what makes prompts into inputs; `length` is a text's, None for an image encoder."""
    if length is None:
        return image_inputs
    return partial(dual_inputs, length=length, fixed=config.model_type in FIXED_LENGTH)


def image_inputs(
    processor: Any, prompts: Sequence[Pieces], image_options: Mapping[str, Any] | None = None
) -> Any:
    """Return a batch of images as an image processor makes it; ValueError for other prompts."""
    for pieces in prompts:
        other = other_than_images(pieces)
        if images_in(pieces) != 1 or other is not None or len(pieces) != 1:
            count = other.a_noun if other else f"{images_in(pieces) or 'no'} images"
            raise ValueError(f"an image encoder reads one image, and the prompt has {count}")
    images = [image for (image,) in prompts]
    return processor(images=images, return_tensors="pt", **(image_options or {}))


def dual_inputs(
    processor: Any,
    prompts: Sequence[Pieces],
    image_options: Mapping[str, Any] | None = None,
    *,
    length: int,
    fixed: bool,
) -> Any:
    """Return a batch of images, or of texts, as the processor makes it.

    Each prompt is one image, or each one text of at most `length` tokens: a longer one is cut, as
    in the training of the model. If `fixed`, shorter texts are padded to that length, too, and
    padding is not masked. ValueError if a prompt is anything else.
    """
    pieces = tuple(piece for prompt in prompts for piece in prompt)
    mixed = len({type(piece) for piece in pieces}) != 1 or any(len(p) != 1 for p in prompts)
    if mixed or not is_plain(pieces):
        raise ValueError("a dual encoder reads one image or one text, and no prompt of both")
    if isinstance(pieces[0], Image.Image):
        return image_inputs(processor.image_processor, prompts, image_options)
    return processor.tokenizer(
        list(pieces),
        padding="max_length" if fixed else True,
        max_length=length,
        truncation=True,
        padding_side="right",
        return_attention_mask=not fixed,
        return_tensors="pt",
    )


def image_tokens(config: Any) -> int:
    """Return about how many positions an image takes in the image tower."""
    vision = getattr(config, "vision_config", config)
    patches = getattr(vision, "num_patches", None)
    size, patch = (getattr(vision, name, None) for name in ("image_size", "patch_size"))
    if isinstance(size, int) and isinstance(patch, int):
        return (size // patch) ** 2 + 1
    return patches if isinstance(patches, int) else IMAGE_TOKENS


class Tower(nn.Module):
    """An encoder as one module, whose output is what features are read from.

    Images and texts run through different towers, in different batches.
    """

    def __init__(self, name: str, model: Any) -> None:
        super().__init__()
        self.name, self.model = name, model
        self.is_dual = is_dual(model.config)
        self.sample = "text" if self.is_dual else BLANK
        """What is run to see which outputs there are."""

    def forward(self, **arguments: Any) -> dict[int, torch.Tensor]:
        """Return the outputs of a batch of images or of texts by layer, `(batch, width)`."""
        if self.is_dual:
            tower = getattr(self.model, TOWERS[PIXELS not in arguments])
            output = tower(**arguments)
            # a tensor before transformers 5, and in some classes since
            return {POOLED: output if torch.is_tensor(output) else output.pooler_output}
        output = self.model(**arguments)
        pooled = next((output[n] for n in POOLED_NAMES if output.get(n) is not None), None)
        patches = output.get("last_hidden_state")
        outputs = {} if pooled is None else {POOLED: pooled.flatten(1)}
        if patches is not None:
            outputs[PATCHES] = patch_means(self.model, arguments, patches)
        return outputs

    def widths(self, inputs: Callable[[], Mapping[str, Any]]) -> dict[int, int]:
        """Return each output's width by layer, which one pass shows; ModelError if none is."""
        kind = f"{self.name} ({type(self.model).__name__})"
        try:
            with torch.inference_mode():
                outputs = self(**inputs())
        except (ValueError, TypeError, RuntimeError, KeyError) as error:
            raise ModelError(
                f"{kind} does not run on {'a text' if self.is_dual else 'an image'}: {error}; take"
                " an encoder of images (docs/guide/encoders.md)"
            ) from error
        if not outputs:
            raise ModelError(
                f"{kind} gives neither a pooled output nor patches; take an encoder of images"
                " (docs/guide/encoders.md)"
            )
        return {layer: values.shape[1] for layer, values in outputs.items()}

    def output(
        self, layer: int, width: int, outputs: Any, arguments: Mapping[str, Any]
    ) -> torch.Tensor:
        """Return one output of a batch; ModelError if its width is another one."""
        values = outputs[layer]
        if values.shape[1:] != (width,):
            tower = TOWERS[PIXELS not in arguments] if self.is_dual else "it"
            raise ModelError(
                f"{self.name}: {tower} gives {tuple(values.shape)} for {len(values)} inputs,"
                f" expected {width} values of each"
            )
        return values

    def count_tokens(self, inputs: Mapping[str, Any]) -> int:
        """Return the positions that a batch takes: texts with their padding, or patches."""
        if PIXELS in inputs:
            return len(inputs[PIXELS]) * image_tokens(self.model.config)
        return inputs[IDS].numel()

    def facts(self, layers: Sequence[int]) -> dict[str, Any]:
        """Return what the outputs are; a store tells by it which kind of encoder it is of."""
        if self.is_dual:
            return {LOGIT_SCALE: _scale(self.model)}
        others = prefix_tokens(self.model)
        after = f" after {others} other tokens" if others else ""
        words = {POOLED: "pooled", PATCHES: f"mean of the patches{after}"}
        return {IMAGE_OUTPUTS: {head_name((layer, 0)): words[layer] for layer in layers}}


def patch_means(
    model: Any, arguments: Mapping[str, torch.Tensor], hidden: torch.Tensor
) -> torch.Tensor:
    """Return `(batch, width)`, the mean over the patches of each image.

    `hidden` is `(batch, tokens, width)`, or a map of features: `(batch, width, height, width)`, or
    with the width last where timm says so. ValueError if which tokens are patches is not known.
    """
    if hidden.ndim == 4:
        is_last = getattr(getattr(model, "timm_model", None), "output_fmt", "") == "NHWC"
        return hidden.mean((1, 2) if is_last else (2, 3))
    prefix, tokens = prefix_tokens(model), hidden.shape[1]
    patches = _patches(model.config, arguments[PIXELS])
    # towers that merge patches step by step have fewer, and no token before them
    if patches is not None and patches != tokens - prefix and (prefix or patches < tokens):
        raise ValueError(
            f"{tokens} tokens for {patches} patches, and {prefix} before them by its weights"
        )
    patches_alone, mask = hidden[:, prefix:], arguments.get(PATCH_MASK)
    if mask is None:
        return patches_alone.mean(1)
    weights = mask[..., None].float()
    return ((patches_alone * weights).sum(1) / weights.sum(1)).to(hidden.dtype)


def prefix_tokens(model: Any) -> int:
    """Return how many tokens (CLS, registers) are before those of the patches."""
    if hasattr(model, "timm_model"):
        return getattr(model.timm_model, "num_prefix_tokens", 0)
    weights = [
        weight
        for name, weight in model.named_parameters()
        if "embeddings" in (parts := name.split(".")) and parts[-1] in PREFIX
    ]
    return sum(weight.numel() // weight.shape[-1] for weight in weights)


def _patches(config: Any, pixels: torch.Tensor) -> int | None:
    """Return how many patches an image of a batch has; None if the model does not say."""
    if pixels.ndim == 3:  # an image is its patches already
        return pixels.shape[1]
    size = getattr(config, "patch_size", None)
    height, width = pixels.shape[-2:]
    return (height // size) * (width // size) if isinstance(size, int) else None


def _scale(model: Any) -> float | None:
    """Return what a dual encoder multiplies cosines by, None if it does not say."""
    scale = getattr(model, LOGIT_SCALE, None)
    temperature = getattr(model, "temperature", None)
    if isinstance(scale, torch.Tensor):
        factor = scale.float().exp()
    elif isinstance(temperature, torch.Tensor):
        factor = 1 / temperature.float()
    else:
        return None
    return float(f"{factor.item():.6g}")
