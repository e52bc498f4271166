"""Qwen2-VL, made small: transformers' own class, with an initialisation that suits the width."""

import math
from typing import Any

import torch
from torch import nn
from transformers import (
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

from demo_model.tokens import CHAT_TEMPLATE, SPECIAL

WIDTH, LAYERS, HEADS, KEY_VALUE_HEADS, MLP = 128, 6, 8, 4, 384
VISION_WIDTH, VISION_LAYERS, VISION_HEADS, VISION_MLP_RATIO = 128, 3, 4, 3
PATCH_PX, MERGE = 14, 2
PIXELS = {"shortest_edge": 9408, "longest_edge": 12544}
"""Every canvas of the benchmark lies between, so that none is resized."""


def build_model(tokenizer: Any, seed: int) -> Any:
    """Return a random model; the same seed gives the same weights.

    With heads 16 wide, the usual rotary base of 1e6 and contiguous sections leave the width axis
    almost no frequency: the base is 30, and the sections give the axes 4, 2 and 2 pairs.
    """
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": math.ceil(len(tokenizer) / 64) * 64,
            "hidden_size": WIDTH,
            "intermediate_size": MLP,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KEY_VALUE_HEADS,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 30.0,
                "mrope_section": [1, 1, 1, 1, 2, 2],
            },
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": VISION_LAYERS,
            "embed_dim": VISION_WIDTH,
            "hidden_size": WIDTH,
            "num_heads": VISION_HEADS,
            "mlp_ratio": VISION_MLP_RATIO,
            "patch_size": PATCH_PX,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
            "in_channels": 3,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = Qwen2VLForConditionalGeneration(config)
    _initialise(model)
    return model


def _initialise(model: Any) -> None:
    """Draw weights by fan-in: the usual 0.02 is too small for this width."""
    for name, weight in model.named_parameters():
        if "q_proj.bias" in name or "k_proj.bias" in name:
            if ".layers.0." in name or ".layers.1." in name:  # attention by place from the start
                nn.init.normal_(weight, std=1.0)
        elif weight.ndim < 2:
            continue
        elif "embed_tokens" in name:
            nn.init.normal_(weight, std=0.05)
        elif "patch_embed" in name:
            nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
        else:
            std = weight.shape[1] ** -0.5
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                std *= (2 * LAYERS) ** -0.5
            if name.endswith(("attn.proj.weight", "fc2.weight")):
                std *= (2 * VISION_LAYERS) ** -0.5
            nn.init.normal_(weight, std=std)


def build_processor(tokenizer: Any) -> Any:
    """Return the processor that goes with the model."""
    return Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=PIXELS),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=CHAT_TEMPLATE,
    )
