"""A frozen model that prompts are run on, and its heads at the last token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.answers import NO_ANSWERS, NOTHING, Answers, Asked
from savs.pipeline.extraction.model.attention_hooks import HookPoint, collect_heads
from savs.pipeline.extraction.model.checkpoint_files import WeightFiles
from savs.pipeline.extraction.model.identity import model_facts, processor_facts, prompt_digest
from savs.pipeline.extraction.model.label_likelihood import begin, read_answers
from savs.pipeline.extraction.model.pieces import PIXELS, Pieces, in_type
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.stores import Identity, LayerGrid

NO_OUTPUTS: Mapping[str, torch.Tensor] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Read:
    """What one forward pass says at the last token of each sequence."""

    heads: Mapping[int, np.ndarray[Any, Any]]
    """Layer -> `(heads, batch, head_dim)` in the stored type (bfloat16 as bits in uint16)."""
    outputs: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    """What is kept in addition to the heads, `(batch, ...)`, see `Answers.room`."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A forward pass whose values may still be on their way from the device."""

    parts: Sequence[tuple[Sequence[LayerGrid], torch.Tensor]]
    """Layers of one device, and `(batch, values)` of all their heads side by side on the host."""
    outputs: Mapping[str, torch.Tensor]
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
        return Read(heads, {name: values.numpy() for name, values in self.outputs.items()})


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A frozen model with its prompt encoder and the hook points of its heads; see `load_model`."""

    model: Any
    encoder: PromptEncoder
    hook_points: tuple[HookPoint, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else changes features: an adapter, the user's code, keyword arguments."""
    weights: WeightFiles | None = None
    """The files of its weights; None for a model that was not loaded from files."""

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
    def attention(self) -> str:
        """Attention implementation that it runs, in transformers' names."""
        return str(self.model.config._attn_implementation)

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
            model={
                **model_facts(
                    encoder.name,
                    encoder.revision,
                    self.model,
                    None if self.weights is None else self.weights.digest,
                ),
                **self.settings,
            },
            processor=processor_facts(encoder, media or {}),
            dtype=self.dtype,
            benchmark=benchmark,
            prompt=prompt_digest(encoder.processor),
            grid=self.grid,
            outputs=answers.facts(),
        )

    def count_tokens(self, inputs: Mapping[str, Any]) -> int:
        """Return the tokens of a batch, padding included."""
        return inputs["attention_mask"].numel()

    def inputs(self, prompts: Sequence[Pieces]) -> Any:
        """Return the model's inputs for a batch of prompts, see `PromptEncoder.encode`."""
        return self.encoder.encode(prompts)

    def read(self, inputs: Any, asked: Asked = NOTHING) -> Read:
        """Run one forward pass and return what it says at the last token, see `launch`."""
        return self.launch(inputs, asked).result()

    def launch(
        self, inputs: Any, asked: Asked = NOTHING, scale: PixelScale | None = None
    ) -> Launched:
        """Start a forward pass; on a GPU it runs while the caller goes on.

        If nothing is asked, the pass stops at the last layer's heads, and no logits are computed.

        Parameters
        ----------
        inputs
            What the encoder made, on the host.
        asked
            What is kept of the model's own answers.
        scale
            Normalises pixels that the encoder left as bytes.

        Raises
        ------
        ModelError
            A sequence ends in padding, or the model computes in another type than it says.
        """
        if not bool(inputs["attention_mask"][:, -1].all()):
            raise ModelError(f"the processor of {self.name} does not pad on the left as told")
        return self.run(self.placed(inputs, scale), asked)

    def run(
        self,
        arguments: Mapping[str, Any],
        asked: Asked = NOTHING,
        ends: torch.Tensor | None = None,
        outputs: Mapping[str, torch.Tensor] = NO_OUTPUTS,
    ) -> Launched:
        """Start a forward pass of what is on the device already.

        Parameters
        ----------
        arguments
            What the model's forward takes.
        asked
            As in `launch`; the answers follow each sequence's last position.
        ends
            `(batch,)` on the host, where each sequence ends; by default at the last position.
        outputs
            What is known of the answers already.
        """
        with torch.inference_mode():
            begun = None
            with collect_heads(self.hook_points, to_the_end=bool(asked), ends=ends) as read:
                if asked:
                    begun = begin(self.model, arguments, whole=asked.answers.whole)
                else:
                    self.model(**{"use_cache": False, **arguments})
            if begun is not None:
                outputs = read_answers(self.model, begun, asked, self._decode)
        self._require_dtype(read)
        return self._collected(read, outputs)

    def _decode(self, tokens: Sequence[int]) -> str:
        return self.encoder.tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def placed(self, inputs: Any, scale: PixelScale | None = None) -> dict[str, Any]:
        """Return inputs on the model's device and in its type, see `in_type`."""
        placed = {}
        for name, value in inputs.items():
            if torch.is_tensor(value):
                value = value.to(self.device, non_blocking=True)
                if scale is not None and name == PIXELS:
                    value = scale.apply(value)
            placed[name] = in_type(name, value, self.model.dtype)
        return placed

    def _require_dtype(self, read: Mapping[int, torch.Tensor]) -> None:
        for layer, values in read.items():
            if values.dtype != self.model.dtype:
                raise ModelError(
                    f"layer {layer} computes in {values.dtype}, the model in {self.model.dtype};"
                    " give `dtype` float32"
                )

    def _collected(
        self, read: dict[int, torch.Tensor], outputs: Mapping[str, torch.Tensor]
    ) -> Launched:
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
            on_host = {name: _to_host(values) for name, values in outputs.items()}
            arrived += [
                torch.cuda.current_stream(values.device).record_event()
                for values in outputs.values()
                if values.device.type == "cuda"
            ]
        return Launched(parts, on_host, arrived)


def _to_host(values: torch.Tensor) -> torch.Tensor:
    """Start to copy a tensor to the host; on a GPU the caller must wait for an event."""
    if values.device.type != "cuda":
        return values.cpu()
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return host.copy_(values, non_blocking=True)
