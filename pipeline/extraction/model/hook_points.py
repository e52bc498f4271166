"""Hook points: where a language model's heads and other sites are read, found by its structure.

A head's output is what it gives to its layer's output projection. A decoder layer adds two blocks
to the residual stream. Where a norm follows a block before its output is added, what that norm
gives is read: it is what the stream gets.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import torch
from torch import nn

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.sites import (
    AT_HEADS,
    ATTENTION,
    HEADS,
    MLP,
    NAMES,
    NORM,
    RESIDUAL,
    Site,
)
from savs.stores import LayerGrid

ATTENTION_NAMES = ("self_attn", "self_attention", "attn")
"""What transformers calls a decoder layer's self-attention."""
PROJECTION_NAMES = ("o_proj", "out_proj", "dense")
"""What it calls the output projection of that."""
WIDTHS = ("in_features", "input_size_per_partition")
"""What linear layers call the width of their input; the second are those of vLLM, of one rank."""
LINEAR = "linear_attention"
"""What `layer_types` of its configurations calls layers that attend without a softmax."""
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


@dataclass(frozen=True, slots=True)
class HookPoint:
    """A place of a model that is read: one layer's heads, another site, or an output."""

    grid: LayerGrid
    module: nn.Module
    """The output projection, whose input concatenates all heads; or the module of which the output
    is read."""
    places: tuple[int, ...] | None = None
    """Places of the heads of `grid` among all that are read; None if those are all."""
    site: Site = AT_HEADS
    is_output: bool = False
    """Whether the module's output is read, and not its input."""
    pool: Callable[[Any, Mapping[str, Any]], torch.Tensor] | None = None
    """Makes `(batch, width)` of what is read and the arguments of the pass; by default one vector
    of each sequence is taken as the site's pooling says."""


def find_hook_points(model: Any) -> tuple[HookPoint, ...]:
    """Return the hook points of a model's language decoder, found by structure.

    The decoder is what `get_decoder()` names, its layers the first list of modules in it of which
    one has self-attention with an output projection; layers without are passed over, so they may be
    absent. So are those of linear attention (gated delta rule, lightning attention), which have no
    softmax over tokens, and with it no heads of the method. A head's width is the projection's
    input width divided by the number of heads, which may differ from hidden size / heads.
    ModelError if there is no decoder with attention heads, or a width is not a multiple of the
    heads.
    """
    require_decoder_only(type(model).__name__, model.config)
    layers = decoder_layers(model)
    kinds = getattr(model.config.get_text_config(decoder=True), "layer_types", None) or ()
    every = () if layers is None else enumerate(zip_longest(layers, kinds[: len(layers)]))
    candidates = (_hook_point(number, layer) for number, (layer, kind) in every if kind != LINEAR)
    points = tuple(point for point in candidates if point is not None)
    if not points:
        decoder = type(model.get_decoder()).__name__
        raise ModelError(
            f"{type(model).__name__}: no layer of its decoder, {decoder}, has softmax"
            f" self-attention ({', '.join(ATTENTION_NAMES)}) with an output projection"
            f" ({', '.join(PROJECTION_NAMES)}); give `model_code` with find_heads"
        )
    return points


def require_decoder_only(name: str, config: Any) -> None:
    """Raise ModelError for an encoder with a decoder, by its configuration alone."""
    if any(
        getattr(part, "is_encoder_decoder", False)
        for part in (config, config.get_text_config(decoder=True))
    ):
        raise ModelError(
            f"{name} is an encoder with a decoder: at the decoder's start token self-attention sees"
            " that token alone, so the first layer's heads are the same for every prompt, and the"
            " prompt is read by cross-attention only; take a decoder-only model, or give"
            " `model_code` with find_heads"
        )


def decoder_layers(model: Any) -> nn.ModuleList | None:
    """Return the layers of a model's language decoder: the first list of which one has heads."""
    for layers in model.get_decoder().modules():
        if isinstance(layers, nn.ModuleList) and any(_hook_point(0, layer) for layer in layers):
            return layers
    return None


def _hook_point(number: int, layer: nn.Module) -> HookPoint | None:
    for name in ATTENTION_NAMES:
        attention = getattr(layer, name, None)
        heads = getattr(attention, "num_heads", None)  # its own, which may differ by layer
        if heads is None:
            heads = getattr(getattr(attention, "config", None), "num_attention_heads", None)
        if not isinstance(heads, int) or not heads:
            continue
        for projection_name in PROJECTION_NAMES:
            projection = getattr(attention, projection_name, None)
            if not any(hasattr(projection, name) for name in WIDTHS):  # a gate before it (Inkling)
                projection = getattr(projection, "linear", projection)
            if projection is None:
                continue
            widths = (getattr(projection, name, None) for name in WIDTHS)
            width = next(filter(None, widths), None)
            if not width or int(width) % heads:
                raise ModelError(
                    f"layer {number}: its output projection, a {type(projection).__name__}, takes"
                    f" {width} values, which {heads} heads cannot share equally; give `model_code`"
                    " with find_heads"
                )
            grid = LayerGrid(number, tuple(range(heads)), int(width) // heads)
            return HookPoint(grid, projection)
    return None


def find_site_points(
    model: Any, heads: tuple[HookPoint, ...], sites: Sequence[Site]
) -> tuple[HookPoint, ...]:
    """Return the hook points of sites, site by site and layer by layer.

    Sites other than heads have one head for each layer, of hidden width or cut into pieces. The
    attention of layers without heads is left out, as these are; `norm` counts as one layer after
    the last. Layers that were not loaded are left out.

    `heads` are the hook points of the heads of the model. ModelError if the model lacks a site, or
    its hidden width is no multiple of that of a head.
    """
    widths = {point.grid.layer: point.grid.head_dim for point in heads}
    points: list[HookPoint] = []
    for site in sites:
        if site.name == HEADS:
            points += [replace(point, site=site) for point in heads]
        else:
            points += [
                HookPoint(_grid(site, number, model, widths), module, site=site, is_output=True)
                for number, module in _modules(model, site)
            ]
    return tuple(points)


def missing_sites(model: Any, heads: tuple[HookPoint, ...]) -> dict[str, str]:
    """Return the sites that a model lacks, each with the reason."""
    reasons = {}
    for name in NAMES[1:]:  # heads are found before
        try:
            find_site_points(model, heads, [Site(name)])
        except ModelError as error:
            reasons[name] = str(error)
    return reasons


Modules = list[tuple[int, nn.Module]]
"""Modules with the numbers of their layers."""


def _modules(model: Any, site: Site) -> Modules:
    """Return the modules whose output is a site, layer by layer."""
    layers = decoder_layers(model)
    if layers is None:
        raise ModelError(
            f"{type(model).__name__} has no list of decoder layers, where {site.name} would be"
        )
    return FINDERS[site.name](model, layers)


def _loaded(layers: nn.ModuleList) -> Modules:
    """Return the layers that have weights: one that was not loaded has none."""
    return [(n, layer) for n, layer in enumerate(layers) if any(True for _ in layer.parameters())]


def _residual(model: Any, layers: nn.ModuleList) -> Modules:
    if hasattr(model.config.get_text_config(decoder=True), SEVERAL_STREAMS):
        raise ModelError(
            f"{type(model).__name__} keeps several residual streams (AltUp), none of which is the"
            f" whole; leave out the site {RESIDUAL}"
        )
    return _loaded(layers)


def _attention(model: Any, layers: nn.ModuleList) -> Modules:
    projections = {p.grid.layer: p.module for p in find_hook_points(model)}
    return [
        (number, _norm_after(layer, AFTER_ATTENTION) or projections[number])
        for number, layer in _loaded(layers)
        if number in projections
    ]


def _mlp(model: Any, layers: nn.ModuleList) -> Modules:
    modules = []
    for number, layer in _loaded(layers):
        module = _norm_after(layer, AFTER_MLP) or _mlp_of(layer)
        if module is None:
            raise ModelError(
                f"{type(model).__name__}: layer {number}, a {type(layer).__name__}, has no MLP"
                f" ({', '.join(MLP_NAMES)}) that can be found; leave out the site {MLP}"
            )
        modules.append((number, module))
    return modules


def _norm_after(layer: nn.Module, names: Sequence[str]) -> nn.Module | None:
    for name in names:
        is_other = name == AFTER_ATTENTION[-1] and not any(hasattr(layer, n) for n in OTHER_NORMS)
        norm = None if is_other else getattr(layer, name, None)
        if norm is not None:
            return norm
    return None


def _mlp_of(layer: nn.Module) -> nn.Module | None:
    named = (getattr(layer, name, None) for name in MLP_NAMES)
    linear = [part for part in layer.children() if isinstance(part, nn.Linear)]
    return next((part for part in named if part is not None), linear[-1] if linear else None)


def _final_norm(model: Any, layers: nn.ModuleList) -> Modules:
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
                return [(len(layers), norms[-1])]
    raise ModelError(
        f"{type(model).__name__} has no norm with weights after its layers; leave out the site"
        f" {NORM}"
    )


FINDERS = {RESIDUAL: _residual, ATTENTION: _attention, MLP: _mlp, NORM: _final_norm}
"""Site -> what finds its modules in a model and the layers of its decoder.

`norm` counts as one layer after the last.
"""


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
            f"{type(model).__name__}: its hidden width, {width}, is no multiple of a head's,"
            f" {each}; leave out `slices`"
        )
    return LayerGrid(layer, tuple(range(width // each)), each)


def image_tokens(name: str, config: Any) -> tuple[int, ...]:
    """Return the tokens of parts of images and videos; ModelError if none is configured."""
    tokens = [getattr(config, key, None) for key in (*IMAGE_TOKENS, *VIDEO_TOKENS)]
    if tokens[: len(IMAGE_TOKENS)] == [None] * len(IMAGE_TOKENS):
        raise ModelError(
            f"the configuration of {name} does not say which token stands for a part of an image"
            f" ({', '.join(IMAGE_TOKENS)}); add it to config.json, and keep `pooling` last until"
            " then"
        )
    return tuple(token for token in tokens if isinstance(token, int))
