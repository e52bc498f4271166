"""A frozen model that prompts are put to, and its heads at the last token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.attention_hooks import HookPoint, collect_heads
from savs.pipeline.extraction.model.extra_outputs import NO_ANSWERS, Answers
from savs.pipeline.extraction.model.identity import model_facts, processor_facts, prompt_digest
from savs.pipeline.extraction.model.pixel_scale import PIXELS, PixelScale
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model.prompts import Pieces
from savs.stores import Identity, LayerGrid


@dataclass(frozen=True, slots=True)
class Read:
    """What one forward pass says at the last token of each sequence."""

    heads: Mapping[int, np.ndarray[Any, Any]]
    """Layer -> `(heads, batch, head_dim)` in the stored type (bfloat16 as bits in uint16)."""
    answers: np.ndarray[Any, Any]
    """`(batch, labels)` float32 logits of the labels' first tokens; no columns by default."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A forward pass whose values may still be on their way from the device."""

    parts: Sequence[tuple[Sequence[LayerGrid], torch.Tensor]]
    """Layers of one device, and `(batch, values)` of all their heads side by side on the host."""
    logits: torch.Tensor
    arrived: Sequence[torch.cuda.Event]
    """One event a device; none without a GPU."""

    def result(self) -> Read:
        """Wait for the values and return them."""
        for event in self.arrived:
            event.synchronize()
        heads: dict[int, np.ndarray[Any, Any]] = {}
        for grids, values in self.parts:
            bits = values.view(torch.uint16) if values.dtype == torch.bfloat16 else values
            sizes = [len(grid.heads) * grid.head_dim for grid in grids]
            for grid, own in zip(grids, bits.split(sizes, dim=1), strict=True):
                each = own.numpy().reshape(len(own), len(grid.heads), grid.head_dim)
                heads[grid.layer] = each.transpose(1, 0, 2)
        return Read(heads, self.logits.numpy())


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A frozen model with its prompt encoder and the hook points of its heads; see `load_model`."""

    model: Any
    encoder: PromptEncoder
    hook_points: tuple[HookPoint, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else changes features: an adapter, the user's code, keyword arguments."""

    @property
    def name(self) -> str:
        """Hub id, or a folder's own name."""
        return self.encoder.name

    @property
    def device(self) -> torch.device:
        """Where inputs go: the device of the first weight, or what runs it from the disk."""
        if self.model.device.type == "meta":
            return torch.device(self.model._hf_hook.execution_device)
        return self.model.device

    @property
    def dtype(self) -> str:
        """Type that the model computes in."""
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def grid(self) -> tuple[LayerGrid, ...]:
        """The heads, layer by layer."""
        return tuple(point.grid for point in self.hook_points)

    def identity(
        self,
        benchmark: Mapping[str, Any],
        answers: Answers = NO_ANSWERS,
        media: Mapping[str, Any] | None = None,
    ) -> Identity:
        """Return what a store of this model's features on a benchmark is of.

        `media` says how media are decoded, where that is not the default.
        """
        encoder = self.encoder
        return Identity(
            model=model_facts(encoder.name, encoder.revision, self.model) | dict(self.settings),
            processor=processor_facts(encoder.processor, encoder.pixels or {}) | dict(media or {}),
            dtype=self.dtype,
            benchmark=benchmark,
            prompt=prompt_digest(encoder.processor),
            grid=self.grid,
            outputs={"answers": dict(answers)} if answers else {},
        )

    def count_tokens(self, inputs: Mapping[str, Any]) -> int:
        """Return the tokens of a batch, padding included."""
        return inputs["attention_mask"].numel()

    def inputs(self, prompts: Sequence[Pieces]) -> Any:
        """Return the model's inputs for a batch of prompts, see `PromptEncoder.encode`."""
        return self.encoder.encode(prompts)

    def read(self, inputs: Any, answers: Answers = NO_ANSWERS) -> Read:
        """Run one forward pass and return what it says at the last token, see `launch`."""
        return self.launch(inputs, answers).result()

    def launch(
        self, inputs: Any, answers: Answers = NO_ANSWERS, scale: PixelScale | None = None
    ) -> Launched:
        """Start a forward pass; on a GPU it runs while the caller goes on.

        Without `answers` the pass stops at the last layer's heads, and no logits are computed.

        Parameters
        ----------
        inputs
            What the encoder made, on the host.
        answers
            Labels whose first tokens' logits are kept.
        scale
            Normalises pixels that the encoder left as bytes.

        Raises
        ------
        ModelError
            A sequence ends in padding, or the model computes in another type than it says.
        """
        if not bool(inputs["attention_mask"][:, -1].all()):
            raise ModelError(f"the processor of {self.name} does not pad on the left as told")
        return self.run(self.placed(inputs, scale), answers)

    def run(
        self,
        arguments: Mapping[str, Any],
        answers: Answers = NO_ANSWERS,
        ends: torch.Tensor | None = None,
    ) -> Launched:
        """Start a forward pass of what is on the device already.

        Parameters
        ----------
        arguments
            What the model's forward takes.
        answers
            As in `launch`.
        ends
            `(batch,)` on the host, where each sequence ends; by default at the last position.
        """
        count = len(arguments["input_ids"])
        logits = torch.zeros((count, 0))
        with (
            torch.inference_mode(),
            collect_heads(self.hook_points, to_the_end=bool(answers), ends=ends) as read,
        ):
            given = {"use_cache": False, **arguments}
            if not answers:
                self.model(**given)
            elif ends is None:
                logits = self.model(**given, logits_to_keep=1).logits[:, -1]
            else:
                places, which = ends.unique(return_inverse=True)
                found = self.model(**given, logits_to_keep=places).logits
                logits = found[torch.arange(count), which]
            if answers:
                logits = logits[:, list(answers.values())].float()
        self._require_dtype(read)
        return self._collected(read, logits)

    def placed(self, inputs: Any, scale: PixelScale | None = None) -> dict[str, Any]:
        """Return inputs on the model's device; pixels in its type, as some processors do not."""
        placed = {}
        for name, value in inputs.items():
            if torch.is_tensor(value):
                value = value.to(self.device, non_blocking=True)
                if scale is not None and name == PIXELS:
                    value = scale.apply(value)
                if value.is_floating_point():
                    value = value.to(self.model.dtype)
            placed[name] = value
        return placed

    def _require_dtype(self, read: Mapping[int, torch.Tensor]) -> None:
        for layer, values in read.items():
            if values.dtype != self.model.dtype:
                raise ModelError(
                    f"layer {layer} computes in {values.dtype}, the model in {self.model.dtype};"
                    " give --dtype float32"
                )

    def _collected(self, read: dict[int, torch.Tensor], logits: torch.Tensor) -> Launched:
        """Put the heads of each device side by side and start one copy from each to the host."""
        devices: dict[torch.device, list[LayerGrid]] = {}
        for grid in self.grid:
            devices.setdefault(read[grid.layer].device, []).append(grid)
        parts, arrived = [], []
        with torch.inference_mode():
            for device, grids in devices.items():
                values = torch.cat([read.pop(grid.layer) for grid in grids], dim=1)
                parts.append((grids, _to_host(values)))
                if device.type == "cuda":
                    arrived.append(torch.cuda.current_stream(device).record_event())
            logits_host = _to_host(logits)
            if logits.device.type == "cuda":
                arrived.append(torch.cuda.current_stream(logits.device).record_event())
        return Launched(parts, logits_host, arrived)


def _to_host(values: torch.Tensor) -> torch.Tensor:
    """Start to copy a tensor to the host; on a GPU the caller must wait for an event."""
    if values.device.type != "cuda":
        return values.cpu()
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return host.copy_(values, non_blocking=True)
