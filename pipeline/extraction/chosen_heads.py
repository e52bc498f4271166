"""`--heads-from`: a model of which some heads are read, those of a selection."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from savs.pipeline.errors import SelectionError
from savs.pipeline.extraction.model.attention_hooks import HookPoint
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.selection.selection_config import SelectionConfig, grid_widths, usable_source
from savs.pipeline.selection.selection_file import load_config
from savs.stores import Head, Identity, LayerGrid


def read_chosen_heads(model: LoadedModel, identity: Identity, heads_from: Path) -> LoadedModel:
    """Return a model that reads the heads of a selection alone; passes stop at the deepest.

    Parameters
    ----------
    model
        Reads all heads.
    identity
        What its features are of.
    heads_from
        Folder of the selection.

    Raises
    ------
    ResultError
        There is no selection.
    SelectionError
        It is of another model or other settings.
    """
    config = _fitting(identity, heads_from)
    return replace(model, hook_points=keep_heads(model.hook_points, config.heads))


def has_the_heads(found: Identity, encoder: PromptEncoder, heads_from: Path | None) -> bool:
    """Return whether a store surely has the heads that a run wants, before the model is loaded.

    Without a selection these are all heads of the model, as many as its configuration says. False
    where that cannot be told, such as of layers without attention.

    Raises
    ------
    ResultError, SelectionError
        As `read_chosen_heads`.
    """
    held = grid_widths(found.grid)
    if heads_from is not None:
        return held.keys() == set(_fitting(found, heads_from).heads)
    if encoder.is_dual:
        return len(held) == 1
    text = encoder.config.get_text_config()
    layers, heads = (getattr(text, f"num_{of}", 0) for of in ("hidden_layers", "attention_heads"))
    counts = {len(grid.heads) for grid in found.grid}
    return encoder.code.find_heads is None and (layers, {heads}) == (len(found.grid), counts)


def _fitting(identity: Identity, heads_from: Path) -> SelectionConfig:
    """Return a selection that is of the same model and settings."""
    config, ours = load_config(heads_from), identity.source()
    if apart := usable_source(config, ours).differences(ours):
        raise SelectionError(
            f"the selection {heads_from} does not fit this run, they differ in:\n  "
            + "\n  ".join(apart)
            + "\ngive --heads-from a selection of this model with these settings"
        )
    return config


def keep_heads(points: tuple[HookPoint, ...], heads: Collection[Head]) -> tuple[HookPoint, ...]:
    """Return the hook points of some heads, in the order of the layers."""
    wanted, kept = set(heads), []
    for point in points:
        grid = point.grid
        places = [n for n, head in enumerate(grid.heads) if (grid.layer, head) in wanted]
        if places:
            numbers = tuple(grid.heads[place] for place in places)
            smaller = LayerGrid(grid.layer, numbers, grid.head_dim)
            kept.append(HookPoint(smaller, point.projection, tuple(places)))
    return tuple(kept)
