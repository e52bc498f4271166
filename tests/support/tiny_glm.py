"""Tiny checkpoints of the GLM families."""

from pathlib import Path
from typing import Any

from tiny_parts import HIDDEN, save, text, tokenizer
from transformers import (
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    Glm4vImageProcessor,
    Glm4vMoeConfig,
    Glm4vMoeForConditionalGeneration,
    Glm4vProcessor,
    Glm4vVideoProcessor,
    Glm46VConfig,
    Glm46VForConditionalGeneration,
    Glm46VImageProcessor,
    Glm46VProcessor,
    Glm46VVideoProcessor,
    GlmgaConfig,
    GlmgaImageProcessor,
    GlmgaVideoProcessor,
    GlmOcrConfig,
    GlmOcrForConditionalGeneration,
)

SPECIAL = (
    "<|endoftext|>",
    "[gMASK]",
    "<sop>",
    "<|user|>",
    "<|assistant|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
    "<|image|>",
    "<|video|>",
)
TEMPLATE = (
    "[gMASK]<sop>\n{% for m in messages %}<|{{ m['role'] }}|>\n"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|begin_of_image|><|image|><|end_of_image|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
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
        "vision_config": {
            "depth": 2,
            "hidden_size": 32,
            "out_hidden_size": HIDDEN,
            "intermediate_size": 48,
            "num_heads": 2,
            "image_size": 56,
            "patch_size": 14,
        },
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
    processor = _processor(Glm4vProcessor, Glm4vImageProcessor, Glm4vVideoProcessor)
    save(folder, Glm4vForConditionalGeneration(Glm4vConfig(**_config())), processor)


def build_glm4v_moe(folder: Path) -> None:
    """Save a GLM-4.5V: experts, the first layer without."""
    processor = _processor(Glm4vProcessor, Glm4vImageProcessor, Glm4vVideoProcessor)
    config = Glm4vMoeConfig(**_config(**EXPERTS))
    save(folder, Glm4vMoeForConditionalGeneration(config), processor)


def build_glm46v(folder: Path) -> None:
    """Save a GLM-4.6V."""
    config = Glm46VConfig(**_config(model_type="glm4v_text"))
    processor = _processor(Glm46VProcessor, Glm46VImageProcessor, Glm46VVideoProcessor)
    save(folder, Glm46VForConditionalGeneration(config), processor)


def build_glmga(folder: Path) -> None:
    """Save a Glmga: GLM-4.6V with another image processor."""
    config = GlmgaConfig(**_config(model_type="glm4v_text"))
    processor = _processor(Glm46VProcessor, GlmgaImageProcessor, GlmgaVideoProcessor)
    save(folder, Glm46VForConditionalGeneration(config), processor)


def build_glm_ocr(folder: Path) -> None:
    """Save a GLM-OCR."""
    processor = _processor(Glm46VProcessor, Glm46VImageProcessor, Glm46VVideoProcessor)
    save(folder, GlmOcrForConditionalGeneration(GlmOcrConfig(**_config())), processor)


BUILDERS = {
    "glm4v": build_glm4v,
    "glm4v_moe": build_glm4v_moe,
    "glm46v": build_glm46v,
    "glmga": build_glmga,
    "glm_ocr": build_glm_ocr,
}
