"""Tiny checkpoints that vLLM's CPU build runs: heads 32 wide, weights named as published ones."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from tiny_models import build
from tiny_parts import save

WIDTH, HEAD = 128, 32
TOWER = ("vision_tower.", "vision_tower.vision_model.")
"""What transformers 5 calls the weights of a CLIP or SigLIP tower, and what files of before do."""


def build_wide(family: str, folder: Path) -> Path:
    """Save a random checkpoint of a family of `tests`; the same weights each time."""
    with TemporaryDirectory() as narrow:
        build(family, Path(narrow))
        config = hf.AutoConfig.from_pretrained(narrow)
        processor = hf.AutoProcessor.from_pretrained(narrow)
    text = config.get_text_config()
    text.hidden_size, text.head_dim = WIDTH, HEAD
    if family == "qwen3_vl":
        config.vision_config.out_hidden_size = WIDTH
    if family.startswith("qwen"):
        text.rope_parameters["mrope_section"] = [8, 4, 4]
    if family == "qwen2_vl":
        config.vision_config.hidden_size = WIDTH
    if family == "gemma3":
        text.query_pre_attn_scalar = HEAD
        # vLLM looks for the tokens of line breaks, which the vocabulary of bytes has not
        processor.tokenizer.add_tokens(["\n" * count for count in (1, 2, 3, 4)])
    torch.manual_seed(0)
    save(folder, hf.AutoModelForImageTextToText.from_config(config), processor)
    if not family.startswith("qwen"):
        weights = load_file(folder / "model.safetensors")
        renamed = {name.replace(*TOWER): values for name, values in weights.items()}
        save_file(renamed, folder / "model.safetensors", {"format": "pt"})
    return folder
