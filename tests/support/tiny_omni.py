"""Tiny checkpoints of the Qwen families that also hear: their thinkers, which read the prompt."""

from pathlib import Path
from typing import Any

import transformers as hf
from tiny_parts import HIDDEN, save, text
from tiny_qwen import EXPERTS, SPECIAL, deep_tower, parts, qwen_tokenizer, rope, window_tower

SOUND = ("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
"""What they have beside Qwen's special tokens."""
NAMED = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "audio_token": "<|AUDIO|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}


def _config(suffix: str, **more: Any) -> dict[str, Any]:
    tokens = {"audio": len(SPECIAL), "image": 6, "video": 7}
    return {
        "audio_config": {
            "num_mel_bins": 8,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 16,
            "d_model": 16,
            "max_source_positions": 20,
            "output_dim": HIDDEN,
        },
        **{f"{name}_token_{suffix}": number for name, number in tokens.items()},
        "vision_start_token_id": SPECIAL.index("<|vision_start|>"),
        "audio_start_token_id": len(SPECIAL) + 1,
        **more,
    }


def _parts(patch: int) -> dict[str, Any]:
    return {
        **parts(patch, hf.Qwen2VLVideoProcessor(patch_size=patch)),
        "tokenizer": qwen_tokenizer(*SOUND, named=NAMED),
        "feature_extractor": hf.WhisperFeatureExtractor(feature_size=8, chunk_length=1),
    }


def build_qwen2_5_omni_thinker(folder: Path) -> None:
    """Save the thinker of a Qwen2.5-Omni."""
    config = hf.Qwen2_5OmniThinkerConfig(
        **_config(
            "index",
            text_config=text(rope_parameters=rope()),
            vision_config=window_tower(),
        )
    )
    model = hf.Qwen2_5OmniThinkerForConditionalGeneration(config)
    save(folder, model, hf.Qwen2_5OmniProcessor(**_parts(14)))


def build_qwen3_omni_moe_thinker(folder: Path) -> None:
    """Save the thinker of a Qwen3-Omni."""
    config = hf.Qwen3OmniMoeThinkerConfig(
        **_config(
            "id",
            text_config=text(head_dim=16, rope_parameters=rope(mrope_section=[4, 2, 2]), **EXPERTS),
            vision_config=deep_tower(deepstack_visual_indexes=[0, 1]),
        )
    )
    model = hf.Qwen3OmniMoeThinkerForConditionalGeneration(config)
    save(folder, model, hf.Qwen3OmniMoeProcessor(**_parts(16)))
