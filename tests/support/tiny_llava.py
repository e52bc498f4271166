"""Tiny checkpoints of families built as LLaVA: a tower, a projector, a decoder."""

from pathlib import Path
from typing import Any

import transformers as hf
from chat_templates import MISTRAL, ONEVISION, VICUNA
from tiny_parts import CROPPED, ENDS, SQUARE, llama_tokenizer, save, template, text, tower, words
from tiny_qwen import SPECIAL as QWEN
from tiny_qwen import qwen_template, qwen_tokenizer

LLAVA = ("<pad>", "<s>", "</s>", "<image>")
MARKS = ("<image>", "<video>")
"""What LLaVA-OneVision has next to Qwen's special tokens."""
TOKENS: dict[str, Any] = {
    "patch_size": 14,
    "vision_feature_select_strategy": "default",
    "num_additional_image_tokens": 1,
}
PINPOINTS = [[28, 28], [28, 56], [56, 28], [56, 56]]


def _clip_processor() -> hf.LlavaProcessor:
    return hf.LlavaProcessor(
        image_processor=hf.CLIPImageProcessor(**CROPPED),
        tokenizer=llama_tokenizer(LLAVA),
        **TOKENS,
        chat_template=VICUNA,
    )


def build_llava(folder: Path) -> None:
    """Save a LLaVA-1.5: CLIP tower, Llama decoder, a fixed number of image tokens."""
    config = hf.LlavaConfig(
        text_config=text(model_type="llama", **ENDS),
        vision_config=tower("clip_vision_model"),
        image_token_index=LLAVA.index("<image>"),
        image_seq_length=4,
    )
    save(folder, hf.LlavaForConditionalGeneration(config), _clip_processor())


def build_vipllava(folder: Path) -> None:
    """Save a ViP-LLaVA: the features of several layers of its CLIP tower side by side."""
    config = hf.VipLlavaConfig(
        text_config=text(model_type="llama", **ENDS),
        vision_config=tower("clip_vision_model"),
        image_token_index=LLAVA.index("<image>"),
        image_seq_length=4,
        vision_feature_layers=[-2, -1],
    )
    save(folder, hf.VipLlavaForConditionalGeneration(config), _clip_processor())


def build_llava_next(folder: Path) -> None:
    """Save a LLaVA-NeXT: CLIP tower, Mistral decoder, any-resolution tiles."""
    config = hf.LlavaNextConfig(
        text_config=text(model_type="mistral", **ENDS),
        vision_config=tower("clip_vision_model"),
        image_token_index=LLAVA.index("<image>"),
        image_grid_pinpoints=PINPOINTS,
    )
    processor = hf.LlavaNextProcessor(
        image_processor=hf.LlavaNextImageProcessor(**CROPPED, image_grid_pinpoints=PINPOINTS),
        tokenizer=llama_tokenizer(LLAVA),
        **TOKENS,
        chat_template=MISTRAL,
    )
    save(folder, hf.LlavaNextForConditionalGeneration(config), processor)


def build_llava_onevision(folder: Path) -> None:
    """Save a LLaVA-OneVision: SigLIP tower, Qwen2 decoder, any-resolution tiles."""
    config = hf.LlavaOnevisionConfig(
        text_config=text(model_type="qwen2"),
        vision_config=tower("siglip_vision_model", vision_use_head=False),
        image_token_index=len(QWEN),
        video_token_index=len(QWEN) + 1,
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-1,
    )
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(
            size=SQUARE, image_grid_pinpoints=PINPOINTS
        ),
        tokenizer=qwen_tokenizer(*MARKS),
        video_processor=hf.LlavaOnevisionVideoProcessor(size=SQUARE),
        chat_template=ONEVISION,
        num_image_tokens=4,
        vision_feature_select_strategy="full",
    )
    save(folder, hf.LlavaOnevisionForConditionalGeneration(config), processor)


LLAVA_VIDEO = (*LLAVA, "<video>")
WITH_VIDEOS = VICUNA.replace(
    "{# Render all text next #}",
    "{# Render all video then #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'video') %}"
    "{{ '<video>\n' }}"
    "{% endfor %}"
    "{# Render all text next #}",
)
"""The template of a model that takes videos: they come after all images, as in LLaVA-OneVision."""
IN_ORDER = template("<image>", "{{ m['role'] }}: ", "</s>\n", "assistant: ")
"""A template that keeps images in reading order."""


def build_llava_next_video(folder: Path) -> None:
    """Save a LLaVA-NeXT-Video."""
    config = hf.LlavaNextVideoConfig(
        text_config=text(model_type="llama", **ENDS),
        vision_config=tower("clip_vision_model"),
        image_token_index=LLAVA_VIDEO.index("<image>"),
        video_token_index=LLAVA_VIDEO.index("<video>"),
        image_grid_pinpoints=PINPOINTS,
    )
    processor = hf.LlavaNextVideoProcessor(
        video_processor=hf.LlavaNextVideoVideoProcessor(**CROPPED),
        image_processor=hf.LlavaNextImageProcessor(**CROPPED, image_grid_pinpoints=PINPOINTS),
        tokenizer=llama_tokenizer(LLAVA_VIDEO),
        chat_template=WITH_VIDEOS,
        **TOKENS,
    )
    save(folder, hf.LlavaNextVideoForConditionalGeneration(config), processor)


def build_video_llava(folder: Path) -> None:
    """Save a Video-LLaVA: a tower for images and one for videos."""
    config = hf.VideoLlavaConfig(
        text_config=text(model_type="llama", **ENDS),
        vision_config=tower("clip_vision_model"),
        image_token_index=LLAVA_VIDEO.index("<image>"),
        video_token_index=LLAVA_VIDEO.index("<video>"),
        image_seq_length=4,
        video_seq_length=40,
    )
    processor = hf.VideoLlavaProcessor(
        image_processor=hf.VideoLlavaImageProcessor(**CROPPED),
        video_processor=hf.VideoLlavaVideoProcessor(**CROPPED),
        tokenizer=llama_tokenizer(LLAVA_VIDEO),
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
        chat_template=qwen_template("<image>"),
    )
    save(folder, hf.FastVlmForConditionalGeneration(config), processor)


def build_granite4_vision(folder: Path) -> None:
    """Save a Granite 4 Vision: a Q-Former on windows, features that enter several layers."""
    config = hf.Granite4VisionConfig(
        text_config=text(**ENDS),
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
        image_token_index=LLAVA_VIDEO.index("<image>"),
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
        tokenizer=llama_tokenizer(LLAVA_VIDEO),
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
        chat_template=qwen_template("<|image_pad|>"),
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
        chat_template=qwen_template("<image>"),
    )
    save(folder, hf.QianfanOCRForConditionalGeneration(config), processor)


def build_perception_lm(folder: Path) -> None:
    """Save a Perception LM: the tower of Perception Encoder from timm, Llama decoder."""
    config = hf.PerceptionLMConfig(
        text_config=text(model_type="llama", **ENDS),
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
        image_token_id=LLAVA_VIDEO.index("<image>"),
        video_token_id=LLAVA_VIDEO.index("<video>"),
        projector_pooling_ratio=2,
    )
    processor = hf.PerceptionLMProcessor(
        video_processor=hf.PerceptionLMVideoProcessor(size={"height": 56, "width": 56}),
        image_processor=hf.PerceptionLMImageProcessor(tile_size=56, max_num_tiles=3),
        tokenizer=llama_tokenizer(
            LLAVA_VIDEO, named={"image_token": "<image>", "video_token": "<video>"}
        ),
        patch_size=14,
        pooling_ratio=2,
        chat_template=IN_ORDER,
    )
    save(folder, hf.PerceptionLMForConditionalGeneration(config), processor)


DEEPSEEK = words("<pad> <s> </s> <image_placeholder> <begin_of_image> <end_of_image>")
DEEPSEEK_NAMED = {
    "image_token": "<image_placeholder>",
    "boi_token": "<begin_of_image>",
    "eoi_token": "<end_of_image>",
}
DEEPSEEK_TEMPLATE = template(
    "<image_placeholder>",
    "{{ {'user': 'User', 'assistant': 'Assistant'}[m['role']] }}: ",
    "\n\n",
    "Assistant:",
)
IMAGE_TOKENS = 4
"""Of 28 x 28 px in patches of 14 x 14."""


def _deepseek_config(**more: Any) -> dict[str, Any]:
    return {
        "text_config": text(model_type="llama", **ENDS),
        "vision_config": tower("siglip_vision_model", vision_use_head=False),
        "image_token_id": DEEPSEEK.index("<image_placeholder>"),
        **more,
    }


def _deepseek_processor(kind: Any, images: Any) -> Any:
    return kind(
        image_processor=images,
        tokenizer=llama_tokenizer(DEEPSEEK, named=DEEPSEEK_NAMED),
        chat_template=DEEPSEEK_TEMPLATE,
        num_image_tokens=IMAGE_TOKENS,
    )


def build_deepseek_vl(folder: Path) -> None:
    """Save a DeepSeek-VL of 1.3B: SigLIP tower, Llama decoder."""
    images = hf.DeepseekVLImageProcessor(size=SQUARE)
    model = hf.DeepseekVLForConditionalGeneration(hf.DeepseekVLConfig(**_deepseek_config()))
    save(folder, model, _deepseek_processor(hf.DeepseekVLProcessor, images))


def build_deepseek_vl_hybrid(folder: Path) -> None:
    """Save a DeepSeek-VL of 7B: SAM's tower at a higher resolution next to SigLIP's."""
    sam = {
        "model_type": "sam_vision_model",
        "hidden_size": 16,
        "output_channels": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 8,
        "window_size": 4,
        "global_attn_indexes": [1],
        "mlp_dim": 16,
    }
    config = hf.DeepseekVLHybridConfig(**_deepseek_config(high_res_vision_config=sam))
    images = hf.DeepseekVLHybridImageProcessor(
        size=SQUARE, high_res_size={"height": 64, "width": 64}
    )
    model = hf.DeepseekVLHybridForConditionalGeneration(config)
    save(folder, model, _deepseek_processor(hf.DeepseekVLHybridProcessor, images))


def build_janus(folder: Path) -> None:
    """Save a Janus-Pro; the part that draws images is not used."""
    vision = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
        "mlp_ratio": 1.5,
        "projection_dim": 48,
        "num_image_tokens": IMAGE_TOKENS,
    }
    drawing = {
        "embed_dim": 4,
        "num_embeddings": 16,
        "latent_channels": 8,
        "base_channels": 32,
        "channel_multiplier": [1, 1],
        "num_res_blocks": 1,
        "projection_dim": 48,
        "image_token_embed_dim": 48,
        "num_patches": IMAGE_TOKENS,
    }
    config = hf.JanusConfig(**_deepseek_config(vision_config=vision, vq_config=drawing))
    processor = _deepseek_processor(hf.JanusProcessor, hf.JanusImageProcessor(size=SQUARE))
    save(folder, hf.JanusForConditionalGeneration(config), processor)


PIXTRAL = ("<pad>", "<s>", "</s>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]")
PIXTRAL_TEMPLATE = "{{ bos_token }}" + template("[IMG]", "[INST]", "[/INST]")


def _pixtral_config() -> dict[str, Any]:
    return {
        "text_config": text(model_type="mistral", head_dim=20, **ENDS),
        "vision_config": tower("pixtral", image_size=56, head_dim=16),
        "image_token_index": PIXTRAL.index("[IMG]"),
        "vision_feature_layer": -1,
    }


def _pixtral_processor(merge: int) -> hf.PixtralProcessor:
    return hf.PixtralProcessor(
        image_processor=hf.PixtralImageProcessor(
            size={"longest_edge": 56}, patch_size={"height": 14, "width": 14}
        ),
        tokenizer=llama_tokenizer(PIXTRAL),
        patch_size=14,
        spatial_merge_size=merge,
        chat_template=PIXTRAL_TEMPLATE,
    )


def build_mistral3(folder: Path) -> None:
    """Save a Mistral Small 3.1: images of any shape, a token at the end of each of their rows."""
    config = hf.Mistral3Config(**_pixtral_config(), spatial_merge_size=2)
    save(folder, hf.Mistral3ForConditionalGeneration(config), _pixtral_processor(2))


def build_pixtral(folder: Path) -> None:
    """Save a Pixtral: a LLaVA with its tower and Mistral's prompt form."""
    config = hf.LlavaConfig(**_pixtral_config(), vision_feature_select_strategy="full")
    save(folder, hf.LlavaForConditionalGeneration(config), _pixtral_processor(1))
