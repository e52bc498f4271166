"""Tiny random dual encoders: CLIP, SigLIP and SigLIP 2, with their real processors."""

from pathlib import Path
from typing import Any

from tiny_parts import save, tokenizer, tower
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    Siglip2Config,
    Siglip2ImageProcessor,
    Siglip2Model,
    Siglip2Processor,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipProcessor,
)

SPECIAL = ("<pad>", "<s>", "</s>")
POSITIONS = 64
"""Tokens of a text at most, as in SigLIP."""
SIDE = {"height": 28, "width": 28}


def _text(model_type: str) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": POSITIONS,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


def _clip(folder: Path) -> None:
    config = CLIPConfig(
        text_config=_text("clip_text_model") | {"projection_dim": 24},
        vision_config=tower("clip_vision_model", projection_dim=24),
        projection_dim=24,
    )
    images = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size=SIDE)
    words = tokenizer(SPECIAL, pad="<pad>", bos="<s>", eos="</s>")
    save(folder, CLIPModel(config), CLIPProcessor(images, words))


def _siglip(folder: Path) -> None:
    config = SiglipConfig(
        text_config=_text("siglip_text_model") | {"projection_size": 32},
        vision_config=tower("siglip_vision_model"),
    )
    images = SiglipImageProcessor(size=SIDE)
    words = tokenizer(SPECIAL, pad="<pad>", eos="</s>")
    save(folder, SiglipModel(config), SiglipProcessor(images, words))


def _siglip2(folder: Path) -> None:
    vision = tower("siglip2_vision_model", num_patches=16)
    del vision["image_size"]
    config = Siglip2Config(
        text_config=_text("siglip2_text_model") | {"projection_size": 32}, vision_config=vision
    )
    images = Siglip2ImageProcessor(patch_size=14, max_num_patches=16)
    words = tokenizer((*SPECIAL, "<unk>", "<bos>", "<eos>", "<mask>"), pad="<pad>", eos="</s>")
    save(folder, Siglip2Model(config), Siglip2Processor(images, words))


BUILDERS = {"clip": _clip, "siglip": _siglip, "siglip2": _siglip2}
