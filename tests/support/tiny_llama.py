"""Tiny checkpoints of Llama's multimodal families.

Mllama is right beside prompts of as many images only. Llama 4 is right up to its last
heads, but in transformers 5.14 and later its forward pass then fails as it returns logits.
"""

from pathlib import Path

import torch
import transformers as hf
from chat_templates import LLAMA4 as LLAMA4_TEMPLATE
from chat_templates import MLLAMA
from tiny_parts import save, text, tokenizer

LLAMA3 = (
    "<|finetune_right_pad_id|>",
    "<|begin_of_text|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|python_tag|>",
    "<|image|>",
)
LLAMA4 = (
    "<|finetune_right_pad|>",
    "<|begin_of_text|>",
    "<|eot|>",
    "<|header_start|>",
    "<|header_end|>",
    "<|image_start|>",
    "<|image_end|>",
    "<|image|>",
    "<|patch|>",
    "<|tile_x_separator|>",
    "<|tile_y_separator|>",
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
        image_processor=hf.MllamaImageProcessor(size={"height": 28, "width": 28}),
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
            "hidden_size": 32,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
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
        image_processor=hf.Llama4ImageProcessor(size={"height": 28, "width": 28}, max_patches=3),
        tokenizer=tokenizer(LLAMA4, pad=LLAMA4[0], bos="<|begin_of_text|>", eos="<|eot|>"),
        patch_size=7,
        chat_template=LLAMA4_TEMPLATE,
    )
    save(folder, hf.Llama4ForConditionalGeneration(config), processor)
