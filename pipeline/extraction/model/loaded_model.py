"""A frozen model that prompts are put to, and its heads at the last token."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from savs.datasets.prompt import SPLIT
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.attention_hooks import HookPoint, collect_heads
from savs.pipeline.extraction.model.extra_outputs import NO_ANSWERS, Answers
from savs.pipeline.extraction.model.identity import model_facts, processor_facts, prompt_digest
from savs.pipeline.extraction.model.prompts import Pieces, chat_inputs
from savs.stores import Identity

ToInputs = Callable[[Any, Sequence[Pieces]], Any]
"""Processor and prompts -> what the model takes, padded on the left."""


@dataclass(frozen=True, slots=True)
class Read:
    """What one forward pass says at the last token of each sequence."""

    heads: Mapping[int, np.ndarray[Any, Any]]
    """Layer -> `(heads, batch, head_dim)` in the stored type (bfloat16 as bits in uint16)."""
    answers: np.ndarray[Any, Any]
    """`(batch, labels)` float32 logits of the labels' first tokens; no columns by default."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A frozen model with its processor and the hook points of its heads; made by `load_model`."""

    name: str
    model: Any
    processor: Any
    hook_points: tuple[HookPoint, ...]
    revision: str | None
    """Commit of the checkpoint where it came from the hub."""
    pixels: Mapping[str, int]
    """`min_pixels` and `max_pixels`, where they were given."""
    to_inputs: ToInputs = chat_inputs
    """Makes a batch of prompts into the model's inputs."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else changes features: an adapter, code of one's own, keyword arguments."""
    placeholders: str = SPLIT
    """What is done with the marks of images in a prompt: `split` or `keep`."""

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

    def identity(
        self,
        benchmark: Mapping[str, Any],
        answers: Answers = NO_ANSWERS,
        video_frames: int | None = None,
    ) -> Identity:
        """Return what a store of this model's features on a benchmark is of."""
        frames = {} if video_frames is None else {"video_frames": video_frames}
        return Identity(
            model=model_facts(self.name, self.revision, self.model) | dict(self.settings),
            processor=processor_facts(self.processor, self.pixels) | frames,
            dtype=self.dtype,
            benchmark=benchmark,
            prompt=prompt_digest(self.processor),
            grid=tuple(point.grid for point in self.hook_points),
            outputs={"answers": dict(answers)} if answers else {},
        )

    def inputs(self, prompts: Sequence[Pieces]) -> Any:
        """Return the model's inputs for a batch of prompts, padded on the left.

        Raises
        ------
        ValueError
            A prompt or an image cannot be put to this model.
        """
        return self.to_inputs(self.processor, prompts)

    def read(self, inputs: Any, answers: Answers = NO_ANSWERS) -> Read:
        """Run one forward pass and return what it says at the last token.

        Without `answers` the pass stops at the last layer's heads, and no logits are computed.

        Raises
        ------
        ModelError
            A sequence ends in padding, or the model computes in another type than it says.
        """
        if not bool(inputs["attention_mask"][:, -1].all()):
            raise ModelError(f"the processor of {self.name} does not pad on the left as told")
        inputs = self.placed(inputs)
        kept = np.zeros((len(inputs["attention_mask"]), 0), np.float32)
        with (
            torch.inference_mode(),
            collect_heads(self.hook_points, to_the_end=bool(answers)) as read,
        ):
            if answers:
                logits = self.model(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1]
                kept = logits[:, list(answers.values())].float().cpu().numpy()
            else:
                self.model(**inputs, use_cache=False)
        heads = {
            point.grid.layer: self._stored(point, read[point.grid.layer])
            for point in self.hook_points
        }
        return Read(heads, kept)

    def placed(self, inputs: Any) -> Any:
        """Return inputs on the model's device; pixels in its type, as some processors do not."""
        placed = inputs.to(self.device)
        for name, value in placed.items():
            if torch.is_tensor(value) and value.is_floating_point():
                placed[name] = value.to(self.model.dtype)
        return placed

    def _stored(self, point: HookPoint, values: torch.Tensor) -> np.ndarray[Any, Any]:
        if values.dtype != self.model.dtype:
            raise ModelError(
                f"layer {point.grid.layer} computes in {values.dtype}, the model in"
                f" {self.model.dtype}; give --dtype float32"
            )
        heads = values.view(len(values), len(point.grid.heads), point.grid.head_dim).transpose(0, 1)
        bits = heads.contiguous().cpu()
        return (bits.view(torch.uint16) if bits.dtype == torch.bfloat16 else bits).numpy()
