"""Tiny checkpoints of the Qwen families."""

from pathlib import Path
from typing import Any

import transformers as hf
from tiny_parts import HIDDEN, save, text, tokenizer

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

EXPERTS = {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}


def qwen_tokenizer(*more: str, named: dict[str, str] | None = None) -> hf.PreTrainedTokenizerFast:
    """Return a tokenizer with Qwen's special tokens, and more behind them."""
    return tokenizer((*SPECIAL, *more), pad="<|endoftext|>", eos="<|im_end|>", named=named)


def chat_template(image: str, video: str = "") -> str:
    """Return a template in Qwen's form that puts `image` at the place of an image.

    `video` is what it puts at that of a video; without it, it knows none.
    """
    videos = "{% elif c['type'] == 'video' %}" + video if video else ""
    return (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
        "{% for c in m['content'] %}{% if c['type'] == 'image' %}" + image + videos + "{% else %}"
        "{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def ids() -> dict[str, int]:
    """Return the ids of the special tokens, as configurations name them."""
    names = ("vision_start", "vision_end", "image", "video")
    tokens = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    return {
        f"{name}_token_id": SPECIAL.index(token) for name, token in zip(names, tokens, strict=True)
    }


def parts(patch: int, video_processor: Any) -> dict[str, Any]:
    """Return the parts of a processor for a tower of square patches."""
    pixels = {"shortest_edge": (2 * patch) ** 2, "longest_edge": (8 * patch) ** 2}
    return {
        "image_processor": hf.Qwen2VLImageProcessor(size=pixels, patch_size=patch),
        "tokenizer": qwen_tokenizer(),
        "video_processor": video_processor,
        "chat_template": chat_template(
            "<|vision_start|><|image_pad|><|vision_end|>",
            "<|vision_start|><|video_pad|><|vision_end|>",
        ),
    }


def rope(**more: Any) -> dict[str, Any]:
    """Return rotary embeddings of positions in time, height and width."""
    return {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 2, 2], **more}


def deep_tower(**more: Any) -> dict[str, Any]:
    """Return the configuration of the tower of Qwen3-VL and its kin."""
    return {
        "depth": 2,
        "hidden_size": 32,
        "out_hidden_size": HIDDEN,
        "intermediate_size": 48,
        "num_heads": 2,
        "num_position_embeddings": 16,
        **more,
    }


def window_tower(**more: Any) -> dict[str, Any]:
    """Return the configuration of the tower of Qwen2.5-VL and its kin."""
    return {
        "depth": 2,
        "hidden_size": 32,
        "out_hidden_size": HIDDEN,
        "intermediate_size": 48,
        "num_heads": 2,
        "fullatt_block_indexes": [1],
        "window_size": 56,
        **more,
    }


def build_qwen2_vl(folder: Path) -> None:
    """Save a Qwen2-VL."""
    config = hf.Qwen2VLConfig(
        text_config=text(rope_parameters=rope()),
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": HIDDEN, "num_heads": 2},
        **ids(),
    )
    processor = hf.Qwen2VLProcessor(**parts(14, hf.Qwen2VLVideoProcessor()))
    save(folder, hf.Qwen2VLForConditionalGeneration(config), processor)


def build_qwen2_5_vl(folder: Path) -> None:
    """Save a Qwen2.5-VL."""
    config = hf.Qwen2_5_VLConfig(
        text_config=text(rope_parameters=rope()),
        vision_config=window_tower(),
        **ids(),
    )
    processor = hf.Qwen2_5_VLProcessor(**parts(14, hf.Qwen2VLVideoProcessor()))
    save(folder, hf.Qwen2_5_VLForConditionalGeneration(config), processor)


def _deep_processor() -> hf.Qwen3VLProcessor:
    return hf.Qwen3VLProcessor(**parts(16, hf.Qwen3VLVideoProcessor(cap_pixels_per_frame=True)))


def _qwen3_vl(**more: Any) -> dict[str, Any]:
    return {
        "text_config": text(head_dim=16, rope_parameters=rope(mrope_section=[4, 2, 2]), **more),
        "vision_config": deep_tower(deepstack_visual_indexes=[0, 1]),
        **ids(),
    }


def linear_decoder(**more: Any) -> dict[str, Any]:
    """Return the configuration of Qwen3.5's decoder: every other layer has linear attention."""
    return text(
        num_hidden_layers=4,
        layer_types=["linear_attention", "full_attention"] * 2,
        head_dim=16,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        rope_parameters=rope(mrope_section=[4, 2, 2], partial_rotary_factor=1.0),
        **more,
    )


def _qwen3_5(**more: Any) -> dict[str, Any]:
    return {"text_config": linear_decoder(**more), "vision_config": deep_tower(), **ids()}


def build_qwen3_vl(folder: Path) -> None:
    """Save a Qwen3-VL: image features enter several decoder layers, too; heads 16 wide."""
    config = hf.Qwen3VLConfig(**_qwen3_vl())
    save(folder, hf.Qwen3VLForConditionalGeneration(config), _deep_processor())


def build_qwen3_vl_moe(folder: Path) -> None:
    """Save a Qwen3-VL with experts."""
    config = hf.Qwen3VLMoeConfig(**_qwen3_vl(**EXPERTS))
    save(folder, hf.Qwen3VLMoeForConditionalGeneration(config), _deep_processor())


def build_qwen3_5(folder: Path) -> None:
    """Save a Qwen3.5: of four decoder layers the second and the last have attention heads."""
    config = hf.Qwen3_5Config(**_qwen3_5())
    save(folder, hf.Qwen3_5ForConditionalGeneration(config), _deep_processor())


def build_qwen3_5_moe(folder: Path) -> None:
    """Save a Qwen3.5 with experts, one of them for all tokens."""
    config = hf.Qwen3_5MoeConfig(**_qwen3_5(**EXPERTS, shared_expert_intermediate_size=16))
    save(folder, hf.Qwen3_5MoeForConditionalGeneration(config), _deep_processor())
