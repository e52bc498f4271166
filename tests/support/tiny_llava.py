"""Tiny checkpoints of the LLaVA families."""

from pathlib import Path
from typing import Any

import transformers as hf
from chat_templates import MISTRAL, ONEVISION, VICUNA
from tiny_parts import save, text, tokenizer, tower
from tiny_qwen import SPECIAL as QWEN
from tiny_qwen import qwen_tokenizer

SPECIAL = ("<pad>", "<s>", "</s>", "<image>")
MARKS = ("<image>", "<video>")
"""What LLaVA-OneVision has beside Qwen's special tokens."""
PINPOINTS = [[28, 28], [28, 56], [56, 28], [56, 56]]


def _ids() -> dict[str, int]:
    return {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def _tokenizer() -> hf.PreTrainedTokenizerFast:
    return tokenizer(SPECIAL, pad="<pad>", bos="<s>", eos="</s>")


def _clip_processor() -> hf.LlavaProcessor:
    return hf.LlavaProcessor(
        image_processor=hf.CLIPImageProcessor(
            size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
        ),
        tokenizer=_tokenizer(),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=VICUNA,
    )


def build_llava(folder: Path) -> None:
    """Save a LLaVA-1.5: CLIP tower, Llama decoder, a fixed number of image tokens."""
    config = hf.LlavaConfig(
        text_config=text(model_type="llama", **_ids()),
        vision_config=tower("clip_vision_model"),
        image_token_index=SPECIAL.index("<image>"),
        image_seq_length=4,
    )
    save(folder, hf.LlavaForConditionalGeneration(config), _clip_processor())


def build_vipllava(folder: Path) -> None:
    """Save a ViP-LLaVA: the features of several layers of its CLIP tower side by side."""
    config = hf.VipLlavaConfig(
        text_config=text(model_type="llama", **_ids()),
        vision_config=tower("clip_vision_model"),
        image_token_index=SPECIAL.index("<image>"),
        image_seq_length=4,
        vision_feature_layers=[-2, -1],
    )
    save(folder, hf.VipLlavaForConditionalGeneration(config), _clip_processor())


def build_llava_next(folder: Path) -> None:
    """Save a LLaVA-NeXT: CLIP tower, Mistral decoder, any-resolution tiles."""
    config = hf.LlavaNextConfig(
        text_config=text(model_type="mistral", **_ids()),
        vision_config=tower("clip_vision_model"),
        image_token_index=SPECIAL.index("<image>"),
        image_grid_pinpoints=PINPOINTS,
    )
    processor = hf.LlavaNextProcessor(
        image_processor=hf.LlavaNextImageProcessor(
            size={"shortest_edge": 28},
            crop_size={"height": 28, "width": 28},
            image_grid_pinpoints=PINPOINTS,
        ),
        tokenizer=_tokenizer(),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=MISTRAL,
    )
    save(folder, hf.LlavaNextForConditionalGeneration(config), processor)


def build_llava_onevision(folder: Path) -> None:
    """Save a LLaVA-OneVision: SigLIP tower, Qwen2 decoder, any-resolution tiles."""
    size: dict[str, Any] = {"height": 28, "width": 28}
    config = hf.LlavaOnevisionConfig(
        text_config=text(model_type="qwen2"),
        vision_config=tower("siglip_vision_model", vision_use_head=False),
        image_token_index=len(QWEN),
        video_token_index=len(QWEN) + 1,
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-1,
    )
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=PINPOINTS),
        tokenizer=qwen_tokenizer(*MARKS),
        video_processor=hf.LlavaOnevisionVideoProcessor(size=size),
        chat_template=ONEVISION,
        num_image_tokens=4,
        vision_feature_select_strategy="full",
    )
    save(folder, hf.LlavaOnevisionForConditionalGeneration(config), processor)
