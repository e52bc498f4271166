"""Read every attention head at the last token: the input of each layer's output projection."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from savs.pipeline.errors import ModelError
from savs.stores import LayerGrid

PROJECTION_NAMES = ("o_proj", "out_proj")
"""What transformers calls an attention block's output projection."""


@dataclass(frozen=True, slots=True)
class Tap:
    """One decoder layer's place to read from."""

    grid: LayerGrid
    """The layer and its heads."""
    projection: nn.Module
    """The output projection, whose input holds all heads side by side."""


def find_taps(model: Any) -> tuple[Tap, ...]:
    """Return the taps of a model's language decoder, found by structure.

    The decoder is what `get_decoder()` names; a layer without a `self_attn` that has an output
    projection is passed over, so that layers may be absent. A head's width is the projection's
    input width divided by the number of heads, which may differ from hidden size / heads.

    Raises
    ------
    ModelError
        There is no decoder with attention heads, or a width is not a multiple of the heads.
    """
    decoder = model.get_decoder()
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise ModelError(
            f"{type(model).__name__} has no list of decoder layers below get_decoder(), which is a"
            f" {type(decoder).__name__}; this architecture is not supported"
        )
    taps = []
    for number, layer in enumerate(layers):
        attention = getattr(layer, "self_attn", None)
        projection = next(
            (p for name in PROJECTION_NAMES if (p := getattr(attention, name, None)) is not None),
            None,
        )
        if projection is not None:
            taps.append(Tap(_grid(number, attention, projection), projection))
    if not taps:
        raise ModelError(
            f"no layer of {type(decoder).__name__} has self_attn with {PROJECTION_NAMES}; this"
            " architecture is not supported"
        )
    return tuple(taps)


def _grid(number: int, attention: Any, projection: Any) -> LayerGrid:
    heads = int(attention.config.num_attention_heads)
    width = int(projection.in_features)
    if width % heads:
        raise ModelError(
            f"layer {number}: its output projection takes {width} values, which its {heads} heads"
            " cannot share equally"
        )
    return LayerGrid(number, tuple(range(heads)), width // heads)


class _LastTapReached(Exception):  # noqa: N818 - it ends a forward pass, it reports no error
    """All heads were read; what the model would still compute is not needed."""


@contextmanager
def reading(taps: Sequence[Tap], *, to_the_end: bool) -> Iterator[dict[int, torch.Tensor]]:
    """Read the heads at the last position of each sequence during one forward pass.

    Only that position is kept. Unless the pass shall run `to_the_end`, it stops at the last tap: no
    logits are computed. The pass must run inside the `with` block.

    Yields
    ------
    dict
        Layer -> `(batch, heads * head_dim)`, filled when the block ends.
    """
    read: dict[int, torch.Tensor] = {}

    def hook(tap: Tap, last: bool) -> Any:
        def keep(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            read[tap.grid.layer] = inputs[0][:, -1].detach()
            if last and not to_the_end:
                raise _LastTapReached

        return tap.projection.register_forward_pre_hook(keep)

    handles = [hook(tap, place == len(taps) - 1) for place, tap in enumerate(taps)]
    try:
        yield read
    except _LastTapReached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    if len(read) != len(taps):
        raise ModelError(f"the forward pass reached {len(read)} of {len(taps)} attention layers")
