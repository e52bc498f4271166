"""Hook points in one forward pass: what is read there, and its way to the host.

Every kind of feature is read by one class, `Reading`: heads and other sites of a language model, at
the last token or as a mean over an image, outputs of encoders, embeddings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any, Self

import torch
from torch import nn

from savs.foundation.arrays import Array
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.devices import moved
from savs.pipeline.extraction.model.hook_points import HookPoint
from savs.pipeline.extraction.model.sites import IMAGE_MEAN
from savs.pipeline.prompts.input_names import IDS
from savs.stores import LayerGrid

Features = Mapping[int, torch.Tensor]
"""Index of a hook point -> `(batch, heads * head_dim)`."""
NO_FEATURES: Features = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Read:
    """What one forward pass says at the last token of each sequence."""

    heads: Sequence[Array]
    """`(heads, batch, head_dim)` of each hook point, in the stored type (bfloat16 as bits in
    uint16)."""
    outputs: Mapping[str, Array] = field(default_factory=dict)
    """What is kept in addition to the heads, `(batch, ...)`, see `Answers.room`."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A forward pass whose values may still be on their way from the device."""

    parts: Sequence[tuple[Mapping[int, LayerGrid], torch.Tensor]]
    """Hook points of one device by their indices, and `(batch, values)` of all their heads side by
    side on the host."""
    outputs: Mapping[str, torch.Tensor]
    arrived: Sequence[torch.cuda.Event]
    """One event a device; none without a GPU."""

    def result(self) -> Read:
        """Wait for the values and return them."""
        for event in self.arrived:
            event.synchronize()
        heads: dict[int, Array] = {}
        for grids, values in self.parts:
            is_bfloat16 = values.dtype == torch.bfloat16
            bits = (values.view(torch.uint16) if is_bfloat16 else values).numpy()
            stop = 0
            for index, grid in grids.items():
                start, stop = stop, stop + len(grid.heads) * grid.head_dim
                each = bits[:, start:stop].reshape(len(bits), len(grid.heads), grid.head_dim)
                heads[index] = each.transpose(1, 0, 2)
        outputs = {name: values.numpy() for name, values in self.outputs.items()}
        return Read([heads[index] for index in sorted(heads)], outputs)


class RefusedPromptError(ValueError):
    """An engine takes none of some prompts, for what one of them is; none has run."""


class LastHookReached(Exception):  # noqa: N818 - it ends a forward pass, it reports no error
    """All was read; what the model would still compute is not needed."""


class Reading:
    """Reads hook points, by their indices, during the forward pass inside its `with` block.

    Of each sequence one vector is kept: what the hook point's own `pool` makes, or the values at
    the last position, or at `ends`, `(batch,)`, counted from the first, or their mean over the
    tokens of images, `image_tokens`. The pass stops when all points were read, before logits are
    computed, unless it shall run `to_the_end`. `arguments` are those of the pass.
    """

    def __init__(
        self,
        points: Mapping[int, HookPoint],
        arguments: Mapping[str, Any],
        *,
        to_the_end: bool,
        ends: torch.Tensor | None = None,
        image_tokens: Sequence[int] = (),
    ) -> None:
        self.features: dict[int, torch.Tensor] = {}
        """Index -> `(batch, heads * head_dim)`, complete when the block ends."""
        self._points, self._arguments, self._to_the_end = points, arguments, to_the_end
        self._ends, self._image_tokens = ends, image_tokens
        self._on_device: dict[torch.device, torch.Tensor] = {}
        """The ends on each device, moved there once."""
        self._weights: dict[torch.device, torch.Tensor] = {}

    # The input of a layer's output projection is what its heads give out, side by side, before they
    # are mixed. A hook before that module reads it whatever attention implementation made it, and
    # the exception of the last one spares the rest of the model: final norm and logits.
    def __enter__(self) -> Self:
        self._handles = [
            point.module.register_forward_hook(partial(self._keep_output, index))
            if point.is_output
            else point.module.register_forward_pre_hook(partial(self._keep_input, index))
            for index, point in self._points.items()
        ]
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        for handle in self._handles:
            handle.remove()
        if error is not None and not isinstance(error, LastHookReached):
            return False
        if error is not None:
            error.__traceback__ = None  # its frames hold the activations of whole sequences
        read = self.features
        if missing := [point for index, point in self._points.items() if index not in read]:
            first = missing[0]
            raise ModelError(
                f"the forward pass reached {len(read)} of {len(self._points)} places to read, and"
                f" not {first.site.name} of layer {first.grid.layer}: some models skip layers for"
                " prompts without an image; give each prompt one, or leave this site out"
            )
        for index, point in self._points.items():
            if point.places is not None:
                parts = read[index].split(point.grid.head_dim, dim=1)
                read[index] = torch.cat([parts[number] for number in point.places], dim=1)
        return True

    def _keep_input(self, index: int, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._keep(index, inputs[0])

    def _keep_output(self, index: int, _module: nn.Module, _inputs: Any, output: Any) -> None:
        self._keep(index, output)

    def _keep(self, index: int, values: Any) -> None:
        point = self._points[index]
        if point.pool is not None:
            self.features[index] = point.pool(values, self._arguments)
        else:
            values = values[0] if isinstance(values, tuple) else values
            ids = self._arguments.get(IDS)
            if point.is_output and ids is not None and values.dim() == 2:
                values = values.unflatten(0, (len(ids), -1))  # some blocks put all tokens in a row
            if values.dim() != 3:
                raise ModelError(
                    f"layer {point.grid.layer} has {point.site.name} of shape"
                    f" {tuple(values.shape)}, expected one vector for each token; leave this site"
                    " out"
                )
            is_mean = point.site.pooling == IMAGE_MEAN
            self.features[index] = self._image_mean(values) if is_mean else self._last(values)
        if len(self.features) == len(self._points) and not self._to_the_end:
            raise LastHookReached

    def _last(self, values: torch.Tensor) -> torch.Tensor:
        ends, device = self._ends, values.device
        if ends is None:
            return values[:, -1].clone()  # a view would keep the whole sequence of every layer
        if device not in self._on_device:
            self._on_device[device] = moved(torch.stack([torch.arange(len(ends)), ends]), device)
        return values[self._on_device[device][0], self._on_device[device][1]]

    def _image_mean(self, values: torch.Tensor) -> torch.Tensor:
        """Return the mean over the tokens of images; NaN of a sequence without any."""
        device = values.device
        if device not in self._weights:
            if (ids := self._arguments.get(IDS)) is None:
                raise ModelError("the model was given no tokens, so the image tokens are unknown")
            is_image = torch.stack([ids == token for token in self._image_tokens]).any(dim=0)
            weights = is_image.float() / is_image.float().sum(dim=1, keepdim=True)
            self._weights[device] = weights[:, None].to(device, values.dtype)
        return torch.bmm(self._weights[device], values)[:, 0]
