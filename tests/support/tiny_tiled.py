"""Tiny checkpoints of families that cut images to tiles."""

from pathlib import Path
from typing import Any

import torch
import transformers as hf
from chat_templates import IDEFICS2, MLLAMA, SMOLVLM
from chat_templates import LLAMA4 as LLAMA4_TEMPLATE
from tiny_parts import ENDS, HIDDEN, SQUARE, WIDTHS, save, template, text, tokenizer, tower, words
from tiny_qwen import qwen_template

INTERN = words("<|endoftext|> <|im_start|> <|im_end|> <img> </img> <IMG_CONTEXT> <video>")
COHERE = words(
    "<PAD> <BOS_TOKEN> <|END_OF_TURN_TOKEN|> <|START_OF_TURN_TOKEN|> <|USER_TOKEN|> "
    "<|CHATBOT_TOKEN|> <|START_OF_IMG|> <|END_OF_IMG|> <|IMG_PATCH|> <|IMG_LINE_BREAK|> "
    "TILE TILE_GLOBAL <image>"
)


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
        image_processor=hf.GotOcr2ImageProcessor(size=SQUARE, max_patches=3),
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
        video_processor=hf.InternVLVideoProcessor(size=SQUARE),
        image_seq_length=4,
        chat_template=qwen_template("<IMG_CONTEXT>\n"),
    )
    save(folder, hf.InternVLForConditionalGeneration(config), processor)


def _cohere_template(image: str) -> str:
    user, chatbot = (f"<|START_OF_TURN_TOKEN|><|{who}_TOKEN|>" for who in ("USER", "CHATBOT"))
    return "{{ bos_token }}" + template(image, user, "<|END_OF_TURN_TOKEN|>", chatbot)


def _cohere_text() -> dict[str, object]:
    return text(model_type="cohere2", sliding_window=32, **ENDS)


def build_aya_vision(folder: Path) -> None:
    """Save an Aya Vision: SigLIP tower, Command R7B's decoder."""
    config = hf.AyaVisionConfig(
        text_config=_cohere_text(),
        vision_config=tower("siglip_vision_model", patch_size=7, vision_use_head=False),
        image_token_index=COHERE.index("<|IMG_PATCH|>"),
        downsample_factor=2,
    )
    processor = hf.AyaVisionProcessor(
        image_processor=hf.GotOcr2ImageProcessor(size=SQUARE, max_patches=3),
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
        image_processor=hf.Cohere2VisionImageProcessor(size=SQUARE, max_patches=3, patch_size=2),
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


START = {
    "idefics2": "<|begin_of_text|>",
    "idefics3": "<|begin_of_text|>",
    "smolvlm": "<|im_start|>",
}
IDEFICS = (
    "<pad>",
    "<|begin_of_text|>",
    "<|im_start|>",
    "<end_of_utterance>",
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
)
IDEFICS_IDS = {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}
SIZES = {"size": {"longest_edge": 56}, "max_image_size": {"longest_edge": 28}}


def _idefics_tokenizer(family: str) -> hf.PreTrainedTokenizerFast:
    return tokenizer(IDEFICS, pad="<pad>", bos=START[family], eos="<end_of_utterance>")


def _idefics_config(tower_type: str) -> dict[str, Any]:
    return {
        "text_config": text(model_type="llama", **IDEFICS_IDS),
        "vision_config": tower(tower_type, patch_size=7),
        "image_token_id": IDEFICS.index("<image>"),
        "scale_factor": 2,
        "pad_token_id": 0,
    }


def build_idefics2(folder: Path) -> None:
    """Save an Idefics2: a perceiver with layers of its own between tower and Mistral decoder."""
    config = hf.Idefics2Config(
        text_config=text(model_type="mistral", **IDEFICS_IDS),
        vision_config={**tower("idefics2_vision"), "image_size": 56},
        perceiver_config={
            "hidden_size": HIDDEN,
            "resampler_n_latents": 4,
            "resampler_depth": 1,
            "resampler_n_heads": 2,
            "resampler_head_dim": 8,
            "num_key_value_heads": 1,
        },
        image_token_id=IDEFICS.index("<image>"),
    )
    processor = hf.Idefics2Processor(
        image_processor=hf.Idefics2ImageProcessor(
            size={"shortest_edge": 28, "longest_edge": 56}, do_image_splitting=False
        ),
        tokenizer=_idefics_tokenizer("idefics2"),
        image_seq_len=4,
        chat_template=IDEFICS2,
    )
    save(folder, hf.Idefics2ForConditionalGeneration(config), processor)


def build_idefics3(folder: Path) -> None:
    """Save an Idefics3: images cut into tiles whose rows and columns are named in the text."""
    processor = hf.Idefics3Processor(
        image_processor=hf.Idefics3ImageProcessor(**SIZES),
        tokenizer=_idefics_tokenizer("idefics3"),
        image_seq_len=4,
        chat_template=SMOLVLM.replace("<|im_start|>", START["idefics3"]),
    )
    config = hf.Idefics3Config(**_idefics_config("idefics3_vision"))
    save(folder, hf.Idefics3ForConditionalGeneration(config), processor)


def build_smolvlm(folder: Path) -> None:
    """Save a SmolVLM; its processor needs the package num2words."""
    processor = hf.SmolVLMProcessor(
        image_processor=hf.SmolVLMImageProcessor(**SIZES),
        tokenizer=_idefics_tokenizer("smolvlm"),
        video_processor=hf.SmolVLMVideoProcessor(**SIZES, num_frames=2, fps=1),
        image_seq_len=4,
        chat_template=SMOLVLM,
    )
    config = hf.SmolVLMConfig(**_idefics_config("smolvlm_vision"))
    save(folder, hf.SmolVLMForConditionalGeneration(config), processor)


LFM = (
    "<|pad|>",
    "<|startoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<image>",
    "<|image_start|>",
    "<|image_end|>",
    "<|img_thumbnail|>",
    *(f"<|img_row_{row}_col_{column}|>" for row in range(1, 4) for column in range(1, 4)),
)


def build_lfm2_vl(folder: Path) -> None:
    """Save an LFM2-VL: attention in the second and the last of four layers, else convolutions."""
    config = hf.Lfm2VlConfig(
        text_config=text(
            model_type="lfm2",
            num_hidden_layers=4,
            layer_types=["conv", "full_attention"] * 2,
            bos_token_id=1,
            eos_token_id=3,
        ),
        vision_config={
            "model_type": "siglip2_vision_model",
            **WIDTHS,
            "patch_size": 7,
            "num_patches": 16,
            "vision_use_head": False,
        },
        image_token_id=LFM.index("<image>"),
        projector_hidden_size=64,
        downsample_factor=2,
    )
    processor = hf.Lfm2VlProcessor(
        image_processor=hf.Lfm2VlImageProcessor(
            size=SQUARE,
            tile_size=28,
            encoder_patch_size=7,
            min_image_tokens=2,
            max_image_tokens=4,
            max_tiles=3,
        ),
        tokenizer=tokenizer(LFM, pad="<|pad|>", bos="<|startoftext|>", eos="<|im_end|>"),
        chat_template="{{ bos_token }}" + qwen_template("<image>"),
    )
    save(folder, hf.Lfm2VlForConditionalGeneration(config), processor)


LLAMA3 = words(
    "<|finetune_right_pad_id|> <|begin_of_text|> <|eot_id|> <|start_header_id|> "
    "<|end_header_id|> <|python_tag|> <|image|>"
)
LLAMA4 = words(
    "<|finetune_right_pad|> <|begin_of_text|> <|eot|> <|header_start|> <|header_end|> "
    "<|image_start|> <|image_end|> <|image|> <|patch|> <|tile_x_separator|> "
    "<|tile_y_separator|>"
)


def build_mllama(folder: Path) -> None:
    """Save a Llama 3.2 Vision: images enter through a cross-attention layer, the third of four."""
    config = hf.MllamaConfig(
        text_config=text(
            num_hidden_layers=4,
            cross_attention_layers=[2],
            bos_token_id=1,
            rope_parameters={"rope_type": "default", "rope_theta": 1e4},
        ),
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
            "intermediate_layers_indices": [0],
            "vision_output_dim": 64,
        },
        image_token_index=LLAMA3.index("<|image|>"),
    )
    processor = hf.MllamaProcessor(
        image_processor=hf.MllamaImageProcessor(size=SQUARE),
        tokenizer=tokenizer(
            LLAMA3, pad="<|finetune_right_pad_id|>", bos="<|begin_of_text|>", eos="<|eot_id|>"
        ),
        chat_template=MLLAMA,
    )
    model = hf.MllamaForConditionalGeneration(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "gate" in name and weight.ndim < 2:  # zero before training: no image gets through
                weight.fill_(1.0)
    save(folder, model, processor)


def build_llama4(folder: Path) -> None:
    """Save a Llama 4: experts in every second layer, chunked attention in two of three."""
    config = hf.Llama4Config(
        text_config=text(
            head_dim=16,
            intermediate_size_mlp=64,
            num_local_experts=2,
            interleave_moe_layer_step=2,
            attention_chunk_size=64,
            no_rope_layer_interval=3,
            bos_token_id=1,
        ),
        vision_config={
            **WIDTHS,
            "intermediate_size": 128,
            "image_size": 28,
            "patch_size": 7,
            "vision_output_dim": 32,
            "projector_input_dim": 32,
            "projector_output_dim": 32,
        },
        boi_token_index=LLAMA4.index("<|image_start|>"),
        eoi_token_index=LLAMA4.index("<|image_end|>"),
        image_token_index=LLAMA4.index("<|patch|>"),
    )
    processor = hf.Llama4Processor(
        image_processor=hf.Llama4ImageProcessor(size=SQUARE, max_patches=3),
        tokenizer=tokenizer(LLAMA4, pad=LLAMA4[0], bos="<|begin_of_text|>", eos="<|eot|>"),
        patch_size=7,
        chat_template=LLAMA4_TEMPLATE,
    )
    save(folder, hf.Llama4ForConditionalGeneration(config), processor)
