"""The model of a classifier, with no more decoder layers than its heads need."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from savs.pipeline.classifying.model_match import has_layer_weights
from savs.pipeline.extraction.model.first_layers import layer_count
from savs.pipeline.extraction.model.load import can_end_early, load
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.pieces import Pieces
from savs.pipeline.extraction.model.placement import find_placement
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.running.launchers import Rank
from savs.pipeline.selection.selection_config import SelectionConfig


@dataclass(frozen=True, slots=True)
class ClassifierModel:
    """How the model of a classifier is loaded."""

    selection: SelectionConfig
    options: ModelOptions
    encoder: PromptEncoder
    rank: Rank
    say: Callable[[str], None]

    def load(self, prompts: Sequence[Pieces]) -> LoadedModel:
        """Return the model, with the hook points of the chosen layers alone.

        Layers behind the deepest chosen head are not loaded, where the model allows it: they are
        tried on the first of the prompts. Otherwise all are loaded, and a message says why.
        """
        last = max(layer for layer, _ in self.selection.heads)
        model, does = self._first_layers(last, prompts), "loads and runs"
        if model is None:
            model, does = self._load(None), "runs"
        total = layer_count(model.model)
        if total is not None and last + 1 < total:
            self.say(
                f"{does} {last + 1} of {total} decoder layers, up to the deepest chosen head:"
                f" {100 * (1 - (last + 1) / total):.0f} % of the decoder are left out"
            )
        return model

    def _load(self, last: int | None) -> LoadedModel:
        """Load the layers up to `last`, or all, to where they fit."""
        placement = find_placement(self.options, self.encoder, self.rank, last_layer=last)
        self.say(f"loading {self.options.model} on {placement.text}")
        return load(self.options, self.encoder, placement, last_layer=last)

    def chosen(self, model: LoadedModel) -> LoadedModel:
        """Return a model that stops at the deepest chosen head."""
        return of_layers(model, self.selection)

    def _first_layers(self, last: int, prompts: Sequence[Pieces]) -> LoadedModel | None:
        """Return the model without the layers behind `last`; None where that cannot be."""
        source = self.selection.source
        if not (has_layer_weights(source) and can_end_early(self.options, self.encoder)):
            return None
        if len(source.model["layer_weights"]) <= last + 2:  # the first is of what is no layer
            return None
        try:
            model = self._load(last)
            tried = self.chosen(model)
            for prompt in prompts[:1]:
                tried.read(tried.inputs([prompt]))
        except Exception as error:  # each family has its own
            reason = str(error).partition("\n")[0]
            self.say(f"all layers are loaded, since the model does not run with few: {reason}")
            return None
        return model


def of_layers(model: LoadedModel, selection: SelectionConfig) -> LoadedModel:
    """Return a model that reads the layers of a selection alone, and stops at the last of them."""
    layers = {layer for layer, _ in selection.heads}
    kept = [point for point in model.hook_points if point.grid.layer in layers]
    return replace(model, hook_points=tuple(kept))
