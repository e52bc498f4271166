"""What the vision tower makes of images, each computed once while there is room to keep it."""

import inspect
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.shared_inputs import ImageKey

MOST_BYTES = 2**29
"""Features of images that are kept on the device at most: 280 images of 256 tokens of a 7B."""
POOLED = "pooler_output"
"""Where the field has what the decoder reads: a tensor, or one tensor an image or a tile."""
UNUSED = ("last_hidden_state", "hidden_states", "attentions")
"""What the decoder does not read."""


@dataclass
class ImageFeatures:
    """Runs the vision tower and keeps what it gives, by the content of each image."""

    model: LoadedModel
    scale: PixelScale | None
    most_bytes: int = MOST_BYTES
    _kept: OrderedDict[ImageKey, Any] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def of(self, shown: Iterable[ImageKey], vision: Mapping[ImageKey, Mapping[str, Any]]) -> Any:
        """Return the features of images, side by side, in the form that the model's forward takes.

        Parameters
        ----------
        shown
            The images in reading order, prompt after prompt.
        vision
            What the tower takes for each.
        """
        return joined([self._one(key, vision[key]) for key in shown])

    def forget(self) -> None:
        """Drop everything: the device needs the room."""
        self._kept.clear()
        self._bytes = 0

    def _one(self, key: ImageKey, inputs: Mapping[str, Any]) -> Any:
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        tower = self.model.model.get_image_features
        known = inspect.signature(tower).parameters
        placed = self.model.placed(inputs, self.scale)
        with torch.inference_mode():
            found = tower(**{n: v for n, v in placed.items() if n in known}, return_dict=True)
        found = type(found)(**{name: v for name, v in found.items() if name not in UNUSED})
        self._kept[key] = found
        self._bytes += _bytes(found.to_tuple())
        while self._bytes > self.most_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= _bytes(dropped.to_tuple())
        return found


def joined(outputs: Sequence[Any]) -> Any:
    """Return several outputs of a vision tower as one of all their images.

    Raises
    ------
    RuntimeError
        They are tensors of different shapes: this tower can take images in one batch alone.
    """
    whole = type(outputs[0])()
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
