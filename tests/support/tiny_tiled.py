"""Tiny checkpoints of families whose processor crops images to tiles (GOT-OCR's processor)."""

from pathlib import Path

import transformers as hf
from tiny_parts import save, text, tokenizer, tower
from tiny_qwen import chat_template as qwen_template

SIZE = {"height": 28, "width": 28}
INTERN = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
    "<video>",
)
COHERE = (
    "<PAD>",
    "<BOS_TOKEN>",
    "<|END_OF_TURN_TOKEN|>",
    "<|START_OF_TURN_TOKEN|>",
    "<|USER_TOKEN|>",
    "<|CHATBOT_TOKEN|>",
    "<|START_OF_IMG|>",
    "<|END_OF_IMG|>",
    "<|IMG_PATCH|>",
    "<|IMG_LINE_BREAK|>",
    "TILE",
    "TILE_GLOBAL",
    "<image>",
)
COHERE_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def build_internvl(folder: Path) -> None:
    """Save an InternVL 3: its own tower, Qwen2 decoder."""
    config = hf.InternVLConfig(
        text_config=text(model_type="qwen2"),
        vision_config=tower("internvl_vision", patch_size=7),
        image_token_id=INTERN.index("<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    processor = hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(size=SIZE, max_patches=3),
        tokenizer=tokenizer(
            INTERN,
            pad="<|endoftext|>",
            eos="<|im_end|>",
            named={
                "start_image_token": "<img>",
                "end_image_token": "</img>",
                "context_image_token": "<IMG_CONTEXT>",
                "video_token": "<video>",
            },
        ),
        video_processor=hf.InternVLVideoProcessor(size=SIZE),
        image_seq_length=4,
        chat_template=qwen_template("<IMG_CONTEXT>\n"),
    )
    save(folder, hf.InternVLForConditionalGeneration(config), processor)


def _cohere_template(image: str) -> str:
    return (
        "{{ bos_token }}{% for m in messages %}<|START_OF_TURN_TOKEN|><|USER_TOKEN|>"
        "{% for c in m['content'] %}{% if c['type'] == 'image' %}" + image + "{% else %}"
        "{{ c['text'] }}{% endif %}{% endfor %}<|END_OF_TURN_TOKEN|>{% endfor %}"
        "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}"
    )


def _cohere_text() -> dict[str, object]:
    return text(model_type="cohere2", sliding_window=32, **COHERE_IDS)


def build_aya_vision(folder: Path) -> None:
    """Save an Aya Vision: SigLIP tower, Command R7B's decoder."""
    config = hf.AyaVisionConfig(
        text_config=_cohere_text(),
        vision_config=tower("siglip_vision_model", patch_size=7, vision_use_head=False),
        image_token_index=COHERE.index("<|IMG_PATCH|>"),
        downsample_factor=2,
    )
    processor = hf.AyaVisionProcessor(
        image_processor=hf.GotOcr2ImageProcessor(size=SIZE, max_patches=3),
        tokenizer=tokenizer(COHERE, pad="<PAD>", bos="<BOS_TOKEN>", eos="<|END_OF_TURN_TOKEN|>"),
        patch_size=7,
        img_size=28,
        downsample_factor=2,
        chat_template=_cohere_template("<image>"),
    )
    save(folder, hf.AyaVisionForConditionalGeneration(config), processor)


def build_cohere2_vision(folder: Path) -> None:
    """Save a Command A Vision."""
    config = hf.Cohere2VisionConfig(
        text_config=_cohere_text(),
        vision_config=tower("siglip_vision_model", patch_size=7, vision_use_head=False),
        image_token_id=COHERE.index("<|IMG_PATCH|>"),
        downsample_factor=2,
        alignment_intermediate_size=64,
    )
    processor = hf.Cohere2VisionProcessor(
        image_processor=hf.Cohere2VisionImageProcessor(size=SIZE, max_patches=3, patch_size=2),
        tokenizer=tokenizer(
            COHERE,
            pad="<PAD>",
            bos="<BOS_TOKEN>",
            eos="<|END_OF_TURN_TOKEN|>",
            named={
                "boi_token": "<|START_OF_IMG|>",
                "eoi_token": "<|END_OF_IMG|>",
                "image_token": "<|IMG_PATCH|>",
                "img_line_break_token": "<|IMG_LINE_BREAK|>",
            },
        ),
        chat_template=_cohere_template("<|IMG_PATCH|>"),
    )
    save(folder, hf.Cohere2VisionForConditionalGeneration(config), processor)
