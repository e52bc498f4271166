"""A loaded dual encoder: each tower's output is stored as layer 0 with one head."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.answers import NOTHING, Asked
from savs.pipeline.extraction.model.attention_hooks import HookPoint
from savs.pipeline.extraction.model.dual_inputs import image_tokens
from savs.pipeline.extraction.model.loaded_model import Launched, LoadedModel
from savs.pipeline.extraction.model.pieces import PIXELS
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.stores import LayerGrid
from savs.stores.format.layout import LOGIT_SCALE


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
