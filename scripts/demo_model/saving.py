"""How the shipped models are saved: small, and quick on any processor."""

import json
from pathlib import Path

import torch
from transformers.modeling_utils import PreTrainedModel


def save_model(model: PreTrainedModel, folder: Path) -> None:
    """Save a model with bfloat16 weights, half the bytes, to be computed in float32.

    In bfloat16 rounding decides which heads win, processors round differently, and those without
    instructions for it take several times as long.
    """
    model.to(torch.bfloat16).save_pretrained(folder)  # type: ignore[arg-type]
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {"dtype": "float32"}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
