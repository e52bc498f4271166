"""Tiny random checkpoints of real architectures, with their real processors, saved as folders."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_deepseek
import tiny_dual
import tiny_formed
import tiny_gemma
import tiny_glm
import tiny_idefics
import tiny_lfm
import tiny_llama
import tiny_llava
import tiny_llava_kin
import tiny_minicpm
import tiny_mistral
import tiny_molmo
import tiny_omni
import tiny_qwen
import tiny_qwen_kin
import tiny_tiled
import torch
from tiny_parts import HEAD_DIM, HEADS, LAYERS

__all__ = [
    "BUILDERS",
    "COUNTS",
    "DUAL",
    "HEADS",
    "HEAD_DIM",
    "LAYERS",
    "LIMITED",
    "LIMITS",
    "build",
    "marked",
    "taken",
]

BUILDERS = {
    **tiny_qwen.BUILDERS,
    **tiny_llava.BUILDERS,
    **tiny_idefics.BUILDERS,
    **tiny_tiled.BUILDERS,
    **tiny_gemma.BUILDERS,
    **tiny_mistral.BUILDERS,
    **tiny_glm.BUILDERS,
    **tiny_lfm.BUILDERS,
    **tiny_omni.BUILDERS,
    **tiny_qwen_kin.BUILDERS,
    **tiny_llava_kin.BUILDERS,
    **tiny_deepseek.BUILDERS,
    **tiny_minicpm.BUILDERS,
    **tiny_molmo.BUILDERS,
}
LIMITED = {**tiny_llama.LIMITED, **tiny_llava_kin.LIMITED, **tiny_formed.LIMITED}
"""Families that work as extractions use them, and not in every way that tests try."""
LIMITS = {
    "mllama": "a batch has one number of images",
    "llama4": "no --answers: its forward pass fails after its last heads",
    "perception_lm": "images of one prompt are cut into as many tiles each",
}
"""What limits them."""
COUNTS = {
    **dict.fromkeys(("blip-2", "instructblip", "kosmos-2"), (1, 1)),
    "fuyu": (0, 1),
    "paligemma": (1, 2),
    "perception_lm": (0, 1),
}
"""The fewest and the most images of a prompt where tests do not try all, none, one and two."""
DUAL = tiny_dual.BUILDERS
"""Dual encoders, which have no attention heads that are read."""

EACH_RUN = {
    *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "qwen3_vl_moe", "llava", "llava_next"),
    *("llava_onevision", "idefics3", "smolvlm", "internvl", "gemma3", "gemma4", "mistral3"),
    *("glm4v", "glm46v", "lfm2_vl", "mllama", "deepseek_vl", "janus", "ovis2"),
}
"""Families that every whole run of the tests tries; `just families` tries all."""


def build(family: str, folder: Path) -> Path:
    """Save a tiny random checkpoint of a family; the same weights each time."""
    torch.manual_seed(0)
    (BUILDERS | LIMITED | DUAL)[family](folder)
    return folder


def taken(family: str, prompts: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return those prompts, of texts and images, that a family takes."""
    low, high = COUNTS.get(family, (0, 2))
    return [p for p in prompts if low <= sum(not isinstance(x, str) for x in p) <= high]


def marked(family: str, always: Collection[str]) -> Any:
    """Return a family as a parameter of a test: quick, in each whole run, or by `just families`."""
    mark = pytest.mark.thorough if family in EACH_RUN else pytest.mark.slow
    return pytest.param(family, marks=[] if family in always else [mark])
