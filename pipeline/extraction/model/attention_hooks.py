"""Read a model in one pass: every attention head at the last token, or another site of it.

A head's output is what it gives to its layer's output projection.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import nn

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.devices import moved
from savs.pipeline.extraction.model.sites import AT_HEADS, HEADS, IMAGE_MEAN, Site
from savs.stores import LayerGrid

ATTENTION_NAMES = ("self_attn", "self_attention", "attn")
"""What transformers calls a decoder layer's self-attention."""
PROJECTION_NAMES = ("o_proj", "out_proj", "dense")
"""What it calls the output projection of that."""
LINEAR = "linear_attention"
"""What `layer_types` of its configurations calls layers that attend without a softmax."""


@dataclass(frozen=True, slots=True)
class HookPoint:
    """One decoder layer's place to read from."""

    grid: LayerGrid
    module: nn.Module
    """The output projection, whose input concatenates all heads; for other sites the module
    whose output is read."""
    places: tuple[int, ...] | None = None
    """Places of the heads of `grid` among all that are read; None if those are all."""
    site: Site = AT_HEADS


def find_hook_points(model: Any) -> tuple[HookPoint, ...]:
    """Return the hook points of a model's language decoder, found by structure.

    The decoder is what `get_decoder()` names, its layers the first list of modules in it of which
    one has self-attention with an output projection; layers without are passed over, so they may be
    absent. So are those of linear attention (gated delta rule, lightning attention), which have no
    softmax over tokens, and with it no heads of the method. A head's width is the projection's
    input width divided by the number of heads, which may differ from hidden size / heads.

    Raises
    ------
    ModelError
        There is no decoder with attention heads, or a width is not a multiple of the heads.
    """
    require_decoder_only(type(model).__name__, model.config)
    layers = decoder_layers(model)
    kinds = getattr(model.config.get_text_config(decoder=True), "layer_types", None) or ()
    points = () if layers is None else tuple(_points(layers, kinds))
    if not points:
        decoder = type(model.get_decoder()).__name__
        raise ModelError(
            f"{type(model).__name__}: no layer of its decoder, {decoder}, has softmax"
            f" self-attention ({', '.join(ATTENTION_NAMES)}) with an output projection"
            f" ({', '.join(PROJECTION_NAMES)}); give `model_code` with find_heads"
        )
    return points


def require_decoder_only(name: str, config: Any) -> None:
    """Refuse an encoder with a decoder, by its configuration alone.

    Raises
    ------
    ModelError
        It is one, or its language model is.
    """
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


def _points(layers: nn.ModuleList, kinds: Sequence[str]) -> Iterator[HookPoint]:
    for number, (layer, kind) in enumerate(zip_longest(layers, kinds[: len(layers)])):
        if kind != LINEAR and (point := _hook_point(number, layer)) is not None:
            yield point


def _hook_point(number: int, layer: nn.Module) -> HookPoint | None:
    for name in ATTENTION_NAMES:
        attention = getattr(layer, name, None)
        for projection_name in PROJECTION_NAMES:
            projection = getattr(attention, projection_name, None)
            if not hasattr(projection, "in_features"):  # a gate before it is a part of it (Inkling)
                projection = getattr(projection, "linear", projection)
            heads = _head_count(attention)
            if projection is not None and heads:
                return HookPoint(_grid(number, heads, projection), projection)
    return None


def _head_count(attention: Any) -> int | None:
    """Return the number of heads of an attention block: its own, which may differ by layer."""
    heads = getattr(attention, "num_heads", None)
    if heads is None:
        heads = getattr(getattr(attention, "config", None), "num_attention_heads", None)
    return heads if isinstance(heads, int) else None


def _grid(number: int, heads: int, projection: Any) -> LayerGrid:
    width = getattr(projection, "in_features", None)
    if not width or int(width) % heads:
        raise ModelError(
            f"layer {number}: its output projection, a {type(projection).__name__}, takes {width}"
            f" values, which {heads} heads cannot share equally; give `model_code` with find_heads"
        )
    return LayerGrid(number, tuple(range(heads)), int(width) // heads)


class LastHookReached(Exception):  # noqa: N818 - it ends a forward pass, it reports no error
    """All was read; what the model would still compute is not needed."""


@contextmanager
def collect_features(
    points: Mapping[int, HookPoint],
    *,
    to_the_end: bool,
    ends: torch.Tensor | None = None,
    image_weights: torch.Tensor | None = None,
    batch: int | None = None,
) -> Iterator[dict[int, torch.Tensor]]:
    """Read hook points, by their places, during one forward pass.

    Of each sequence one vector is kept: at the last position, or at `ends`, `(batch,)`, counted
    from the first; or the sum by `image_weights`, `(batch, tokens)`, where a site's pooling says
    so. The pass stops when all points were read, before logits are computed, unless it shall run
    `to_the_end`. It must run inside the `with` block. `batch` is the number of sequences: some
    blocks put the tokens of all in one row.

    Yields
    ------
    dict
        Place -> `(batch, heads * head_dim)`, filled when the block ends.
    """
    read: dict[int, torch.Tensor] = {}
    at: dict[torch.device, torch.Tensor] = {}
    """The ends on each device, moved there once; so are the weights."""
    weights: dict[torch.device, torch.Tensor] = {}

    def last(values: torch.Tensor) -> torch.Tensor:
        if ends is None:
            return values[:, -1].clone()  # a view would keep the whole sequence of every layer
        device = values.device
        if device not in at:
            at[device] = moved(torch.stack([torch.arange(len(ends)), ends]), device)
        return values[at[device][0], at[device][1]]

    def mean(values: torch.Tensor) -> torch.Tensor:
        if image_weights is None:
            raise ModelError("the model was given no tokens, so those of images are not known")
        device = values.device
        if device not in weights:
            weights[device] = image_weights[:, None].to(device, values.dtype)
        return torch.bmm(weights[device], values)[:, 0]

    def whole(output: Any) -> torch.Tensor:
        values = output[0] if isinstance(output, tuple) else output
        return values if batch is None or values.dim() != 2 else values.unflatten(0, (batch, -1))

    # The input of a layer's output projection is what its heads give out, side by side, before they
    # are mixed. A hook before that module reads it whatever attention implementation made it, and
    # the exception of the last one spares the rest of the model: final norm and logits.
    def keep(place: int, values: torch.Tensor) -> None:
        point = points[place]
        if values.dim() != 3:
            raise ModelError(
                f"layer {point.grid.layer} has {point.site.name} of shape {tuple(values.shape)},"
                " expected one vector for each token; leave this site out"
            )
        read[place] = (mean if point.site.pooling == IMAGE_MEAN else last)(values)
        if len(read) == len(points) and not to_the_end:
            raise LastHookReached

    def hook(place: int, point: HookPoint) -> Any:
        if point.site.name == HEADS:
            return point.module.register_forward_pre_hook(lambda _, inputs: keep(place, inputs[0]))
        return point.module.register_forward_hook(lambda _, __, output: keep(place, whole(output)))

    handles = [hook(place, point) for place, point in points.items()]
    try:
        yield read
    except LastHookReached as reached:
        reached.__traceback__ = None  # its frames hold the activations of whole sequences
    finally:
        for handle in handles:
            handle.remove()
    if len(read) != len(points):
        first = next(point for place, point in points.items() if place not in read)
        raise ModelError(
            f"the forward pass reached {len(read)} of {len(points)} places to read, and not"
            f" {first.site.name} of layer {first.grid.layer}: some models skip layers for prompts"
            " without an image; give each prompt one, or leave this site out"
        )
    for place, point in points.items():
        if point.places is not None:
            parts = read[place].split(point.grid.head_dim, dim=1)
            read[place] = torch.cat([parts[number] for number in point.places], dim=1)
