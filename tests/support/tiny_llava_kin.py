"""Tiny checkpoints of families built as LLaVA: a tower, a projector, a decoder."""

from pathlib import Path
from typing import Any

import transformers as hf
from chat_templates import VICUNA
from tiny_llava import PINPOINTS
from tiny_llava import SPECIAL as LLAVA
from tiny_parts import save, text, tokenizer, tower
from tiny_qwen import SPECIAL as QWEN
from tiny_qwen import chat_template, qwen_tokenizer

SPECIAL = (*LLAVA, "<video>")
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SQUARE: dict[str, Any] = {"height": 28, "width": 28}
CROPPED: dict[str, Any] = {"size": {"shortest_edge": 28}, "crop_size": SQUARE}
WITH_VIDEOS = VICUNA.replace(
    "{# Render all text next #}",
    "{# Render all video then #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'video') %}"
    "{{ '<video>\n' }}"
    "{% endfor %}"
    "{# Render all text next #}",
)
"""The template of a model that takes videos: they come behind all images, as in LLaVA-OneVision."""
IN_ORDER = (
    "{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}</s>\n"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
"""A template that keeps images in reading order."""
TOKENS: dict[str, Any] = {
    "patch_size": 14,
    "vision_feature_select_strategy": "default",
    "num_additional_image_tokens": 1,
}


def _tokenizer() -> hf.PreTrainedTokenizerFast:
    return tokenizer(SPECIAL, pad="<pad>", bos="<s>", eos="</s>")


def build_llava_next_video(folder: Path) -> None:
    """Save a LLaVA-NeXT-Video."""
    config = hf.LlavaNextVideoConfig(
        text_config=text(model_type="llama", **IDS),
        vision_config=tower("clip_vision_model"),
        image_token_index=SPECIAL.index("<image>"),
        video_token_index=SPECIAL.index("<video>"),
        image_grid_pinpoints=PINPOINTS,
    )
    processor = hf.LlavaNextVideoProcessor(
        video_processor=hf.LlavaNextVideoVideoProcessor(**CROPPED),
        image_processor=hf.LlavaNextImageProcessor(**CROPPED, image_grid_pinpoints=PINPOINTS),
        tokenizer=_tokenizer(),
        chat_template=WITH_VIDEOS,
        **TOKENS,
    )
    save(folder, hf.LlavaNextVideoForConditionalGeneration(config), processor)


def build_video_llava(folder: Path) -> None:
    """Save a Video-LLaVA: a tower for images and one for videos."""
    config = hf.VideoLlavaConfig(
        text_config=text(model_type="llama", **IDS),
        vision_config=tower("clip_vision_model"),
        image_token_index=SPECIAL.index("<image>"),
        video_token_index=SPECIAL.index("<video>"),
        image_seq_length=4,
        video_seq_length=40,
    )
    processor = hf.VideoLlavaProcessor(
        image_processor=hf.VideoLlavaImageProcessor(**CROPPED),
        video_processor=hf.VideoLlavaVideoProcessor(**CROPPED),
        tokenizer=_tokenizer(),
        chat_template=WITH_VIDEOS,
        **TOKENS,
    )
    save(folder, hf.VideoLlavaForConditionalGeneration(config), processor)


def build_fast_vlm(folder: Path) -> None:
    """Save a FastVLM: a tower of convolutions from timm, Qwen2 decoder."""
    config = hf.FastVlmConfig(
        text_config=text(model_type="qwen2"),
        vision_config={
            "model_type": "timm_wrapper",
            "architecture": "fastvit_mci0",
            "do_pooling": True,
            "hidden_size": 64,
            "num_classes": 0,
            "model_args": {
                "inference_mode": True,
                "layers": (1, 1, 1, 1),
                "embed_dims": (16, 16, 16, 32),
            },
        },
        image_token_index=len(QWEN),
        image_seq_length=25,
    )
    processor = hf.LlavaProcessor(
        image_processor=hf.CLIPImageProcessor(
            size={"shortest_edge": 160}, crop_size={"height": 160, "width": 160}
        ),
        tokenizer=qwen_tokenizer("<image>"),
        patch_size=32,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=chat_template("<image>"),
    )
    save(folder, hf.FastVlmForConditionalGeneration(config), processor)


def build_granite4_vision(folder: Path) -> None:
    """Save a Granite 4 Vision: a Q-Former on windows, features that enter several layers."""
    config = hf.Granite4VisionConfig(
        text_config=text(**IDS),
        vision_config=tower(
            "siglip_vision_model",
            hidden_size=64,
            num_attention_heads=1,
            image_size=56,
            vision_use_head=False,
        ),
        qformer_config={
            "model_type": "blip_2_qformer",
            "num_hidden_layers": 1,
            "intermediate_size": 32,
            "cross_attention_frequency": 1,
            "use_qformer_text_input": False,
        },
        image_token_index=SPECIAL.index("<image>"),
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[[2 * edge for edge in pinpoint] for pinpoint in PINPOINTS],
        downsample_rate="1/2",
        deepstack_layer_map=[[-2, 0], [-1, 1]],
        spatial_target_layers=[0, 1, 1, 2],
        image_seq_length=4,
    )
    size: dict[str, Any] = {"height": 56, "width": 56}
    processor = hf.Granite4VisionProcessor(
        image_processor=hf.LlavaNextImageProcessor(
            size={"shortest_edge": 56},
            crop_size=size,
            image_grid_pinpoints=config.image_grid_pinpoints,
        ),
        tokenizer=_tokenizer(),
        patch_size=14,
        vision_feature_select_strategy="full",
        downsample_rate="1/2",
        chat_template=IN_ORDER,
    )
    save(folder, hf.Granite4VisionForConditionalGeneration(config), processor)


def build_lighton_ocr(folder: Path) -> None:
    """Save a LightOnOCR: Pixtral's tower, Qwen3 decoder."""
    names = ("image_token", "image_break_token", "image_end_token")
    tokens = ("<|image_pad|>", "<|vision_pad|>", "<|vision_end|>")
    config = hf.LightOnOcrConfig(
        text_config=text(model_type="qwen3", head_dim=20),
        vision_config=tower("pixtral", image_size=56, patch_size=7, head_dim=16),
        image_token_id=QWEN.index("<|image_pad|>"),
    )
    processor = hf.LightOnOcrProcessor(
        image_processor=hf.PixtralImageProcessor(
            size={"longest_edge": 56}, patch_size={"height": 14, "width": 14}
        ),
        tokenizer=qwen_tokenizer(named=dict(zip(names, tokens, strict=True))),
        patch_size=7,
        spatial_merge_size=2,
        chat_template=chat_template("<|image_pad|>"),
    )
    save(folder, hf.LightOnOcrForConditionalGeneration(config), processor)


def build_qianfan_ocr(folder: Path) -> None:
    """Save a Qianfan-OCR: InternVL's tower, Qwen3 decoder."""
    names = ("start_image_token", "end_image_token", "context_image_token")
    own = ("<img>", "</img>", "<IMG_CONTEXT>", "<image>")
    config = hf.QianfanOCRConfig(
        text_config=text(model_type="qwen3", head_dim=20),
        vision_config=tower("qianfan_ocr_vision", image_size=[28, 28], patch_size=[7, 7]),
        image_token_id=len(QWEN) + 2,
        image_seq_length=4,
    )
    processor = hf.QianfanOCRProcessor(
        image_processor=hf.GotOcr2ImageProcessor(size=SQUARE, max_patches=3),
        tokenizer=qwen_tokenizer(*own, named=dict(zip(names, own[:3], strict=True))),
        image_seq_length=4,
        chat_template=chat_template("<image>"),
    )
    save(folder, hf.QianfanOCRForConditionalGeneration(config), processor)


def build_perception_lm(folder: Path) -> None:
    """Save a Perception LM: the tower of Perception Encoder from timm, Llama decoder."""
    config = hf.PerceptionLMConfig(
        text_config=text(model_type="llama", **IDS),
        vision_config={
            "model_type": "timm_wrapper",
            "architecture": "vit_pe_core_large_patch14_336",
            "do_pooling": False,
            "hidden_size": 32,
            "num_classes": 0,
            "global_pool": "map",
            "model_args": {
                "embed_dim": 32,
                "depth": 2,
                "num_heads": 2,
                "img_size": [56, 56],
                "use_post_transformer_norm": False,
                "ref_feat_shape": [4, 4],
                "init_values": 0.1,
            },
        },
        image_token_id=SPECIAL.index("<image>"),
        video_token_id=SPECIAL.index("<video>"),
        projector_pooling_ratio=2,
    )
    processor = hf.PerceptionLMProcessor(
        video_processor=hf.PerceptionLMVideoProcessor(size={"height": 56, "width": 56}),
        image_processor=hf.PerceptionLMImageProcessor(tile_size=56, max_num_tiles=3),
        tokenizer=tokenizer(
            SPECIAL,
            pad="<pad>",
            bos="<s>",
            eos="</s>",
            named={"image_token": "<image>", "video_token": "<video>"},
        ),
        patch_size=14,
        pooling_ratio=2,
        chat_template=IN_ORDER,
    )
    save(folder, hf.PerceptionLMForConditionalGeneration(config), processor)
