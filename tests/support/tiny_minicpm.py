"""Tiny checkpoints of the MiniCPM families: images in slices, Qwen3.5's decoder."""

from pathlib import Path
from typing import Any

import transformers as hf
from tiny_parts import save, tower
from tiny_qwen import SPECIAL, chat_template, linear_decoder, qwen_tokenizer

MARKS = ("image_start", "image_end", "slice_start", "slice_end", "image_id_start", "image_id_end")
OWN = ("<image>", "</image>", "<slice>", "</slice>", "<image_id>", "</image_id>")
NAMED = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    **{f"{name}_token": token for name, token in zip(MARKS, OWN, strict=True)},
}


def _config(tower_type: str, **more: Any) -> dict[str, Any]:
    return {
        "text_config": linear_decoder(model_type="qwen3_5_text"),
        "vision_config": tower(tower_type, image_size=56, patch_size=7),
        "insert_layer_id": 0,
        "image_size": 56,
        "image_token_id": SPECIAL.index("<|image_pad|>"),
        "video_token_id": SPECIAL.index("<|video_pad|>"),
        **more,
    }


def _processor(kind: Any, images: Any, videos: Any) -> Any:
    sizes = {"scale_resolution": 56, "patch_size": 7, "max_slice_nums": 3}
    return kind(
        image_processor=images(**sizes),
        video_processor=videos(**sizes),
        tokenizer=qwen_tokenizer(*OWN, named=NAMED),
        chat_template=chat_template("<|image_pad|>"),
    )


def build_minicpmv4_6(folder: Path) -> None:
    """Save a MiniCPM-V 4.6."""
    config = hf.MiniCPMV4_6Config(**_config("minicpmv4_6_vision"))
    processor = _processor(
        hf.MiniCPMV4_6Processor, hf.MiniCPMV4_6ImageProcessor, hf.MiniCPMV4_6VideoProcessor
    )
    save(folder, hf.MiniCPMV4_6ForConditionalGeneration(config), processor)


def build_minicpmv4_7(folder: Path) -> None:
    """Save a MiniCPM-V 4.7: positions of the tokens of images in two dimensions."""
    ids = {f"{name}_id": len(SPECIAL) + n for n, name in enumerate(MARKS[:4])}
    config = hf.MiniCPMV4_7Config(**_config("minicpmv4_7_vision", **ids, newline_id=40))
    processor = _processor(
        hf.MiniCPMV4_7Processor, hf.MiniCPMV4_6ImageProcessor, hf.MiniCPMV4_6VideoProcessor
    )
    save(folder, hf.MiniCPMV4_7ForConditionalGeneration(config), processor)


def build_minicpm_ocr(folder: Path) -> None:
    """Save a MiniCPM-OCR."""
    config = hf.MiniCPMOcrConfig(**_config("minicpm_ocr_vision"))
    processor = _processor(
        hf.MiniCPMOcrProcessor, hf.MiniCPMOcrImageProcessor, hf.MiniCPMOcrVideoProcessor
    )
    save(folder, hf.MiniCPMOcrForConditionalGeneration(config), processor)
