"""What the last token attends to in a layer, and which tokens a head writes.

A registered attention function calls the one that the model uses, so features keep their bits, and
computes one row of weights from the same queries and keys. No whole attention matrix is made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from savs.foundation.arrays import Array
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.hook_points import HookPoint
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.tower_attention import VISION, attention_names, set_attention
from savs.stores import Head

NAME = "savs_last_row"
"""Name of the registered function."""
NORMS = ("norm", "final_layernorm", "ln_f", "final_layer_norm")
"""What transformers calls the norm after a decoder's last layer."""


@dataclass(frozen=True, slots=True)
class LastRow:
    """What the last token attends to, in one layer."""

    weights: Array
    """`(heads, positions)` float32; each row adds up to 1."""
    output: Array
    """`(heads, head_dim)` float32: the weighted sum of the values, which is the head's feature
    where nothing follows before the output projection."""


class _LastRows:
    """The attention that a model uses, and in some layers a look at its last row."""

    def __init__(self, inner: Callable[..., Any], layers: Mapping[int, int]) -> None:
        """`layers` is the id of an attention module -> its layer."""
        self._inner, self._layers = inner, layers
        self.rows: dict[int, LastRow] = {}
        """Layer -> what the latest pass kept."""

    def __call__(
        self,
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **options: Any,
    ) -> Any:
        if (layer := self._layers.get(id(module))) is not None:
            self.rows[layer] = _last_row(query, key, value, attention_mask, options)
        return self._inner(module, query, key, value, attention_mask, **options)


@contextmanager
def keep_last_rows(model: Any, points: Sequence[HookPoint]) -> Iterator[dict[int, LastRow]]:
    """Keep the last token's attention of some layers during forward passes of one prompt each.

    All parts of the model have the attention after it that they had before. Yields layer -> what
    the latest pass kept. ModelError if the model's attention cannot be replaced.
    """
    layers = {id(point.module): point.grid.layer for point in points}
    modules = {  # id of the attention around each output projection -> its layer
        id(module): layers[id(child)]
        for module in model.modules()
        for child in module.children()
        if id(child) in layers
    }
    used, names = model.config._attn_implementation, attention_names(model.config)
    attention = _LastRows(ALL_ATTENTION_FUNCTIONS.get(used, sdpa_attention_forward), modules)
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS.get(used, sdpa_mask))
    try:
        model.set_attn_implementation(NAME)
        if model.config._attn_implementation != NAME:
            raise ModelError(f"{type(model).__name__} does not let its attention be read")
        if VISION in names:  # which has no rows to keep, and may say where its chunks end
            set_attention(model, {VISION: names[VISION]})
        yield attention.rows
    finally:
        set_attention(model, names)


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
    output = (weights[:, None] @ values)[:, 0]
    return LastRow(weights.cpu().numpy(), output.cpu().numpy())


def written_tokens(model: LoadedModel, head: Head, feature: Array, count: int) -> list[int]:
    """Return the `count` tokens whose logits a head's output raises most, greatest first.

    The output goes through its slice of the output projection, the scale of the final norm, and the
    output embeddings. What later layers make of it is left out, so this is a hint, no cause.

    `model` has all its heads; `feature` is the `(head_dim,)` output of the head, or a mean of
    several. ModelError if the model's parts are not found where they are in most architectures.
    """
    point = next(p for p in model.hook_points if p.grid.layer == head[0])
    start = point.grid.heads.index(head[1]) * point.grid.head_dim
    weight: Any = point.module.weight
    embeddings = model.model.get_output_embeddings()
    scale = _final_scale(model)
    if embeddings is None or scale is None:
        raise ModelError(f"{model.name} has no final norm or no output embeddings to read words by")
    with torch.inference_mode():
        slice_ = weight[:, start : start + len(feature)].float()
        written = slice_ @ torch.as_tensor(feature, device=slice_.device)
        logits = embeddings.weight.float() @ (written * scale).to(embeddings.weight.device)
        return logits.topk(count).indices.tolist()


def _final_scale(model: LoadedModel) -> torch.Tensor | None:
    """Return the scale of the final norm; Gemma's norms add one to theirs."""
    decoder = model.model.get_decoder()
    for name in NORMS:  # by name: a user's `find_heads` may read layers that savs does not know
        norm: Any = getattr(decoder, name, None)
        if isinstance(getattr(norm, "weight", None), torch.Tensor):
            scale = norm.weight.float()
            return scale + 1 if "Gemma" in type(norm).__name__ else scale
    return None
