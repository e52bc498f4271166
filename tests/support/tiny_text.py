"""Tiny checkpoints of models that read no images, and what may be put next to them."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tiny_parts import save, text
from tiny_qwen import qwen_tokenizer

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
REMOTE = """
from transformers import Qwen2Config, Qwen2ForCausalLM


class MineConfig(Qwen2Config):
    model_type = "mine"


class MineForCausalLM(Qwen2ForCausalLM):
    config_class = MineConfig
"""


def build_text(folder: Path, layers: int = 3, vocabulary: int = 320) -> Path:
    """Save a Qwen2, a decoder of text."""
    config = hf.Qwen2Config(**text(num_hidden_layers=layers, vocab_size=vocabulary))
    torch.manual_seed(0)
    words = qwen_tokenizer()
    words.chat_template = TEMPLATE
    save(folder, hf.Qwen2ForCausalLM(config), words)
    return folder


def build_lora(base: Path, folder: Path, seed: int = 0, kind: Any = hf.Qwen2ForCausalLM) -> Path:
    """Save an adapter of the queries and values of a model that changes what they say."""
    from peft import LoraConfig, get_peft_model  # takes a second

    torch.manual_seed(seed)
    settings = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(kind.from_pretrained(base), settings).save_pretrained(folder)
    return folder


def make_remote(folder: Path) -> Path:
    """Make a folder of `build_text` one whose model is of a class that only its own code knows."""
    (folder / "mine.py").write_text(REMOTE)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "mine",
        "architectures": ["MineForCausalLM"],
        "auto_map": {
            "AutoConfig": "mine.MineConfig",
            "AutoModelForCausalLM": "mine.MineForCausalLM",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder
