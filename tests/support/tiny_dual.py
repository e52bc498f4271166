"""Tiny random dual encoders: CLIP, SigLIP and SigLIP 2, with their real processors."""

from pathlib import Path
from typing import Any

import transformers as hf
from tiny_parts import CROPPED, ENDS, SQUARE, WIDTHS, save, tokenizer, tower

SPECIAL = ("<pad>", "<s>", "</s>")
POSITIONS = 64
"""Tokens of a text at most, as in SigLIP."""


def _text(model_type: str) -> dict[str, Any]:
    sizes = {"vocab_size": 320, "max_position_embeddings": POSITIONS}
    return {"model_type": model_type, **WIDTHS, **sizes, **ENDS}


def build_clip(folder: Path) -> None:
    """Save a CLIP."""
    config = hf.CLIPConfig(
        text_config=_text("clip_text_model") | {"projection_dim": 24},
        vision_config=tower("clip_vision_model", projection_dim=24),
        projection_dim=24,
    )
    images = hf.CLIPImageProcessor(**CROPPED)
    words = tokenizer(SPECIAL, pad="<pad>", bos="<s>", eos="</s>")
    save(folder, hf.CLIPModel(config), hf.CLIPProcessor(images, words))


def build_siglip(folder: Path) -> None:
    """Save a SigLIP."""
    config = hf.SiglipConfig(
        text_config=_text("siglip_text_model") | {"projection_size": 32},
        vision_config=tower("siglip_vision_model"),
    )
    images = hf.SiglipImageProcessor(size=SQUARE)
    words = tokenizer(SPECIAL, pad="<pad>", eos="</s>")
    save(folder, hf.SiglipModel(config), hf.SiglipProcessor(images, words))


def build_siglip2(folder: Path) -> None:
    """Save a SigLIP 2: patches of images of any shape."""
    vision = tower("siglip2_vision_model", num_patches=16)
    del vision["image_size"]
    config = hf.Siglip2Config(
        text_config=_text("siglip2_text_model") | {"projection_size": 32}, vision_config=vision
    )
    images = hf.Siglip2ImageProcessor(patch_size=14, max_num_patches=16)
    words = tokenizer((*SPECIAL, "<unk>", "<bos>", "<eos>", "<mask>"), pad="<pad>", eos="</s>")
    save(folder, hf.Siglip2Model(config), hf.Siglip2Processor(images, words))
