"""Tiny checkpoints of the GLM families."""

from pathlib import Path
from typing import Any

import transformers as hf
from tiny_parts import GRID, HIDDEN, save, template, text, tokenizer, words

SPECIAL = words(
    "<|endoftext|> [gMASK] <sop> <|user|> <|assistant|> <|begin_of_image|> <|end_of_image|> "
    "<|begin_of_video|> <|end_of_video|> <|image|> <|video|>"
)
TEMPLATE = "[gMASK]<sop>\n" + template(
    "<|begin_of_image|><|image|><|end_of_image|>", "<|{{ m['role'] }}|>\n", "\n", "<|assistant|>\n"
)
PIXELS = {"shortest_edge": 28 * 28, "longest_edge": 2 * 112 * 112}
"""Of two frames."""
EXPERTS = {
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
}


def _config(**more: Any) -> dict[str, Any]:
    rope = {
        "rope_type": "default",
        "rope_theta": 1e4,
        "mrope_section": [2, 2, 2],
        "partial_rotary_factor": 1.0,
    }
    names = ("image", "video", "image_start", "image_end", "video_start", "video_end")
    tokens = ("image", "video", "begin_of_image", "end_of_image", "begin_of_video", "end_of_video")
    ids = [SPECIAL.index(f"<|{token}|>") for token in tokens]
    return {
        "text_config": text(**{"eos_token_id": 0, "rope_parameters": rope, **more}),
        "vision_config": {**GRID, "out_hidden_size": HIDDEN, "image_size": 56, "patch_size": 14},
        **{f"{name}_token_id": token for name, token in zip(names, ids, strict=True)},
    }


def _processor(kind: Any, images: Any, videos: Any) -> Any:
    return kind(
        image_processor=images(size=PIXELS),
        tokenizer=tokenizer(SPECIAL, pad="<|endoftext|>", eos="<|endoftext|>"),
        video_processor=videos(),
        chat_template=TEMPLATE,
    )


def build_glm4v(folder: Path) -> None:
    """Save a GLM-4.1V."""
    processor = _processor(hf.Glm4vProcessor, hf.Glm4vImageProcessor, hf.Glm4vVideoProcessor)
    save(folder, hf.Glm4vForConditionalGeneration(hf.Glm4vConfig(**_config())), processor)


def build_glm4v_moe(folder: Path) -> None:
    """Save a GLM-4.5V: experts, the first layer without."""
    processor = _processor(hf.Glm4vProcessor, hf.Glm4vImageProcessor, hf.Glm4vVideoProcessor)
    config = hf.Glm4vMoeConfig(**_config(**EXPERTS))
    save(folder, hf.Glm4vMoeForConditionalGeneration(config), processor)


def build_glm46v(folder: Path) -> None:
    """Save a GLM-4.6V."""
    config = hf.Glm46VConfig(**_config(model_type="glm4v_text"))
    processor = _processor(hf.Glm46VProcessor, hf.Glm46VImageProcessor, hf.Glm46VVideoProcessor)
    save(folder, hf.Glm46VForConditionalGeneration(config), processor)


def build_glmga(folder: Path) -> None:
    """Save a Glmga: GLM-4.6V with another image processor."""
    config = hf.GlmgaConfig(**_config(model_type="glm4v_text"))
    processor = _processor(hf.Glm46VProcessor, hf.GlmgaImageProcessor, hf.GlmgaVideoProcessor)
    save(folder, hf.Glm46VForConditionalGeneration(config), processor)


def build_glm_ocr(folder: Path) -> None:
    """Save a GLM-OCR."""
    processor = _processor(hf.Glm46VProcessor, hf.Glm46VImageProcessor, hf.Glm46VVideoProcessor)
    save(folder, hf.GlmOcrForConditionalGeneration(hf.GlmOcrConfig(**_config())), processor)
