"""Tiny random checkpoints of real architectures, with their real processors, saved as folders."""

from collections.abc import Collection, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_parts import HEAD_DIM, HEADS, LAYERS

__all__ = [
    "AUDIO",
    "BUILDERS",
    "COUNTS",
    "DUAL",
    "HEADS",
    "HEAD_DIM",
    "LAYERS",
    "LIMITED",
    "LIMITS",
    "VIDEO",
    "VISION",
    "build",
    "marked",
    "taken",
]


def _modules(**families: str) -> dict[str, str]:
    """Return family -> the module that builds it, imported when it does: all take two seconds."""
    return {family: module for module, names in families.items() for family in names.split()}


BUILDERS = _modules(
    tiny_qwen="qwen2_vl qwen2_5_vl qwen3_vl qwen3_vl_moe qwen3_5 qwen3_5_moe cosmos3_edge"
    " cosmos3_omni hyperclovax_vision_v2 video_llama_3 exaone4_5 ovis2 ernie4_5_vl_moe paddleocr_vl"
    " lfm3_vl qwen2_5_omni_thinker qwen3_omni_moe_thinker minicpmv4_6 minicpmv4_7 minicpm_ocr"
    " molmo2",
    tiny_llava="llava_onevision llava llava_next vipllava llava_next_video video_llava fast_vlm"
    " granite4_vision lighton_ocr qianfan_ocr deepseek_vl deepseek_vl_hybrid janus mistral3"
    " pixtral",
    tiny_tiled="internvl aya_vision cohere2_vision idefics2 idefics3 smolvlm lfm2_vl",
    tiny_gemma="gemma3 gemma3n gemma4",
    tiny_glm="glm4v glm4v_moe glm46v glmga glm_ocr",
)
LIMITED = _modules(
    tiny_tiled="mllama llama4",
    tiny_llava="perception_lm",
    tiny_formed="blip-2 instructblip paligemma kosmos-2 fuyu",
)
"""Families that work as extractions use them, and not in every way that tests try."""
LIMITS = {
    "mllama": "a batch has one number of images",
    "perception_lm": "images of one prompt are cut into as many tiles each",
    "qwen3_omni_moe_thinker": "batches with sounds under 1 s differ",
}
"""What limits them."""
COUNTS = {
    **dict.fromkeys(("blip-2", "fuyu", "instructblip", "kosmos-2"), (1, 1)),
    "paligemma": (1, 2),
    "perception_lm": (0, 1),
}
"""The fewest and the most images of a prompt where tests do not try all, none, one and two."""
VIDEO = (
    *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"),
    *("llava_onevision", "llava_next_video", "video_llava", "smolvlm", "qwen2_5_omni_thinker"),
    *("qwen3_omni_moe_thinker", "cosmos3_omni", "hyperclovax_vision_v2", "exaone4_5", "lfm3_vl"),
)
"""Families that take videos as videos here: their tiny chat templates have a place for them."""
AUDIO = _modules(
    tiny_audio="qwen2_audio audioflamingo3 musicflamingo glmasr moss_transcribe_diarize voxtral",
    tiny_qwen="qwen2_5_omni_thinker qwen3_omni_moe_thinker",
    tiny_gemma="gemma4",
)
"""Families that read sounds."""
DUAL = _modules(tiny_dual="clip siglip siglip2")
"""Dual encoders, which have no attention heads that are read."""

VISION = _modules(
    tiny_vision="dinov2 dinov3 siglip_vision siglip2_vision aimv2 ijepa vit radio timm"
    " vit_without_pooler"
)
"""Image encoders, which read no text."""

EACH_RUN = {
    *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "qwen3_vl_moe", "llava", "llava_next"),
    *("llava_onevision", "idefics3", "smolvlm", "internvl", "gemma3", "gemma4", "mistral3"),
    *("glm4v", "glm46v", "lfm2_vl", "mllama", "deepseek_vl", "janus", "ovis2"),
}
"""Families that every whole run of the tests tries; `just families` tries all."""


def build(family: str, folder: Path) -> Path:
    """Save a tiny random checkpoint of a family; the same weights each time."""
    torch.manual_seed(0)
    module = import_module((BUILDERS | LIMITED | AUDIO | DUAL | VISION)[family])
    getattr(module, f"build_{family.replace('-', '_')}")(folder)
    return folder


def taken(family: str, prompts: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return those prompts, of texts and images, that a family takes."""
    low, high = COUNTS.get(family, (0, 2))
    return [p for p in prompts if low <= sum(not isinstance(x, str) for x in p) <= high]


def marked(family: str, always: Collection[str]) -> Any:
    """Return a family as a parameter of a test: quick, in each whole run, or by `just families`."""
    mark = pytest.mark.thorough if family in EACH_RUN else pytest.mark.slow
    return pytest.param(family, marks=[] if family in always else [mark])
