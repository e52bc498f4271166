"""A frozen model that prompts are run on, and its heads, or other sites, at the last token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch

from savs.pipeline.encoders.image import Tower
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.answers import NO_ANSWERS, NOTHING, AnswerQuery, Answers
from savs.pipeline.extraction.model.checkpoint_files import WeightFiles
from savs.pipeline.extraction.model.continuation import begin
from savs.pipeline.extraction.model.devices import moved
from savs.pipeline.extraction.model.hook_points import HookPoint, image_tokens
from savs.pipeline.extraction.model.identity import (
    portable,
    processor_facts,
    prompt_digest,
    site_facts,
)
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model.reading import NO_FEATURES, Features, Launched, Read, Reading
from savs.pipeline.extraction.model.sites import HEADS, IMAGE_MEAN
from savs.pipeline.extraction.model.tower_attention import RUNS
from savs.pipeline.prompts.input_names import CHUNK_ENDS, MASK, NEXT_POSITIONS, PIXELS, in_type
from savs.pipeline.prompts.media.inputs import Pieces
from savs.stores import Identity, LayerGrid
from savs.stores.format.layout import digest

NO_OUTPUTS: Mapping[str, torch.Tensor] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A frozen model with its prompt encoder and the hook points of its heads; see `load_model`."""

    model: Any
    encoder: PromptEncoder
    hook_points: tuple[HookPoint, ...]
    """What is read of it, site by site."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else changes features: an adapter, the user's code, keyword arguments."""
    weights: WeightFiles | None = None
    """The files of its weights; None for a model that was not loaded from files."""
    tower: Tower | None = None
    """What runs of an encoder, which reads no prompt."""

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
    def grids(self) -> dict[str, tuple[LayerGrid, ...]]:
        """Label of a site -> its heads, layer by layer."""
        grids: dict[str, tuple[LayerGrid, ...]] = {}
        for point in self.hook_points:
            label = point.site.label
            grids[label] = (*grids.get(label, ()), point.grid)
        return grids

    @property
    def grid(self) -> tuple[LayerGrid, ...]:
        """The heads of the first site, layer by layer."""
        return self.grids[self.hook_points[0].site.label]

    def identity(
        self,
        benchmark: Mapping[str, Any],
        answers: Answers = NO_ANSWERS,
        media: Mapping[str, Any] | None = None,
        site: str = HEADS,
    ) -> Identity:
        """Return what a store of this model's features on a benchmark is of.

        `media` says how media are decoded, where that is not the default; `site` is the label of
        one that is read.
        """
        return Identity(
            model={
                "name": self.encoder.name,
                "revision": self.encoder.revision,
                "class": type(self.model).__name__,
                "config": digest(portable(self.model.config.to_dict())),  # of all layers
                "weights": None if self.weights is None else self.weights.digest,
                **self.settings,
                **site_facts(site),
            },
            processor=processor_facts(self.encoder, media or {}),
            dtype=self.dtype,
            benchmark=benchmark,
            prompt=prompt_digest(self.encoder.processor),
            grid=self.grids[site],
            outputs=answers.facts(),
        )

    def count_tokens(self, inputs: Mapping[str, Any]) -> int:
        """Return the tokens of a batch, padding included."""
        return inputs[MASK].numel() if self.tower is None else self.tower.count_tokens(inputs)

    def inputs(self, prompts: Sequence[Pieces]) -> Any:
        """Return the model's inputs for a batch of prompts, see `PromptEncoder.encode`."""
        return self.encoder.encode(prompts)

    def read(self, inputs: Any, query: AnswerQuery = NOTHING) -> Read:
        """Run one forward pass and return what it says at the last token, see `launch`."""
        return self.launch(inputs, query).result()

    def launch(
        self, inputs: Any, query: AnswerQuery = NOTHING, scale: PixelScale | None = None
    ) -> Launched:
        """Start a forward pass; on a GPU it runs while the caller goes on.

        If nothing is asked, the pass stops when all was read, and no logits are computed.

        `inputs` are what the encoder made, on the host, with `host_inputs` or without; `scale`
        normalises pixels that it left as bytes. ModelError if a sequence ends in padding, or the
        model computes in another type than it says.
        """
        if self.tower is None and not bool(inputs[MASK][:, -1].all()):
            raise ModelError(
                f"the processor of {self.name} does not pad on the left, although savs set it"
            )
        if not query:
            inputs = {name: v for name, v in inputs.items() if name != NEXT_POSITIONS}
        return self.run(self.placed(inputs, scale), query)

    def run(
        self,
        arguments: Mapping[str, Any],
        query: AnswerQuery = NOTHING,
        ends: torch.Tensor | None = None,
        outputs: Mapping[str, torch.Tensor] = NO_OUTPUTS,
        means: Features = NO_FEATURES,
    ) -> Launched:
        """Start a forward pass of what is on the device already.

        Answers follow the last position of each sequence: that of `ends`, `(batch,)` on the host,
        by default the last of all. `outputs` and `means` are what is known already: of the answers,
        and of the hook points that are means over images which ran before.
        """
        prompts, read = None, means
        with torch.inference_mode():
            if query or len(means) < len(self.hook_points):
                with self.reading(
                    arguments, to_the_end=bool(query), ends=ends, without=means
                ) as reading:
                    if query:
                        prompts = begin(self.model, arguments, whole=query.answers.whole)
                    elif self.tower is not None:
                        self.tower(**arguments)
                    else:
                        self.model(**{"use_cache": False, **arguments})
                read = {**means, **reading.features}
            if prompts is not None:
                outputs = prompts.answers(query, self._decode)
        return self._collected(read, outputs)

    def reading(
        self,
        arguments: Mapping[str, Any],
        *,
        to_the_end: bool,
        ends: torch.Tensor | None = None,
        without: Features = NO_FEATURES,
    ) -> Reading:
        """Return what reads the hook points, but for those in `without`, in a forward pass."""
        points = {n: point for n, point in enumerate(self.hook_points) if n not in without}
        tokens: Sequence[int] = ()
        if any(point.site.pooling == IMAGE_MEAN for point in points.values()):
            tokens = image_tokens(self.name, self.model.config)
        return Reading(points, arguments, to_the_end=to_the_end, ends=ends, image_tokens=tokens)

    def _decode(self, tokens: Sequence[int]) -> str:
        return self.encoder.tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def placed(self, inputs: Any, scale: PixelScale | None = None) -> dict[str, Any]:
        """Return inputs on the model's device and in its type, see `in_type`."""
        placed = {}
        for name, value in inputs.items():
            if torch.is_tensor(value):
                on_host, value = value, moved(value, self.device)
                if name in CHUNK_ENDS:
                    RUNS.tell(value, on_host)
                if scale is not None and name == PIXELS:
                    value = scale.apply(value)
            placed[name] = in_type(name, value, self.model.dtype)
        return placed

    def _collected(self, read: Features, outputs: Mapping[str, torch.Tensor]) -> Launched:
        """Join what was read on each device and start to copy it; ModelError for another type."""
        together: dict[Any, dict[int, LayerGrid]] = {}
        for place, point in enumerate(self.hook_points):
            values = read[place]
            if values.dtype != self.model.dtype:
                raise ModelError(
                    f"layer {point.grid.layer} computes in {values.dtype}, the model in"
                    f" {self.model.dtype}; give `dtype` float32"
                )
            is_here = values.device.type == "cpu"  # on the host: put together it is only copied
            together.setdefault(place if is_here else values.device, {})[place] = point.grid
        parts = []
        with torch.inference_mode():
            for grids in together.values():
                each = [read[place] for place in grids]
                values = each[0] if len(each) == 1 else torch.cat(each, dim=1)
                parts.append((grids, _to_host(values)))
            on_host = {name: _to_host(values) for name, values in outputs.items()}
            devices = {values.device for values in (*read.values(), *outputs.values())}
            arrived: list[Any] = [
                torch.cuda.current_stream(device).record_event()
                for device in devices
                if device.type == "cuda"
            ]
        return Launched(parts, on_host, arrived)


def _to_host(values: torch.Tensor) -> torch.Tensor:
    """Start to copy a tensor to the host; on a GPU the caller must wait for an event."""
    if values.device.type != "cuda":
        return values.cpu()
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return host.copy_(values, non_blocking=True)
