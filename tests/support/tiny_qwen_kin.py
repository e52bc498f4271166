"""Tiny checkpoints of families that speak as Qwen-VL does: its tokens, grids of patches."""

from pathlib import Path

import transformers as hf
from tiny_parts import HIDDEN, save, text, tower
from tiny_qwen import (
    SPECIAL,
    chat_template,
    deep_tower,
    ids,
    parts,
    qwen_tokenizer,
    rope,
    window_tower,
)

IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
OVIS = ("<image>", "<IMG_ATOM>", "<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")
ERNIE_NAMED = {
    "image_token": "<|image_pad|>",
    "image_start_token": "<|vision_start|>",
    "image_end_token": "<|vision_end|>",
    "video_token": "<|video_pad|>",
    "video_start_token": "<|vid_start|>",
    "video_end_token": "<|vid_end|>",
}


def _pixels(patch: int) -> dict[str, int]:
    return {"shortest_edge": (2 * patch) ** 2, "longest_edge": (8 * patch) ** 2}


def build_video_llama_3(folder: Path) -> None:
    """Save a VideoLLaMA 3: images of any size, Qwen2 decoder."""
    config = hf.VideoLlama3Config(
        text_config=text(model_type="qwen2"),
        vision_config=tower("video_llama_3_vision", image_size=None),
        **{name: number for name, number in ids().items() if not name.startswith("vision")},
    )
    processor = hf.VideoLlama3Processor(
        image_processor=hf.VideoLlama3ImageProcessor(size=_pixels(14)),
        tokenizer=qwen_tokenizer(),
        video_processor=hf.VideoLlama3VideoProcessor(),
        chat_template=chat_template("<|image_pad|>"),
    )
    save(folder, hf.VideoLlama3ForConditionalGeneration(config), processor)


def build_exaone4_5(folder: Path) -> None:
    """Save an EXAONE 4.5: Qwen2.5-VL's tower with shared keys, EXAONE 4's decoder."""
    config = hf.Exaone4_5_Config(
        text_config=text(
            model_type="exaone4",
            sliding_window=32,
            layer_types=["sliding_attention", "sliding_attention", "full_attention"],
        ),
        vision_config=window_tower(num_key_value_heads=1),
        **ids(),
    )
    processor = hf.Exaone4_5_Processor(**parts(14, hf.Qwen2VLVideoProcessor()))
    save(folder, hf.Exaone4_5_ForConditionalGeneration(config), processor)


def build_ovis2(folder: Path) -> None:
    """Save an Ovis2: a table of visual words between tower and Qwen2 decoder."""
    first = len(SPECIAL) + 1
    config = hf.Ovis2Config(
        text_config=text(model_type="qwen2"),
        vision_config=tower("ovis2_vision", vocab_size=32, hidden_stride=2),
        image_token_id=first,
        visual_indicator_token_ids=[first + n for n in range(1, 6)],
        vocab_size=320,
        hidden_size=HIDDEN,
    )
    processor = hf.Ovis2Processor(
        image_processor=hf.Ovis2ImageProcessor(size={"height": 28, "width": 28}, max_patches=3),
        tokenizer=qwen_tokenizer(*OVIS),
        image_seq_length=1,
        chat_template=chat_template("<image>"),
    )
    save(folder, hf.Ovis2ForConditionalGeneration(config), processor)


def build_ernie4_5_vl_moe(folder: Path) -> None:
    """Save an ERNIE 4.5 VL: experts of its own for the tokens of images."""
    config = hf.Ernie4_5_VLMoeConfig(
        text_config=text(
            moe_intermediate_size=[16, 8],
            moe_k=2,
            moe_num_experts=4,
            moe_num_shared_experts=1,
            mlp_layer_types=["dense", "sparse", "sparse"],
            rope_parameters=rope(),
        ),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
        },
        image_start_token_id=3,
        image_end_token_id=4,
        image_token_id=6,
        video_start_token_id=len(SPECIAL),
        video_end_token_id=len(SPECIAL) + 1,
        video_token_id=7,
    )
    processor = hf.Ernie4_5_VLMoeProcessor(
        image_processor=hf.Ernie4_5_VLMoeImageProcessor(size=_pixels(14)),
        tokenizer=qwen_tokenizer("<|vid_start|>", "<|vid_end|>", named=ERNIE_NAMED),
        video_processor=hf.Ernie4_5_VLMoeVideoProcessor(draw_on_frames=False),
        chat_template=chat_template(IMAGE),
    )
    save(folder, hf.Ernie4_5_VLMoeForConditionalGeneration(config), processor)


def build_paddleocr_vl(folder: Path) -> None:
    """Save a PaddleOCR-VL: ERNIE 4.5's small decoder."""
    config = hf.PaddleOCRVLConfig(
        text_config=text(head_dim=12, rope_parameters=rope()),
        vision_config=tower("paddleocr_vl_vision", image_size=56),
        **ids(),
    )
    processor = hf.PaddleOCRVLProcessor(
        image_processor=hf.PaddleOCRVLImageProcessor(size=_pixels(14)),
        tokenizer=qwen_tokenizer(named={"image_token": "<|image_pad|>"}),
        chat_template=chat_template(IMAGE),
    )
    save(folder, hf.PaddleOCRVLForConditionalGeneration(config), processor)


def build_lfm3_vl(folder: Path) -> None:
    """Save an LFM3-VL: convolutions and attention in tower and decoder."""
    config = hf.Lfm3VlConfig(
        text_config=text(
            model_type="lfm2", num_hidden_layers=4, layer_types=["conv", "full_attention"] * 2
        ),
        vision_config=tower("lfm3_vl_vision", num_key_value_heads=1, patch_size=16),
        projector_hidden_size=32,
        **ids(),
    )
    processor = hf.Lfm3VlProcessor(**parts(16, hf.Qwen3VLVideoProcessor(cap_pixels_per_frame=True)))
    save(folder, hf.Lfm3VlForConditionalGeneration(config), processor)


def build_cosmos3_edge(folder: Path) -> None:
    """Save a Cosmos 3 Edge: a tower that takes grids of SigLIP's patches, Nemotron's decoder."""
    config = hf.Cosmos3EdgeConfig(
        text_config=text(head_dim=12, rope_parameters=rope()),
        vision_config=tower("cosmos3_edge_vision", image_size=None, patch_size=16, num_patches=16),
        projector_hidden_size=64,
        **ids(),
    )
    processor = hf.Cosmos3EdgeProcessor(
        image_processor=hf.Cosmos3EdgeImageProcessor(size=_pixels(16)),
        tokenizer=qwen_tokenizer(),
        video_processor=hf.Cosmos3EdgeVideoProcessor(),
        chat_template=chat_template(IMAGE),
    )
    save(folder, hf.Cosmos3EdgeForConditionalGeneration(config), processor)


def build_cosmos3_omni(folder: Path) -> None:
    """Save a Cosmos 3: Qwen3-VL's tower and decoder."""
    config = hf.Cosmos3OmniConfig(
        text_config=text(head_dim=16, rope_parameters=rope(mrope_section=[4, 2, 2])),
        vision_config=deep_tower(deepstack_visual_indexes=[0, 1]),
        **ids(),
    )
    processor = hf.Qwen3VLProcessor(
        **parts(16, hf.Qwen3VLVideoProcessor(cap_pixels_per_frame=True))
    )
    save(folder, hf.Cosmos3OmniForConditionalGeneration(config), processor)


def build_hyperclovax_vision_v2(folder: Path) -> None:
    """Save a HyperCLOVA X Vision: Qwen2.5-VL's tower, a decoder of its own."""
    names = ("image_token_id", "video_token_id")
    config = hf.HyperCLOVAXVisionV2Config(
        text_config=text(model_type="hyperclovax"),
        vision_config=window_tower(model_type="qwen2_5_vl_vision"),
        **{name: ids()[name] for name in names},
    )
    processor = hf.HyperCLOVAXVisionV2Processor(**parts(14, hf.Qwen2VLVideoProcessor()))
    save(folder, hf.HyperCLOVAXVisionV2ForConditionalGeneration(config), processor)
