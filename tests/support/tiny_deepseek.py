"""Tiny checkpoints of the DeepSeek families: DeepSeek-VL and Janus."""

from pathlib import Path
from typing import Any

import transformers as hf
from tiny_parts import save, text, tokenizer, tower

SPECIAL = (
    "<pad>",
    "<s>",
    "</s>",
    "<image_placeholder>",
    "<begin_of_image>",
    "<end_of_image>",
)
NAMED = {
    "image_token": "<image_placeholder>",
    "boi_token": "<begin_of_image>",
    "eoi_token": "<end_of_image>",
}
TEMPLATE = (
    "{% for m in messages %}{{ {'user': 'User', 'assistant': 'Assistant'}[m['role']] }}: "
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}<image_placeholder>{% else %}"
    "{{ c['text'] }}{% endif %}{% endfor %}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
IMAGE_TOKENS = 4
"""Of 28 x 28 px in patches of 14 x 14."""


def _tokenizer() -> hf.PreTrainedTokenizerFast:
    pad, bos, eos = SPECIAL[:3]
    return tokenizer(SPECIAL, pad=pad, bos=bos, eos=eos, named=NAMED)


def _config(**more: Any) -> dict[str, Any]:
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return {
        "text_config": text(model_type="llama", **ids),
        "vision_config": tower("siglip_vision_model", vision_use_head=False),
        "image_token_id": SPECIAL.index("<image_placeholder>"),
        **more,
    }


def _processor(kind: Any, images: Any) -> Any:
    return kind(
        image_processor=images,
        tokenizer=_tokenizer(),
        chat_template=TEMPLATE,
        num_image_tokens=IMAGE_TOKENS,
    )


def build_deepseek_vl(folder: Path) -> None:
    """Save a DeepSeek-VL of 1.3B: SigLIP tower, Llama decoder."""
    images = hf.DeepseekVLImageProcessor(size={"height": 28, "width": 28})
    model = hf.DeepseekVLForConditionalGeneration(hf.DeepseekVLConfig(**_config()))
    save(folder, model, _processor(hf.DeepseekVLProcessor, images))


def build_deepseek_vl_hybrid(folder: Path) -> None:
    """Save a DeepSeek-VL of 7B: SAM's tower at a higher resolution beside SigLIP's."""
    sam = {
        "model_type": "sam_vision_model",
        "hidden_size": 16,
        "output_channels": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 8,
        "window_size": 4,
        "global_attn_indexes": [1],
        "mlp_dim": 16,
    }
    config = hf.DeepseekVLHybridConfig(**_config(high_res_vision_config=sam))
    images = hf.DeepseekVLHybridImageProcessor(
        size={"height": 28, "width": 28}, high_res_size={"height": 64, "width": 64}
    )
    model = hf.DeepseekVLHybridForConditionalGeneration(config)
    save(folder, model, _processor(hf.DeepseekVLHybridProcessor, images))


def build_janus(folder: Path) -> None:
    """Save a Janus-Pro; the part that draws images is not used."""
    vision = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
        "mlp_ratio": 1.5,
        "projection_dim": 48,
        "num_image_tokens": IMAGE_TOKENS,
    }
    drawing = {
        "embed_dim": 4,
        "num_embeddings": 16,
        "latent_channels": 8,
        "base_channels": 32,
        "channel_multiplier": [1, 1],
        "num_res_blocks": 1,
        "projection_dim": 48,
        "image_token_embed_dim": 48,
        "num_patches": IMAGE_TOKENS,
    }
    config = hf.JanusConfig(**_config(vision_config=vision, vq_config=drawing))
    images = hf.JanusImageProcessor(size={"height": 28, "width": 28})
    save(folder, hf.JanusForConditionalGeneration(config), _processor(hf.JanusProcessor, images))
