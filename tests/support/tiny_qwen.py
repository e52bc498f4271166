"""Tiny checkpoints of the Qwen families, and of those that speak as they do: grids of patches."""

from pathlib import Path
from typing import Any

import transformers as hf
from tiny_parts import (
    GRID,
    HEAD_DIM,
    HIDDEN,
    SQUARE,
    WIDTHS,
    save,
    template,
    text,
    tokenizer,
    tower,
    words,
)

SPECIAL = words(
    "<|endoftext|> <|im_start|> <|im_end|> <|vision_start|> <|vision_end|> <|vision_pad|> "
    "<|image_pad|> <|video_pad|>"
)

IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
EXPERTS = {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}


def qwen_tokenizer(*more: str, named: dict[str, str] | None = None) -> hf.PreTrainedTokenizerFast:
    """Return a tokenizer with Qwen's special tokens, and more after them."""
    return tokenizer((*SPECIAL, *more), pad="<|endoftext|>", eos="<|im_end|>", named=named)


def qwen_template(image: str, video: str = "", audio: str = "") -> str:
    """Return a template in Qwen's form."""
    turn = "<|im_start|>{{ m['role'] }}\n"
    asked = "<|im_start|>assistant\n"
    return template(image, turn, "<|im_end|>\n", asked, video=video, audio=audio)


def ids() -> dict[str, int]:
    """Return the ids of the special tokens, as configurations name them."""
    names = ("vision_start", "vision_end", "image", "video")
    tokens = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    return {
        f"{name}_token_id": SPECIAL.index(token) for name, token in zip(names, tokens, strict=True)
    }


def _pixels(patch: int) -> dict[str, int]:
    return {"shortest_edge": (2 * patch) ** 2, "longest_edge": (8 * patch) ** 2}


def parts(patch: int, video_processor: Any) -> dict[str, Any]:
    """Return the parts of a processor for a tower of square patches."""
    return {
        "image_processor": hf.Qwen2VLImageProcessor(size=_pixels(patch), patch_size=patch),
        "tokenizer": qwen_tokenizer(),
        "video_processor": video_processor,
        "chat_template": qwen_template(IMAGE, IMAGE.replace("image", "video")),
    }


def rope(**more: Any) -> dict[str, Any]:
    """Return rotary embeddings of positions in time, height and width."""
    return {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 2, 2], **more}


def deep_tower(**more: Any) -> dict[str, Any]:
    """Return the configuration of the tower of Qwen3-VL and its kin."""
    return {**GRID, "out_hidden_size": HIDDEN, "num_position_embeddings": 16, **more}


def window_tower(**more: Any) -> dict[str, Any]:
    """Return the configuration of the tower of Qwen2.5-VL and its kin."""
    windows = {"fullatt_block_indexes": [1], "window_size": 56}
    return {**GRID, "out_hidden_size": HIDDEN, **windows, **more}


def build_qwen2_vl(folder: Path) -> None:
    """Save a Qwen2-VL."""
    config = hf.Qwen2VLConfig(
        text_config=text(rope_parameters=rope()),
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": HIDDEN, "num_heads": 2},
        **ids(),
    )
    processor = hf.Qwen2VLProcessor(**parts(14, hf.Qwen2VLVideoProcessor()))
    save(folder, hf.Qwen2VLForConditionalGeneration(config), processor)


def build_qwen2_5_vl(folder: Path) -> None:
    """Save a Qwen2.5-VL."""
    config = hf.Qwen2_5_VLConfig(
        text_config=text(rope_parameters=rope()),
        vision_config=window_tower(),
        **ids(),
    )
    processor = hf.Qwen2_5_VLProcessor(**parts(14, hf.Qwen2VLVideoProcessor()))
    save(folder, hf.Qwen2_5_VLForConditionalGeneration(config), processor)


def _deep_processor() -> hf.Qwen3VLProcessor:
    return hf.Qwen3VLProcessor(**parts(16, hf.Qwen3VLVideoProcessor(cap_pixels_per_frame=True)))


def _qwen3_vl(**more: Any) -> dict[str, Any]:
    return {
        "text_config": text(head_dim=16, rope_parameters=rope(mrope_section=[4, 2, 2]), **more),
        "vision_config": deep_tower(deepstack_visual_indexes=[0, 1]),
        **ids(),
    }


def linear_decoder(**more: Any) -> dict[str, Any]:
    """Return the configuration of Qwen3.5's decoder: every other layer has linear attention."""
    return text(
        num_hidden_layers=4,
        layer_types=["linear_attention", "full_attention"] * 2,
        head_dim=16,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        rope_parameters=rope(mrope_section=[4, 2, 2], partial_rotary_factor=1.0),
        **more,
    )


def _qwen3_5(**more: Any) -> dict[str, Any]:
    return {"text_config": linear_decoder(**more), "vision_config": deep_tower(), **ids()}


def build_qwen3_vl(folder: Path) -> None:
    """Save a Qwen3-VL: image features enter several decoder layers, too; heads 16 wide."""
    config = hf.Qwen3VLConfig(**_qwen3_vl())
    save(folder, hf.Qwen3VLForConditionalGeneration(config), _deep_processor())


def build_qwen3_vl_moe(folder: Path) -> None:
    """Save a Qwen3-VL with experts."""
    config = hf.Qwen3VLMoeConfig(**_qwen3_vl(**EXPERTS))
    save(folder, hf.Qwen3VLMoeForConditionalGeneration(config), _deep_processor())


def build_qwen3_5(folder: Path) -> None:
    """Save a Qwen3.5: of four decoder layers the second and the last have attention heads."""
    config = hf.Qwen3_5Config(**_qwen3_5())
    save(folder, hf.Qwen3_5ForConditionalGeneration(config), _deep_processor())


def build_qwen3_5_moe(folder: Path) -> None:
    """Save a Qwen3.5 with experts, one of them for all tokens."""
    config = hf.Qwen3_5MoeConfig(**_qwen3_5(**EXPERTS, shared_expert_intermediate_size=16))
    save(folder, hf.Qwen3_5MoeForConditionalGeneration(config), _deep_processor())


OVIS = ("<image>", "<IMG_ATOM>", "<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")
ERNIE_NAMED = {
    "image_token": "<|image_pad|>",
    "image_start_token": "<|vision_start|>",
    "image_end_token": "<|vision_end|>",
    "video_token": "<|video_pad|>",
    "video_start_token": "<|vid_start|>",
    "video_end_token": "<|vid_end|>",
}


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
        chat_template=qwen_template("<|image_pad|>"),
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
        image_processor=hf.Ovis2ImageProcessor(size=SQUARE, max_patches=3),
        tokenizer=qwen_tokenizer(*OVIS),
        image_seq_length=1,
        chat_template=qwen_template("<image>"),
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
        vision_config=GRID,
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
        chat_template=qwen_template(IMAGE),
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
        chat_template=qwen_template(IMAGE),
    )
    save(folder, hf.PaddleOCRVLForConditionalGeneration(config), processor)


def build_lfm3_vl(folder: Path) -> None:
    """Save an LFM3-VL: convolutions and attention in tower and decoder."""
    config = hf.Lfm3VlConfig(
        text_config=text(
            model_type="lfm2", num_hidden_layers=4, layer_types=["conv", "full_attention"] * 2
        ),
        vision_config=tower(
            "lfm3_vl_vision",
            num_key_value_heads=1,
            patch_size=16,
            layer_types=["conv", "full_attention"],
        ),
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
        chat_template=qwen_template(IMAGE),
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


SOUND = ("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
"""What they have next to Qwen's special tokens."""
OMNI_NAMED = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "audio_token": "<|AUDIO|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}


def _omni_config(suffix: str, **more: Any) -> dict[str, Any]:
    tokens = {"audio": len(SPECIAL), "image": 6, "video": 7}
    return {
        "audio_config": {
            "num_mel_bins": 8,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 16,
            "d_model": 16,
            "max_source_positions": 200,
            "output_dim": HIDDEN,
        },
        **{f"{name}_token_{suffix}": number for name, number in tokens.items()},
        "vision_start_token_id": SPECIAL.index("<|vision_start|>"),
        "audio_start_token_id": len(SPECIAL) + 1,
        **more,
    }


def _omni_parts(patch: int) -> dict[str, Any]:
    return {
        **parts(patch, hf.Qwen2VLVideoProcessor(patch_size=patch)),
        "tokenizer": qwen_tokenizer(*SOUND, named=OMNI_NAMED),
        "feature_extractor": hf.WhisperFeatureExtractor(feature_size=8, chunk_length=1),
        "chat_template": qwen_template(
            IMAGE, IMAGE.replace("image", "video"), "<|audio_bos|><|AUDIO|><|audio_eos|>"
        ),
    }


def build_qwen2_5_omni_thinker(folder: Path) -> None:
    """Save the thinker of a Qwen2.5-Omni."""
    config = hf.Qwen2_5OmniThinkerConfig(
        **_omni_config(
            "index",
            text_config=text(rope_parameters=rope()),
            vision_config=window_tower(),
        )
    )
    model = hf.Qwen2_5OmniThinkerForConditionalGeneration(config)
    save(folder, model, hf.Qwen2_5OmniProcessor(**_omni_parts(14)))


def build_qwen3_omni_moe_thinker(folder: Path) -> None:
    """Save the thinker of a Qwen3-Omni."""
    config = hf.Qwen3OmniMoeThinkerConfig(
        **_omni_config(
            "id",
            text_config=text(head_dim=16, rope_parameters=rope(mrope_section=[4, 2, 2]), **EXPERTS),
            vision_config=deep_tower(deepstack_visual_indexes=[0, 1]),
        )
    )
    model = hf.Qwen3OmniMoeThinkerForConditionalGeneration(config)
    save(folder, model, hf.Qwen3OmniMoeProcessor(**_omni_parts(16)))


MINICPM_MARKS = words("image_start image_end slice_start slice_end image_id_start image_id_end")
MINICPM = ("<image>", "</image>", "<slice>", "</slice>", "<image_id>", "</image_id>")
MINICPM_NAMED = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    **{f"{name}_token": token for name, token in zip(MINICPM_MARKS, MINICPM, strict=True)},
}


def _minicpm_config(tower_type: str, **more: Any) -> dict[str, Any]:
    return {
        "text_config": linear_decoder(model_type="qwen3_5_text"),
        "vision_config": tower(tower_type, image_size=56, patch_size=7),
        "insert_layer_id": 0,
        "image_size": 56,
        "image_token_id": SPECIAL.index("<|image_pad|>"),
        "video_token_id": SPECIAL.index("<|video_pad|>"),
        **more,
    }


def _minicpm_processor(kind: Any, images: Any, videos: Any) -> Any:
    sizes = {"scale_resolution": 56, "patch_size": 7, "max_slice_nums": 3}
    return kind(
        image_processor=images(**sizes),
        video_processor=videos(**sizes),
        tokenizer=qwen_tokenizer(*MINICPM, named=MINICPM_NAMED),
        chat_template=qwen_template("<|image_pad|>"),
    )


def build_minicpmv4_6(folder: Path) -> None:
    """Save a MiniCPM-V 4.6."""
    config = hf.MiniCPMV4_6Config(**_minicpm_config("minicpmv4_6_vision"))
    processor = _minicpm_processor(
        hf.MiniCPMV4_6Processor, hf.MiniCPMV4_6ImageProcessor, hf.MiniCPMV4_6VideoProcessor
    )
    save(folder, hf.MiniCPMV4_6ForConditionalGeneration(config), processor)


def build_minicpmv4_7(folder: Path) -> None:
    """Save a MiniCPM-V 4.7: positions of the tokens of images in two dimensions."""
    ids = {f"{name}_id": len(SPECIAL) + n for n, name in enumerate(MINICPM_MARKS[:4])}
    config = hf.MiniCPMV4_7Config(**_minicpm_config("minicpmv4_7_vision", **ids, newline_id=40))
    processor = _minicpm_processor(
        hf.MiniCPMV4_7Processor, hf.MiniCPMV4_6ImageProcessor, hf.MiniCPMV4_6VideoProcessor
    )
    save(folder, hf.MiniCPMV4_7ForConditionalGeneration(config), processor)


def build_minicpm_ocr(folder: Path) -> None:
    """Save a MiniCPM-OCR."""
    config = hf.MiniCPMOcrConfig(**_minicpm_config("minicpm_ocr_vision"))
    processor = _minicpm_processor(
        hf.MiniCPMOcrProcessor, hf.MiniCPMOcrImageProcessor, hf.MiniCPMOcrVideoProcessor
    )
    save(folder, hf.MiniCPMOcrForConditionalGeneration(config), processor)


MOLMO = (
    *("<|image|>", "<|video|>", "<im_patch>", "<im_col>", "<im_start>", "<im_end>", "<im_low>"),
    *("<low_res_im_start>", "<frame_start>", "<frame_end>"),
)
MOLMO_TOKENS = {
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
            **WIDTHS,
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
        **{f"{name}_id": len(SPECIAL) + MOLMO.index(token) for name, token in MOLMO_TOKENS.items()},
    )
    cut = {"patch_size": 7, "pooling_size": [2, 2]}
    processor = hf.Molmo2Processor(
        image_processor=hf.Molmo2ImageProcessor(
            size=SQUARE, max_crops=3, overlap_margins=[1, 1], **cut
        ),
        video_processor=hf.Molmo2VideoProcessor(size=SQUARE, **cut),
        tokenizer=qwen_tokenizer(*MOLMO),
        chat_template=qwen_template("<|image|>"),
    )
    save(folder, hf.Molmo2ForConditionalGeneration(config), processor)
