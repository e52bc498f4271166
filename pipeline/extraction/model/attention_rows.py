"""The attention of the last token, read beside the model's own computation.

A registered attention function calls the one that the model uses, so features keep their bits, and
computes one row of weights from the same queries and keys. No whole attention matrix is made.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.attention_hooks import HookPoint

NAME = "savs_last_row"
"""Name of the registered function."""


@dataclass(frozen=True, slots=True)
class LastRow:
    """What the last token attends to, in one layer."""

    weights: torch.Tensor
    """`(heads, positions)` float32; each row adds up to 1."""
    output: torch.Tensor
    """`(heads, head_dim)` float32: the weighted sum of the values, which is the head's feature
    where nothing follows before the output projection."""


@contextmanager
def keep_last_rows(model: Any, points: Sequence[HookPoint]) -> Iterator[dict[int, LastRow]]:
    """Keep the last token's attention of some layers during forward passes of one prompt each.

    Yields
    ------
    dict
        Layer -> what the latest pass kept.

    Raises
    ------
    ModelError
        The model's attention cannot be replaced.
    """
    layers = _attention_modules(model, points)
    rows: dict[int, LastRow] = {}
    used = model.config._attn_implementation
    inner = ALL_ATTENTION_FUNCTIONS.get(used, sdpa_attention_forward)

    def attend(
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **options: Any,
    ) -> Any:
        if id(module) in layers:
            rows[layers[id(module)]] = _last_row(query, key, value, attention_mask, options)
        return inner(module, query, key, value, attention_mask, **options)

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS.get(used, sdpa_mask))
    try:
        model.set_attn_implementation(NAME)
        if model.config._attn_implementation != NAME:
            raise ModelError(f"{type(model).__name__} does not let its attention be read")
        yield rows
    finally:
        model.set_attn_implementation(used)


def _attention_modules(model: Any, points: Sequence[HookPoint]) -> dict[int, int]:
    """Return the attention module of each hook point, by its id -> its layer."""
    layers = {id(point.projection): point.grid.layer for point in points}
    return {
        id(module): layers[id(child)]
        for module in model.modules()
        for child in module.children()
        if id(child) in layers
    }


def _last_row(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    options: dict[str, Any],
) -> LastRow:
    """Return one row of softmax(Q K^T scale + mask) and its product with V, in float32."""
    groups = query.shape[1] // key.shape[1]
    keys, values = (repeat_kv(part, groups)[0].float() for part in (key, value))
    scale = options.get("scaling")
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = (keys @ query[0, :, -1, :, None].float())[..., 0] * scale  # (heads, positions)
    if mask is not None and mask.ndim == 4:
        row = mask[0, :, -1, : scores.shape[1]]
        hidden = ~row if row.dtype == torch.bool else row < torch.finfo(row.dtype).min / 2
        scores = scores.masked_fill(hidden, -torch.inf)
    elif window := options.get("sliding_window"):
        scores[:, :-window] = -torch.inf
    weights = scores.softmax(dim=-1)
    return LastRow(weights, (weights[:, None] @ values)[:, 0])
