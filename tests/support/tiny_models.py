"""Tiny random checkpoints of real architectures, with their real processors, saved as folders."""

from pathlib import Path

import tiny_dual
import tiny_gemma
import tiny_glm
import tiny_idefics
import tiny_lfm
import tiny_llama
import tiny_llava
import tiny_mistral
import tiny_qwen
import tiny_tiled
import torch
from tiny_parts import HEAD_DIM, HEADS, LAYERS

__all__ = ["BUILDERS", "DUAL", "HEADS", "HEAD_DIM", "LAYERS", "LIMITED", "build"]

BUILDERS = {
    **tiny_qwen.BUILDERS,
    **tiny_llava.BUILDERS,
    **tiny_idefics.BUILDERS,
    **tiny_tiled.BUILDERS,
    **tiny_gemma.BUILDERS,
    **tiny_mistral.BUILDERS,
    **tiny_glm.BUILDERS,
    **tiny_lfm.BUILDERS,
}
LIMITED = tiny_llama.LIMITED
"""Families that work as extractions use them, and not in every way that tests try."""
DUAL = tiny_dual.BUILDERS
"""Dual encoders, which have no attention heads that are read."""


def build(family: str, folder: Path) -> Path:
    """Save a tiny random checkpoint of a family; the same weights each time."""
    torch.manual_seed(0)
    (BUILDERS | LIMITED | DUAL)[family](folder)
    return folder
