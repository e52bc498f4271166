"""Tiny checkpoints of families that read sounds and no images."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import transformers as hf
from tiny_parts import HIDDEN, save, text
from tiny_qwen import qwen_template, qwen_tokenizer

QWEN_SOUND = ("<|audio_bos|>", "<|AUDIO|>", "<|audio_eos|>")
FLAMINGO = ("<sound>", "<|sound_bos|>", "<|sound_eos|>")
GLM = ("<|begin_of_audio|>", "<|pad|>", "<|end_of_audio|>")
MOSS = ("<|audio_start|>", "<|audio_pad|>", "<|audio_end|>")
VOXTRAL = {24: "[AUDIO]", 25: "[BEGIN_AUDIO]", 34: "[TRANSCRIBE]"}
"""Control tokens that its processor knows by their ids, behind those of all such tokenizers."""
WHISPER = {
    "num_mel_bins": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "hidden_size": 16,
    "max_source_positions": 100,
}
"""A tiny encoder like Whisper's: 100 positions are two seconds."""
ENCODER = {
    **{name: WHISPER[name] for name in ("num_mel_bins", "max_source_positions")},
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "d_model": 16,
}
"""The same by the names of others."""


def _mel() -> Any:
    return hf.WhisperFeatureExtractor(feature_size=8, chunk_length=2)


def _template(sound: str) -> str:
    return qwen_template("", audio=sound)


def build_qwen2_audio(folder: Path) -> None:
    """Save a Qwen2-Audio, which reads two seconds of a sound."""
    tokens = qwen_tokenizer(*QWEN_SOUND)
    config = hf.Qwen2AudioConfig(
        text_config=text(model_type="qwen2"),
        audio_config={"model_type": "qwen2_audio_encoder", **ENCODER},
        audio_token_index=tokens.convert_tokens_to_ids("<|AUDIO|>"),
    )
    processor = hf.Qwen2AudioProcessor(
        feature_extractor=_mel(), tokenizer=tokens, chat_template=_template("".join(QWEN_SOUND))
    )
    save(folder, hf.Qwen2AudioForConditionalGeneration(config), processor)


def build_audioflamingo3(folder: Path) -> None:
    """Save an Audio Flamingo 3: windows of two seconds, six seconds at most."""
    tokens = qwen_tokenizer(*FLAMINGO)
    config = hf.AudioFlamingo3Config(
        text_config=text(model_type="qwen2"),
        audio_config={"model_type": "audioflamingo3_encoder", **WHISPER},
        audio_token_id=tokens.convert_tokens_to_ids("<sound>"),
    )
    processor = hf.AudioFlamingo3Processor(
        feature_extractor=_mel(),
        tokenizer=tokens,
        chat_template=_template("<sound>"),
        max_audio_len=6,
    )
    save(folder, hf.AudioFlamingo3ForConditionalGeneration(config), processor)


def build_musicflamingo(folder: Path) -> None:
    """Save a Music Flamingo: Audio Flamingo's encoder, with times in its rotary embedding."""
    tokens = qwen_tokenizer(*FLAMINGO)
    sound, begin, end = map(tokens.convert_tokens_to_ids, FLAMINGO)
    config = hf.MusicFlamingoConfig(
        text_config=text(model_type="qwen2"),
        audio_config={"model_type": "audioflamingo3_encoder", **WHISPER},
        audio_token_id=sound,
        audio_bos_token_id=begin,
        audio_eos_token_id=end,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 1200.0,
            "partial_rotary_factor": 0.5,
        },
    )
    processor = hf.MusicFlamingoProcessor(
        feature_extractor=_mel(),
        tokenizer=tokens,
        chat_template=_template("<sound>"),
        max_audio_len=6,
    )
    save(folder, hf.MusicFlamingoForConditionalGeneration(config), processor)


def build_glmasr(folder: Path) -> None:
    """Save a GLM-ASR: rotary positions in the encoder, four frames a token."""
    tokens = qwen_tokenizer(*GLM)
    config = hf.GlmAsrConfig(
        text_config=text(model_type="llama"),
        audio_config={
            "model_type": "glmasr_encoder",
            "hidden_size": 16,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_mel_bins": 8,
            "max_position_embeddings": 100,
        },
        audio_token_id=tokens.convert_tokens_to_ids("<|pad|>"),
        tie_word_embeddings=False,
    )
    processor = hf.GlmAsrProcessor(
        feature_extractor=_mel(),
        tokenizer=tokens,
        chat_template=_template("".join(GLM)),
        audio_token="<|pad|>",
        max_audio_len=6,
    )
    save(folder, hf.GlmAsrForConditionalGeneration(config), processor)


def build_moss_transcribe_diarize(folder: Path) -> None:
    """Save a MOSS Transcribe Diarize: numbers of seconds between the tokens of a sound."""
    tokens = qwen_tokenizer(*MOSS)
    config = hf.MossTranscribeDiarizeConfig(
        text_config=text(model_type="qwen3", head_dim=HIDDEN // 4),
        audio_config={"model_type": "moss_transcribe_diarize_audio", **WHISPER},
        audio_token_id=tokens.convert_tokens_to_ids("<|audio_pad|>"),
        audio_chunk_size=32_000,
        tie_word_embeddings=False,
    )
    processor = hf.MossTranscribeDiarizeProcessor(
        feature_extractor=hf.MossTranscribeDiarizeFeatureExtractor(feature_size=8, chunk_length=2),
        tokenizer=tokens,
        chat_template=_template("".join(MOSS)),
    )
    save(folder, hf.MossTranscribeDiarizeForConditionalGeneration(config), processor)


def build_voxtral(folder: Path) -> None:
    """Save a Voxtral: Mistral's own tokenizer of single bytes, windows of thirty seconds."""
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer  # see `just sounds`

    control = [token["token_str"] for token in Tekkenizer.DEPRECATED_SPECIAL_TOKENS]
    control += [VOXTRAL.get(number, f"<SPECIAL_{number}>") for number in range(len(control), 40)]
    tokens = {
        "config": {
            "pattern": r"\S+|\s+",
            "num_vocab_tokens": 256,
            "default_vocab_size": 256 + len(control),
            "default_num_special_tokens": len(control),
            "version": "v7",
        },
        "vocab": [
            {"rank": n, "token_bytes": b64encode(bytes([n])).decode(), "token_str": None}
            for n in range(256)
        ],
        "special_tokens": [
            {"rank": n, "token_str": token, "is_control": True} for n, token in enumerate(control)
        ],
        "audio": {
            "sampling_rate": 16_000,
            "frame_rate": 12.5,
            "audio_encoding_config": {"num_mel_bins": 8, "hop_length": 160, "window_size": 400},
            "chunk_length_s": 30.0,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tekken.json").write_text(json.dumps(tokens))
    whisper = WHISPER | {"max_source_positions": 1500, "intermediate_size": 64}
    config = hf.VoxtralConfig(
        text_config=text(model_type="llama", head_dim=HIDDEN // 4),
        audio_config={"model_type": "voxtral_encoder", **whisper},
        audio_token_id=control.index("[AUDIO]"),
    )
    processor = hf.VoxtralProcessor(
        hf.WhisperFeatureExtractor(feature_size=8), hf.MistralCommonBackend.from_pretrained(folder)
    )
    save(folder, hf.VoxtralForConditionalGeneration(config), processor)
