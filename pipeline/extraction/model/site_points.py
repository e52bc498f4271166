"""Find the sites of a language model next to its heads, by the structure of its decoder.

A decoder layer adds two blocks to the residual stream. Where a norm follows a block before its
output is added, what that norm gives is read: it is what the stream gets.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.attention_hooks import (
    HookPoint,
    decoder_layers,
    find_hook_points,
)
from savs.pipeline.extraction.model.sites import ATTENTION, HEADS, MLP, NORM, RESIDUAL, Site
from savs.stores import LayerGrid

MLP_NAMES = ("mlp", "feed_forward", "ffn")
"""What transformers calls a decoder layer's MLP; else it ends with the layer's last projection."""
AFTER_ATTENTION = ("post_self_attn_layernorm", "post_norm1", "post_attention_layernorm")
AFTER_MLP = ("post_mlp_layernorm", "post_feedforward_layernorm", "post_norm2")
"""What it calls norms of a block's output."""
OTHER_NORMS = ("post_feedforward_layernorm", "pre_mlp_layernorm")
"""In a layer with one of these `post_attention_layernorm` is that: else it is the MLP's input."""
SEVERAL_STREAMS = "altup_num_inputs"
"""Setting of models whose layers pass on several streams (Gemma 3n)."""
IMAGE_TOKENS = ("image_token_id", "image_token_index")
VIDEO_TOKENS = ("video_token_id", "video_token_index")
"""What configurations call the token that stands for a part of an image, or of a video."""


def find_site_points(
    model: Any, heads: tuple[HookPoint, ...], sites: Sequence[Site]
) -> tuple[HookPoint, ...]:
    """Return the hook points of sites, site by site and layer by layer.

    Sites other than heads have one head for each layer, of hidden width or cut into pieces. The
    attention of layers without heads is left out, as these are; `norm` counts as one layer after
    the last. Layers that were not loaded are left out.

    `heads` are the hook points of the heads of the model.

    Raises
    ------
    ModelError
        The model lacks a site, or its hidden width is no multiple of that of a head.
    """
    widths = {point.grid.layer: point.grid.head_dim for point in heads}
    points: list[HookPoint] = []
    for site in sites:
        if site.name == HEADS:
            points += [replace(point, site=site) for point in heads]
        else:
            points += [
                HookPoint(_grid(site, number, model, widths), module, site=site)
                for number, module in _modules(model, site)
            ]
    return tuple(points)


def missing_sites(model: Any, heads: tuple[HookPoint, ...]) -> dict[str, str]:
    """Return the sites that a model lacks, each with the reason."""
    reasons = {}
    for name in (RESIDUAL, ATTENTION, MLP, NORM):
        try:
            find_site_points(model, heads, [Site(name)])
        except ModelError as error:
            reasons[name] = str(error)
    return reasons


def _modules(model: Any, site: Site) -> Iterator[tuple[int, nn.Module]]:
    """Yield each layer and the module whose output is a site."""
    name, layers = type(model).__name__, decoder_layers(model)
    if layers is None:
        raise ModelError(f"{name} has no list of decoder layers, where {site.name} would be")
    # a layer that was not loaded has no weights
    there = [(n, layer) for n, layer in enumerate(layers) if any(True for _ in layer.parameters())]
    if site.name == NORM:
        yield len(layers), _final_norm(model, layers)
    elif site.name == RESIDUAL:
        if hasattr(model.config.get_text_config(decoder=True), SEVERAL_STREAMS):
            raise ModelError(
                f"{name} keeps several residual streams (AltUp), none of which is the whole; leave"
                f" out the site {RESIDUAL}"
            )
        yield from there
    elif site.name == ATTENTION:
        projections = {p.grid.layer: p.module for p in find_hook_points(model)}
        for number, layer in there:
            if number in projections:
                yield number, _norm_after(layer, AFTER_ATTENTION) or projections[number]
    else:
        for number, layer in there:
            module = _norm_after(layer, AFTER_MLP) or _mlp(layer)
            if module is None:
                raise ModelError(
                    f"{name}: layer {number}, a {type(layer).__name__}, has no MLP"
                    f" ({', '.join(MLP_NAMES)}) that can be found; leave out the site {MLP}"
                )
            yield number, module


def _norm_after(layer: nn.Module, names: Sequence[str]) -> nn.Module | None:
    for name in names:
        is_other = name == AFTER_ATTENTION[-1] and not any(hasattr(layer, n) for n in OTHER_NORMS)
        norm = None if is_other else getattr(layer, name, None)
        if norm is not None:
            return norm
    return None


def _mlp(layer: nn.Module) -> nn.Module | None:
    named = (getattr(layer, name, None) for name in MLP_NAMES)
    linear = [part for part in layer.children() if isinstance(part, nn.Linear)]
    return next((part for part in named if part is not None), linear[-1] if linear else None)


def _final_norm(model: Any, layers: nn.ModuleList) -> nn.Module:
    """Return the norm next to the layers: the last part of which all weights are vectors."""
    width = _hidden_width(model)
    for parent in model.get_decoder().modules():
        if any(part is layers for part in parent.children()):
            norms = [
                part
                for part in parent.children()
                if (sizes := [tuple(weight.shape) for weight in part.parameters()])
                and set(sizes) == {(width,)}
            ]
            if norms:
                return norms[-1]
    raise ModelError(
        f"{type(model).__name__} has no norm with weights after its layers; leave out the site"
        f" {NORM}"
    )


def _hidden_width(model: Any) -> int:
    return int(model.config.get_text_config(decoder=True).hidden_size)


def _grid(site: Site, layer: int, model: Any, head_widths: Mapping[int, int]) -> LayerGrid:
    width = _hidden_width(model)
    if not site.is_sliced:
        return LayerGrid(layer, (0,), width)
    # a layer without heads is cut as the first that has some
    each = head_widths.get(layer, next(iter(head_widths.values())))
    if width % each:
        raise ModelError(
            f"{type(model).__name__}: its hidden width, {width}, is no multiple of that of a head,"
            f" {each}; leave out `slices`"
        )
    return LayerGrid(layer, tuple(range(width // each)), each)


def image_tokens(name: str, config: Any) -> tuple[int, ...]:
    """Return the tokens that stand for parts of images and videos.

    Raises
    ------
    ModelError
        The configuration of the model, which is called `name`, does not say.
    """
    tokens = [getattr(config, key, None) for key in (*IMAGE_TOKENS, *VIDEO_TOKENS)]
    if tokens[: len(IMAGE_TOKENS)] == [None] * len(IMAGE_TOKENS):
        raise ModelError(
            f"the configuration of {name} does not say which token stands for a part of an image"
            f" ({', '.join(IMAGE_TOKENS)}); add it to config.json, and keep `pooling` last until"
            " then"
        )
    return tuple(token for token in tokens if isinstance(token, int))


def image_weights(ids: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    """Return `(batch, tokens)`: 1 / N at the N tokens of images in each row, 0 at the others.

    NaN where a row has none.
    """
    is_image = torch.stack([ids == token for token in tokens]).any(dim=0).float()
    return is_image / is_image.sum(dim=1, keepdim=True)
