"""Tiny random checkpoints of real architectures, with their real processors, saved as folders."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

LAYERS, HEADS, HIDDEN = 3, 4, 48
HEAD_DIM = HIDDEN // HEADS

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<image>",
    "<video>",
)


def chat_template(image: str) -> str:
    """Return a template in Qwen's form that puts `image` at the place of an image."""
    return (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
        "{% for c in m['content'] %}{% if c['type'] == 'image' %}" + image + "{% else %}"
        "{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def tokenizer(**special: str) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer without merges: one token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL),
        padding_side="right",  # as several published checkpoints have it
        **special,
    )


def _text() -> dict[str, Any]:
    return {
        "vocab_size": 320,
        "hidden_size": HIDDEN,
        "intermediate_size": 64,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


def _qwen_ids() -> dict[str, int]:
    names = ("vision_start", "vision_end", "image", "video")
    tokens = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    return {
        f"{name}_token_id": SPECIAL.index(token) for name, token in zip(names, tokens, strict=True)
    }


def _qwen_parts() -> dict[str, Any]:
    size = {"shortest_edge": 28 * 28, "longest_edge": 112 * 112}
    return {
        "image_processor": Qwen2VLImageProcessor(size=size),
        "tokenizer": tokenizer(),
        "video_processor": Qwen2VLVideoProcessor(),
        "chat_template": chat_template("<|vision_start|><|image_pad|><|vision_end|>"),
    }


def _rope() -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 2, 2]}


def build_qwen2_vl(folder: Path) -> None:
    """Save a Qwen2-VL."""
    config = Qwen2VLConfig(
        text_config=_text() | {"rope_parameters": _rope()},
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": HIDDEN, "num_heads": 2},
        **_qwen_ids(),
    )
    _save(folder, Qwen2VLForConditionalGeneration(config), Qwen2VLProcessor(**_qwen_parts()))


def build_qwen2_5_vl(folder: Path) -> None:
    """Save a Qwen2.5-VL."""
    config = Qwen2_5_VLConfig(
        text_config=_text() | {"rope_parameters": _rope()},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "out_hidden_size": HIDDEN,
            "intermediate_size": 48,
            "num_heads": 2,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        **_qwen_ids(),
    )
    _save(folder, Qwen2_5_VLForConditionalGeneration(config), Qwen2_5_VLProcessor(**_qwen_parts()))


def build_llava_onevision(folder: Path) -> None:
    """Save a LLaVA-OneVision: SigLIP tower, Qwen2 decoder, any-resolution tiles."""
    pinpoints = [[28, 28], [28, 56], [56, 28], [56, 56]]
    config = LlavaOnevisionConfig(
        text_config=_text() | {"model_type": "qwen2"},
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
            "vision_use_head": False,
        },
        image_token_index=SPECIAL.index("<image>"),
        video_token_index=SPECIAL.index("<video>"),
        image_grid_pinpoints=pinpoints,
        vision_feature_layer=-1,
    )
    processor = LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(
            size={"height": 28, "width": 28}, image_grid_pinpoints=pinpoints
        ),
        tokenizer=tokenizer(),
        video_processor=LlavaOnevisionVideoProcessor(size={"height": 28, "width": 28}),
        chat_template=chat_template("<image>"),
        num_image_tokens=4,
        vision_feature_select_strategy="full",
    )
    _save(folder, LlavaOnevisionForConditionalGeneration(config), processor)


BUILDERS = {
    "qwen2_vl": build_qwen2_vl,
    "qwen2_5_vl": build_qwen2_5_vl,
    "llava_onevision": build_llava_onevision,
}


def build(family: str, folder: Path) -> Path:
    """Save a tiny random checkpoint of a family; the same weights each time."""
    torch.manual_seed(0)
    BUILDERS[family](folder)
    return folder


def _save(folder: Path, model: Any, processor: Any) -> None:
    with torch.no_grad():
        for weight in model.parameters():  # the usual 0.02 leaves heads that barely differ
            if weight.ndim > 1:
                weight.normal_(std=weight.shape[-1] ** -0.5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
