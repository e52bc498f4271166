"""Tiny checkpoints of the Molmo families."""

from pathlib import Path

import transformers as hf
from tiny_parts import HEAD_DIM, HIDDEN, save, text
from tiny_qwen import SPECIAL, chat_template, qwen_tokenizer

OWN = (
    *("<|image|>", "<|video|>", "<im_patch>", "<im_col>", "<im_start>", "<im_end>", "<im_low>"),
    *("<low_res_im_start>", "<frame_start>", "<frame_end>"),
)
TOKENS = {
    "image_start_token": "<im_start>",
    "low_res_image_start_token": "<low_res_im_start>",
    "image_end_token": "<im_end>",
    "image_patch": "<im_patch>",
    "frame_start_token": "<frame_start>",
    "frame_end_token": "<frame_end>",
}


def build_molmo2(folder: Path) -> None:
    """Save a Molmo 2: overlapping crops, an adapter that pools patches by attention."""
    attention = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    config = hf.Molmo2Config(
        text_config=text(head_dim=HEAD_DIM, additional_vocab_size=8),
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "image_size": [28, 28],
            "patch_size": 7,
            "num_position_embeddings": 16,
            **attention,
        },
        adapter_config={
            "vision_feature_layer": [1, 0],
            "hidden_size": 32,
            "intermediate_size": 48,
            "text_hidden_size": HIDDEN,
            **attention,
        },
        **{f"{name}_id": len(SPECIAL) + OWN.index(token) for name, token in TOKENS.items()},
    )
    cut = {"patch_size": 7, "pooling_size": [2, 2]}
    processor = hf.Molmo2Processor(
        image_processor=hf.Molmo2ImageProcessor(
            size={"height": 28, "width": 28}, max_crops=3, overlap_margins=[1, 1], **cut
        ),
        video_processor=hf.Molmo2VideoProcessor(size={"height": 28, "width": 28}, **cut),
        tokenizer=qwen_tokenizer(*OWN),
        chat_template=chat_template("<|image|>"),
    )
    save(folder, hf.Molmo2ForConditionalGeneration(config), processor)
