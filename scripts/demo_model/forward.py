"""The same function as the stock forward pass, faster in training on a CPU.

The vision tower takes all images of a batch at once, where the stock one loops over them. The
decoder is the stock one with an attention that suits narrow heads. `tests/scripts` holds both to
the stock pass.
"""

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from transformers import AttentionInterface
from transformers.vision_utils import get_vision_position_ids

Grid = tuple[int, int]
"""Patches from top to bottom and from left to right."""

ATTENTION = "batched"


def batched_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend with batched matrix products; the mask is added to the scores.

    Query is `(batch, heads, n, d)`, key and value `(batch, key_value_heads, n, d)`.
    """
    del module
    batch, heads, n, width = query.shape
    shared = key.shape[1]
    stacked = (query * scaling).reshape(batch * shared, heads // shared * n, width)
    scores = torch.bmm(stacked, key.reshape(batch * shared, n, width).transpose(1, 2))
    weights = (scores.view(batch, heads, n, n) + attention_mask).softmax(-1)
    heads_out = torch.bmm(
        weights.view(batch * shared, heads // shared * n, n),
        value.reshape(batch * shared, n, width),
    )
    return heads_out.view(batch, heads, n, width).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, batched_attention)


def use_batched_attention(model: Any) -> None:
    """Let a model's decoder attend with `batched_attention`."""
    model.model.language_model.config._attn_implementation = ATTENTION


def patches(pixels: torch.Tensor, patch: int = 14, merge: int = 2) -> torch.Tensor:
    """Cut `(batch, height, width, 3)` uint8 images into `(batch, n, 3 * patch * patch)` patches.

    Patches come in the order of Qwen2-VL's processor: merged 2 x 2 blocks together.
    """
    batch, height, width, channels = pixels.shape
    down, across = height // patch // merge, width // patch // merge
    blocks = pixels.view(batch, down, merge, patch, across, merge, patch, channels)
    order = blocks.permute(0, 1, 4, 2, 5, 7, 3, 6)
    return order.reshape(batch, down * across * merge * merge, channels * patch * patch)


@lru_cache(maxsize=8)
def _positions(grid: Grid) -> torch.Tensor:
    return get_vision_position_ids(torch.tensor([[1, *grid]]), 2)


def _turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, -1)
    return (x * cos + torch.cat((-second, first), -1) * sin).to(x.dtype)


def see(model: Any, pixels: torch.Tensor, grid: Grid) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the vision tower on `(batch, height, width, 3)` uint8 images of one size.

    Returns
    -------
    tuple
        `(batch, patches, vision width)` before merging, `(batch, patches / 4, width)` after it.
    """
    tower, processor = model.model.visual, model.config.vision_config
    flat = patches(pixels, processor.patch_size)
    batch, n, _ = flat.shape
    weight = tower.patch_embed.proj.weight  # (width, 3, 2, patch, patch); both frames are equal
    scale, shift = _normalisation(processor.patch_size)
    x = F.linear((flat.float() * scale - shift).to(weight.dtype), weight.sum(2).flatten(1))
    cos, sin = tower.rotary_pos_emb(torch.zeros(1), _positions(grid))
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    heads = processor.num_heads
    for block in tower.blocks:
        query, key, value = (
            block.attn.qkv(block.norm1(x)).view(batch, n, 3, heads, -1).permute(2, 0, 3, 1, 4)
        )
        width = query.shape[-1]
        attended, _ = batched_attention(
            None, _turn(query, cos, sin), _turn(key, cos, sin), value,
            torch.zeros((), dtype=x.dtype), width**-0.5,
        )  # fmt: skip
        x = x + block.attn.proj(attended.flatten(2))
        x = x + block.mlp(block.norm2(x))
    merger = tower.merger
    return x, merger.mlp(merger.ln_q(x).view(batch, n // 4, -1))


@lru_cache(maxsize=2)
def _normalisation(patch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what turns bytes into the processor's values: scale and shift, a patch long."""
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).repeat_interleave(patch * patch)
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711]).repeat_interleave(patch * patch)
    return 1 / (255 * deviation), mean / deviation
