"""Images by themselves, for prompts that share them: as inputs, and as the vision tower's features.

An image by itself is the same whatever prompt shows it, so it is read, cut into patches and run
through the vision tower once, and its features are kept while there is room.
"""

import inspect
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image

from savs.pipeline.extraction.model.host_inputs import tower_inputs
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.prompt_encoder import RAW_IMAGES, PromptEncoder
from savs.pipeline.prompts.pieces import GRID, PIXELS, TEXT, Pieces

ImageKey = tuple[str, int]
"""What an image is known by: SHA-256 of its medium, and which frame of that it is."""
SIZES_ALONE = {"device": "meta"}
"""Options of an image processor that make it compute the shapes of pixels, and no pixels."""
PLAIN = "What is this?"
"""Text next to an image by itself: processors and templates are made for both."""


def encode_texts(
    encoder: PromptEncoder, prompts: Sequence[Pieces], *, sizes_alone: bool
) -> dict[str, Any]:
    """Return the inputs of a batch of prompts without those of the vision tower.

    If `sizes_alone`, the processor computes no pixels, see `knows_sizes`.
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


MOST_BYTES = 2**29
"""Features of images that are kept on the device at most: 290 images of 256 tokens of a 7B."""
POOLED = "pooler_output"
"""Where the field has what the decoder reads: a tensor, or one tensor an image or a tile."""
UNUSED = ("last_hidden_state", "hidden_states", "attentions")
"""What the decoder does not read."""
NOTHING: Mapping[str, Any] = {"last_hidden_state": None}
"""What some outputs cannot be made without."""


@dataclass
class ImageFeatures:
    """Runs the vision tower and keeps what it gives, by the content of each image."""

    model: LoadedModel
    scale: PixelScale | None
    host_inputs: bool = False
    """Whether the tower is given what it would compute from the sizes of images."""
    most_bytes: int = MOST_BYTES
    _cached: OrderedDict[ImageKey, Any] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def of(
        self, image_keys: Iterable[ImageKey], vision: Mapping[ImageKey, Mapping[str, Any]]
    ) -> Any:
        """Return the features of images, concatenated, in the form that the model's forward takes.

        Images are in reading order, prompt after prompt; `vision` has what the tower takes for
        each.
        """
        wanted = list(image_keys)
        features = {key: self._cached[key] for key in wanted if key in self._cached}
        new = [key for key in dict.fromkeys(wanted) if key not in features]
        for keys in _alike(new, vision):
            images = [vision[key] for key in keys]
            parts = self._run(images) or [self._run([image])[0] for image in images]
            features |= dict(zip(keys, parts, strict=True))
        for key in dict.fromkeys(wanted):
            self._keep(key, features[key])
        return joined([features[key] for key in wanted])

    def forget(self) -> None:
        """Drop everything: the device needs the room."""
        self._cached.clear()
        self._bytes = 0

    def _run(self, images: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Run the tower on images that are alike; return what it gives for each.

        That is nothing if the tower puts several images into one item.
        """
        whole = self.model.model  # the method of its inner model says what it takes
        tower = getattr(whole.base_model, "get_image_features", None) or whole.get_image_features
        known = inspect.signature(tower).parameters
        names = [name for name in images[0] if name in known]
        inputs = {name: put_together([image[name] for image in images]) for name in names}
        if self.host_inputs:
            inputs |= tower_inputs(self.model.encoder, inputs[GRID])
        with torch.inference_mode():
            output = tower(**self.model.placed(inputs, self.scale), return_dict=True)
        values = {name: value for name, value in output.items() if name not in UNUSED}
        if len(values[POOLED]) % len(images):
            return []
        return [
            type(output)(
                **NOTHING, **{n: _part(n, value, place, len(images)) for n, value in values.items()}
            )
            for place in range(len(images))
        ]

    def _keep(self, key: ImageKey, features: Any) -> None:
        if key not in self._cached:
            self._bytes += _bytes(features.to_tuple())
        self._cached[key] = features
        self._cached.move_to_end(key)
        while self._bytes > self.most_bytes:
            _, dropped = self._cached.popitem(last=False)
            self._bytes -= _bytes(dropped.to_tuple())


def put_together(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Concatenate tensors, in page-locked memory where they are in that."""
    if not values[0].is_pinned():
        return torch.cat(list(values))
    shape = (sum(map(len, values)), *values[0].shape[1:])
    return torch.cat(list(values), out=torch.empty(shape, dtype=values[0].dtype, pin_memory=True))


def _alike(
    keys: Sequence[ImageKey], vision: Mapping[ImageKey, Mapping[str, Any]]
) -> list[list[ImageKey]]:
    """Group images by their shapes and by the inputs that describe their sizes."""
    groups: dict[Any, list[ImageKey]] = {}
    for key in keys:
        shapes = tuple(
            (name, tuple(value.shape), None if name == PIXELS else value.numpy().tobytes())
            for name, value in vision[key].items()
            if torch.is_tensor(value)
        )
        groups.setdefault(shapes, []).append(key)
    return list(groups.values())


def _part(name: str, value: Any, place: int, count: int) -> Any:
    """Return one image's part of what the tower gave for several that are alike."""
    if name == POOLED or torch.is_tensor(value):
        each = len(value) // count
        return value[place * each : (place + 1) * each]
    return [_part(POOLED, layer, place, count) for layer in value]


def joined(outputs: Sequence[Any]) -> Any:
    """Return several outputs of a vision tower as one of all their images.

    Raises
    ------
    RuntimeError
        They are tensors of different shapes: this tower can take images in one batch alone.
    """
    whole = type(outputs[0])(**NOTHING)
    for name in outputs[0]:
        values = [output[name] for output in outputs]
        if name == POOLED or torch.is_tensor(values[0]):
            whole[name] = _side_by_side(values)
        else:  # an item a layer
            whole[name] = [_side_by_side(layer) for layer in zip(*values, strict=True)]
    return whole


def _side_by_side(values: Sequence[Any]) -> Any:
    if torch.is_tensor(values[0]):
        return torch.cat(list(values))
    return type(values[0])(part for value in values for part in value)


def _bytes(value: Any) -> int:
    if torch.is_tensor(value):
        return value.nbytes
    return sum(map(_bytes, value)) if isinstance(value, list | tuple) else 0
