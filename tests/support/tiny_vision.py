"""Tiny random image encoders without a text tower, with their real image processors."""

import json
from pathlib import Path
from typing import Any

import transformers as hf
from tiny_parts import CROPPED, SQUARE, WIDTHS, save

SIZES: dict[str, Any] = {**WIDTHS, "image_size": 28, "patch_size": 14}


def build_dinov2(folder: Path) -> None:
    """Save a DINOv2 with registers; its processor crops the centre."""
    model = hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**SIZES))
    save(folder, model, hf.BitImageProcessor(**CROPPED))


def build_dinov3(folder: Path) -> None:
    """Save a DINOv3."""
    model = hf.DINOv3ViTModel(hf.DINOv3ViTConfig(**SIZES, num_register_tokens=3))
    save(folder, model, hf.DINOv3ViTImageProcessor(size=SQUARE))


def build_siglip_vision(folder: Path) -> None:
    """Save the vision side of a SigLIP."""
    model = hf.SiglipVisionModel(hf.SiglipVisionConfig(**SIZES))
    save(folder, model, hf.SiglipImageProcessor(size=SQUARE))


def build_siglip2_vision(folder: Path) -> None:
    """Save the vision side of a SigLIP 2: patches of images of any shape, padded."""
    model = hf.Siglip2VisionModel(hf.Siglip2VisionConfig(**WIDTHS, patch_size=14, num_patches=16))
    save(folder, model, hf.Siglip2ImageProcessor(patch_size=14, max_num_patches=16))


def build_aimv2(folder: Path) -> None:
    """Save an AIMv2, whose pooling head has a token among its weights."""
    save(
        folder,
        hf.Aimv2VisionModel(hf.Aimv2VisionConfig(**SIZES)),
        hf.CLIPImageProcessor(**CROPPED),
    )


def build_ijepa(folder: Path) -> None:
    """Save an I-JEPA, which pools nothing."""
    save(folder, hf.IJepaModel(hf.IJepaConfig(**SIZES)), hf.ViTImageProcessor(size=SQUARE))


def build_vit(folder: Path) -> None:
    """Save a ViT with the pooler of its authors."""
    save(folder, hf.ViTModel(hf.ViTConfig(**SIZES)), hf.ViTImageProcessor(size=SQUARE))


def build_vit_without_pooler(folder: Path) -> None:
    """Save a ViT as classifiers have it: a model with a pooler would make up its weights."""
    model = hf.ViTModel(hf.ViTConfig(**SIZES), add_pooling_layer=False)
    save(folder, model, hf.ViTImageProcessor(size=SQUARE))


def build_radio(folder: Path) -> None:
    """Save a RADIO: its summary is wider than its patches."""
    model = hf.RadioModel(hf.RadioConfig(**WIDTHS, patch_size=14, image_size=28))
    save(folder, model, hf.CLIPImageProcessor(**CROPPED))


def build_timm(folder: Path) -> None:
    """Save a ViT of timm with registers, as the hub has it: its own weights and configuration."""
    import timm
    from safetensors.torch import save_file

    settings: dict[str, Any] = {
        "img_size": 28,
        "patch_size": 14,
        "depth": 2,
        "embed_dim": 32,
        "num_heads": 2,
    }
    settings |= {"reg_tokens": 2, "global_pool": "avg"}
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, **settings)
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    cfg = {**dict(model.pretrained_cfg), "input_size": [3, 28, 28], "num_classes": 0}
    config = {
        "architecture": "vit_tiny_patch16_224", "num_classes": 0, "num_features": 32,
        "model_args": settings, "pretrained_cfg": cfg,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, default=str))
