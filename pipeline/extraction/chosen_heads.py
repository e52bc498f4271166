"""The heads of a selection, which a run may read instead of all heads of its model."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from savs.pipeline.extraction.model.hook_points import HookPoint
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model.sites import AT_HEADS, HEADS, NORM, Site, parse_site
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.selection.compatibility import require_fit
from savs.pipeline.selection.selection_config import (
    SelectionConfig,
    load_config,
)
from savs.stores import Head, Identity, LayerGrid
from savs.stores.format.layout import IMAGE_OUTPUTS, grid_widths


@dataclass(frozen=True, slots=True)
class ChosenHeads:
    """The heads of a selection, and the model that it belongs to."""

    selection: SelectionConfig
    check: Callable[[Identity], Sequence[str]]
    """Raises where a model is not the selection's, and returns notes on how it differs. It is asked
    before weights are loaded, with what is known by then, and afterwards."""
    of_classifier: bool = False
    """Whether the model runs for these heads alone: then layers after the deepest are not loaded,
    where the model allows it."""

    @property
    def heads(self) -> Sequence[Head]:
        """The chosen heads of all tasks."""
        return self.selection.model_heads

    @property
    def site(self) -> Site:
        """Where they are in the model; ParameterError if the selection names no such place."""
        return parse_site(self.selection.source.site)

    @property
    def last_layer(self) -> int:
        """The layer of the deepest head; that of the final norm is after the last."""
        return max(layer for layer, _ in self.heads)

    @property
    def identity(self) -> Identity:
        """What the selection was made of, as the identity of a store."""
        source = self.selection.source
        return Identity(
            model=source.model,
            processor=source.processor,
            dtype=source.dtype,
            prompt=source.prompt,
            grid=source.grid,
            benchmark={},
        )


def wanted_sites(run: RunOptions, heads: ChosenHeads | None) -> tuple[Site, ...]:
    """Return the sites that a run reads: those asked for, that of its chosen heads, or heads."""
    return run.sites or (AT_HEADS if heads is None else heads.site,)


def chosen_heads(run: RunOptions) -> ChosenHeads | None:
    """Return the heads that `heads` names, None for all; ResultError if there is no selection."""
    if (heads := run.heads) is None:
        return None
    selection = load_config(Path(heads))

    def check(identity: Identity) -> Sequence[str]:
        return require_fit(selection, identity.source(), "this run", of=heads)

    return ChosenHeads(selection, check)


def has_the_heads(stored: Identity, encoder: PromptEncoder, chosen: ChosenHeads | None) -> bool:
    """Return whether a store surely has the heads that a run wants, before the model is loaded.

    Without a selection these are all heads of the model, as many as its configuration says. False
    if that cannot be told, such as of layers without attention.
    """
    stored_heads = grid_widths(stored.grid)
    if chosen is not None:
        return stored_heads.keys() == set(chosen.heads)
    if not encoder.has_heads:
        return len(stored_heads) == len(stored.model.get(IMAGE_OUTPUTS, "1"))
    text = encoder.config.get_text_config()
    layers, heads = (getattr(text, f"num_{of}", 0) for of in ("hidden_layers", "attention_heads"))
    if (site := parse_site(stored.site)).name != HEADS:
        widths = {len(grid.heads) * grid.head_dim for grid in stored.grid}
        layers_of_site = 1 if site.name == NORM else layers
        return (layers_of_site, {getattr(text, "hidden_size", 0)}) == (len(stored.grid), widths)
    counts = {len(grid.heads) for grid in stored.grid}
    return encoder.code.find_heads is None and (layers, {heads}) == (len(stored.grid), counts)


def keep_heads(points: tuple[HookPoint, ...], heads: Collection[Head]) -> tuple[HookPoint, ...]:
    """Return the hook points of some heads, in the order of the layers."""
    wanted, chosen = set(heads), []
    for point in points:
        grid = point.grid
        places = [n for n, head in enumerate(grid.heads) if (grid.layer, head) in wanted]
        if places:
            numbers = tuple(grid.heads[place] for place in places)
            smaller = LayerGrid(grid.layer, numbers, grid.head_dim)
            chosen.append(replace(point, grid=smaller, places=tuple(places)))
    return tuple(chosen)
