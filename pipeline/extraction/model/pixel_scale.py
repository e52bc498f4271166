"""Pixels as bytes: they leave the processor unscaled and are normalised on the model's device.

They are a quarter of the bytes of float32, and the processor is up to twice as fast. Whether that
gives the same values is tried on a user's own prompts, because processors differ.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from savs.pipeline.extraction.model.prompt_encoder import RAW_IMAGES, PromptEncoder
from savs.pipeline.prompts.input_names import PIXELS
from savs.pipeline.prompts.media.catalogue import is_plain
from savs.pipeline.prompts.media.inputs import Pieces

CLOSE = 1e-6
"""Greatest difference of a normalised pixel: devices differ in the last bit of a division."""


@dataclass(frozen=True, slots=True)
class PixelScale:
    """How pixels of 0 to 255 are normalised: `(value - mean) / std` of their colour channel."""

    mean: Sequence[float]
    std: Sequence[float]
    parts: tuple[int, int] | None
    """How the last axis is unfolded to have an axis of channels; None if there is one."""
    axis: int
    """The axis of channels, counted from the end."""

    def apply(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return normalised pixels, float32, of the same shape."""
        values = pixels.float()
        unfolded = values.unflatten(-1, self.parts) if self.parts else values
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            unfolded.select(self.axis, channel).sub_(mean).div_(std)
        return values


def find_scale(encoder: PromptEncoder, prompts: Sequence[Pieces]) -> PixelScale | None:
    """Return how a processor normalises pixels, or None if that cannot be done after it.

    Prompts are made with and without normalisation, each by itself and all in a batch; both must
    agree in everything. Those with videos or sounds are left out, see `Prepared.is_plain`.
    """
    if encoder.code.to_inputs is not None or encoder.images is None:
        return None
    prompts = list(filter(is_plain, prompts))
    try:
        batches = [[p] for p in prompts] + [prompts]  # what pads a batch may be normalised
        pairs = [(encoder.encode(b), encoder.encode(b, RAW_IMAGES)) for b in batches]
    except Exception:  # many processors do not take the options
        return None
    pairs = [(plain, raw) for plain, raw in pairs if PIXELS in plain]
    if not pairs or any(_without_pixels(plain) != _without_pixels(raw) for plain, raw in pairs):
        return None
    scales = [
        scale
        for scale in _candidates(encoder.images, pairs[0][1][PIXELS].shape)
        if all(_agree(scale, plain[PIXELS], raw[PIXELS]) for plain, raw in pairs)
    ]
    return scales[0] if scales else None


def _without_pixels(inputs: Any) -> dict[str, Any]:
    return {
        name: value.tolist() if torch.is_tensor(value) else value
        for name, value in inputs.items()
        if name != PIXELS
    }


def _candidates(images: Any, shape: Sequence[int]) -> Iterator[PixelScale]:
    factor = getattr(images, "rescale_factor", None)
    mean, std = (getattr(images, name, None) for name in ("image_mean", "image_std"))
    if not factor or not isinstance(mean, list | tuple) or not isinstance(std, list | tuple):
        return
    means, stds = ((torch.tensor(v) * (1 / factor)).tolist() for v in (mean, std))
    channels = len(mean)
    for axis in range(-1, -len(shape), -1):
        if shape[axis] == channels:
            yield PixelScale(means, stds, None, axis)
    if shape[-1] % channels == 0:
        each = shape[-1] // channels
        yield PixelScale(means, stds, (channels, each), -2)
        yield PixelScale(means, stds, (each, channels), -1)


def _agree(scale: PixelScale, plain: torch.Tensor, raw: torch.Tensor) -> bool:
    if raw.dtype != torch.uint8 or raw.shape != plain.shape or not plain.is_floating_point():
        return False
    return bool((scale.apply(raw) - plain.float()).abs().max() <= CLOSE)
