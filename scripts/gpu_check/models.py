"""A Qwen2.5-VL with random weights: a folder without them, and the model in memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLConfig
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

from savs.pipeline.extraction.model.hook_points import find_hook_points
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions

WINDOWS = {"window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31]}
QWEN2_5_VL_7B: tuple[dict[str, Any], dict[str, Any]] = (
    {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28}
    | {"num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064}
    | {"rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24]}},
    {"hidden_size": 1280, "intermediate_size": 3420, "depth": 32, "num_heads": 16}
    | {"out_hidden_size": 3584, **WINDOWS},
)
"""Sizes of its decoder and of its vision tower; the tokens are those of the demo model."""
NARROW: tuple[dict[str, Any], dict[str, Any]] = (
    {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    | {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1024}
    | {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]}},
    {"hidden_size": 32, "intermediate_size": 32, "depth": 2, "num_heads": 2}
    | {"out_hidden_size": 64, **WINDOWS, "fullatt_block_indexes": [1]},
)


def write_folder(folder: Path, sizes: tuple[dict[str, Any], dict[str, Any]]) -> Path:
    """Write the configuration and the processor of a model; there are no weights."""
    encoder = load_encoder(ModelOptions(model="demo"))
    tokens = {name: i for name, i in encoder.config.to_dict().items() if name.endswith("token_id")}
    text, vision = sizes
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **tokens)
    config.architectures = ["Qwen2_5_VLForConditionalGeneration"]
    config.dtype = torch.bfloat16
    config.save_pretrained(folder)
    parts = encoder.processor
    Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(),  # with its own limits of pixels
        tokenizer=parts.tokenizer,
        video_processor=parts.video_processor,
        chat_template=parts.chat_template,
    ).save_pretrained(folder)
    return folder


def build_model(folder: Path, device: str) -> LoadedModel:
    """Return the model of a folder with random weights, in bfloat16."""
    encoder = load_encoder(ModelOptions(model=str(folder)))
    torch.manual_seed(0)
    with torch.device(device), torch.no_grad():
        model = encoder.kind.from_config(encoder.config, dtype=torch.bfloat16).eval()
        for weight in (w for w in model.parameters() if w.ndim > 1):
            weight.normal_(std=weight[0].numel() ** -0.5)  # features neither vanish nor explode
    return LoadedModel(model, encoder, find_hook_points(model))


@dataclass(frozen=True, slots=True)
class Work:
    """What a plain pass over one example takes, by arithmetic."""

    tokens: int
    """Of text and images."""
    tflop: float
    """Two operations for each weight of the decoder and each token, and the same of the tower and
    its patches; what attention multiplies is left out: a few per cent."""


def work_of(model: LoadedModel, inputs: Any) -> Work:
    """Return the work of one example's inputs, as scripts/estimate_cost.py counts it."""
    tokens = int(inputs["attention_mask"].sum())
    patches = len(inputs["pixel_values"])
    decoder = _weights(model.model.get_decoder().layers)
    tower = _weights(model.model.model.visual)
    return Work(tokens, 2 * (decoder * tokens + tower * patches) / 1e12)


def _weights(module: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
