"""Tiny checkpoints of the Gemma families."""

from pathlib import Path

import transformers as hf
from tiny_parts import SQUARE, WIDTHS, save, template, text, tokenizer, tower, words

SPECIAL = words(
    "<pad> <eos> <bos> <start_of_turn> <end_of_turn> <start_of_image> <end_of_image> "
    "<image_soft_token>"
)
IDS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
NAMED = {
    "boi_token": "<start_of_image>",
    "eoi_token": "<end_of_image>",
    "image_token": "<image_soft_token>",
}
TURN = "<start_of_turn>{{ m['role'] }}\n", "<end_of_turn>\n", "<start_of_turn>model\n"
TRIMMED = "{{ c['text'] | trim }}"


def _template(image: str, turn: tuple[str, str, str], **more: str) -> str:
    return "{{ bos_token }}" + template(image, *turn, text=TRIMMED, **more)


def build_gemma3(folder: Path) -> None:
    """Save a Gemma 3: local and global layers, image tokens that see each other, wide heads."""
    config = hf.Gemma3Config(
        text_config=text(
            head_dim=20,
            query_pre_attn_scalar=20,
            sliding_window=32,
            layer_types=["sliding_attention", "sliding_attention", "full_attention"],
            **IDS,
        ),
        vision_config=tower("siglip_vision_model", vision_use_head=False),
        mm_tokens_per_image=4,
        boi_token_index=SPECIAL.index("<start_of_image>"),
        eoi_token_index=SPECIAL.index("<end_of_image>"),
        image_token_index=SPECIAL.index("<image_soft_token>"),
    )
    processor = hf.Gemma3Processor(
        image_processor=hf.Gemma3ImageProcessor(size=SQUARE),
        tokenizer=tokenizer(SPECIAL, pad="<pad>", eos="<eos>", bos="<bos>", named=NAMED),
        image_seq_length=4,
        chat_template=_template("<start_of_image>", TURN),
    )
    save(folder, hf.Gemma3ForConditionalGeneration(config), processor)


GEMMA4 = words(
    "<pad> <eos> <bos> <|turn> <turn|> <|image> <image|> <|image|> <|audio> <audio|> "
    "<|audio|> <|video|>"
)
GEMMA4_NAMED = {
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "image_token": "<|image|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
    "audio_token": "<|audio|>",
}
GEMMA4_TURN = "<|turn>{{ m['role'] }}\n", "<turn|>\n", "<|turn>model\n"


def build_gemma4(folder: Path) -> None:
    """Save a Gemma 4: heads wider in global layers, keys and values that the last layers share."""
    config = hf.Gemma4Config(
        text_config=text(
            num_hidden_layers=4,
            layer_types=["sliding_attention", "full_attention"] * 2,
            head_dim=12,
            global_head_dim=24,
            sliding_window=32,
            num_kv_shared_layers=2,
            hidden_size_per_layer_input=8,
            vocab_size_per_layer_input=320,
            **IDS,
        ),
        vision_config={
            **WIDTHS,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "patch_size": 4,
            "position_embedding_size": 128,
        },
        boi_token_id=GEMMA4.index("<|image>"),
        eoi_token_id=GEMMA4.index("<image|>"),
        image_token_id=GEMMA4.index("<|image|>"),
        video_token_id=GEMMA4.index("<|video|>"),
        audio_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "subsampling_conv_channels": [128, 4],
            "output_proj_dims": 16,
        },
        boa_token_id=GEMMA4.index("<|audio>"),
        eoa_token_index=GEMMA4.index("<audio|>"),
        audio_token_id=GEMMA4.index("<|audio|>"),
    )
    processor = hf.Gemma4Processor(
        feature_extractor=hf.Gemma4AudioFeatureExtractor(),
        image_processor=hf.Gemma4ImageProcessor(patch_size=4, max_soft_tokens=70),
        tokenizer=tokenizer(GEMMA4, pad="<pad>", eos="<eos>", bos="<bos>", named=GEMMA4_NAMED),
        video_processor=hf.Gemma4VideoProcessor(patch_size=4),
        chat_template=_template("<|image|>", GEMMA4_TURN, audio="<|audio|>"),
    )
    save(folder, hf.Gemma4ForConditionalGeneration(config), processor)


GEMMA3N = (*SPECIAL, "<start_of_audio>", "<end_of_audio>", "<audio_soft_token>")
GEMMA3N_NAMED = {
    **NAMED,
    "boa_token": "<start_of_audio>",
    "eoa_token": "<end_of_audio>",
    "audio_token": "<audio_soft_token>",
}


def build_gemma3n(folder: Path) -> None:
    """Save a Gemma 3n: MobileNet from timm, several streams side by side in the decoder."""
    ids = {f"{name}_id": GEMMA3N.index(token) for name, token in GEMMA3N_NAMED.items()}
    config = hf.Gemma3nConfig(
        text_config=text(
            head_dim=12,
            sliding_window=32,
            layer_types=["sliding_attention", "sliding_attention", "full_attention"],
            hidden_size_per_layer_input=8,
            vocab_size_per_layer_input=320,
            num_kv_shared_layers=0,
            laurel_rank=8,
            activation_sparsity_pattern=[0.0] * 3,
            **IDS,
        ),
        vision_config={
            "architecture": "mobilenetv5_300m_enc",
            "hidden_size": 2048,
            "vocab_size": 8,
            "vocab_offset": 312,
            "model_args": {"channel_multiplier": 0.1},
        },
        audio_config={
            "vocab_size": 8,
            "vocab_offset": 312,
            "hidden_size": 16,
            "input_feat_size": 16,
            "conf_num_attention_heads": 2,
            "conf_num_hidden_layers": 1,
            "sscp_conv_channel_size": [4, 4],
        },
        vision_soft_tokens_per_image=256,
        **ids,
    )
    processor = hf.Gemma3nProcessor(
        feature_extractor=hf.Gemma3nAudioFeatureExtractor(),
        image_processor=hf.SiglipImageProcessor(
            size={"height": 64, "width": 64}, do_normalize=False
        ),
        tokenizer=tokenizer(GEMMA3N, pad="<pad>", eos="<eos>", bos="<bos>", named=GEMMA3N_NAMED),
        image_seq_length=256,
        chat_template=_template("<image_soft_token>", TURN),
    )
    save(folder, hf.Gemma3nForConditionalGeneration(config), processor)
