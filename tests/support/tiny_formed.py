"""Tiny checkpoints of families whose published checkpoints have no chat template."""

import re
from pathlib import Path
from typing import Any

import transformers as hf
from tiny_parts import CROPPED, ENDS, SQUARE, WIDTHS, llama_tokenizer, save, text, tower
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

QUERIES = 4
SPECIAL = ("<pad>", "<s>", "</s>", "<image>")
FUYU = ("|SPEAKER|", "|NEWLINE|", "<0x04>", "\u00e2\u0138\u0123")
"""The last is the underscore before a text, byte by byte."""


def _fuyu_tokenizer() -> hf.PreTrainedTokenizerFast:
    """Return one that begins each text with an underscore, which Fuyu's processor takes off."""
    words = llama_tokenizer((*SPECIAL[:3], *FUYU))
    core = Tokenizer(models.BPE(vocab=words.get_vocab(), merges=[], ignore_merges=True))
    core.normalizer = normalizers.Prepend("\u2581")
    own = Regex("|".join(map(re.escape, ("\u2581", *FUYU))))
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(own, "isolated"), letters])
    core.decoder = words.backend_tokenizer.decoder
    core.post_processor = words.backend_tokenizer.post_processor
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def _q_former(text_config: dict[str, Any], tower_type: str, qformer: str) -> dict[str, Any]:
    return {
        "text_config": text_config,
        "vision_config": tower(tower_type),
        "qformer_config": {
            "model_type": qformer,
            "vocab_size": 320,
            **WIDTHS,
            "encoder_hidden_size": 32,
            "cross_attention_frequency": 1,
        },
        "num_query_tokens": QUERIES,
        "image_token_index": SPECIAL.index("<image>"),
    }


def build_blip_2(folder: Path) -> None:
    """Save a BLIP-2: a Q-Former between its tower and OPT."""
    decoder = {
        "model_type": "opt",
        "ffn_dim": 64,
        "word_embed_proj_dim": 48,
        **text(**ENDS),
    }
    config = hf.Blip2Config(**_q_former(decoder, "blip_2_vision_model", "blip_2_qformer"))
    processor = hf.Blip2Processor(
        hf.BlipImageProcessor(size=SQUARE), llama_tokenizer(SPECIAL), QUERIES
    )
    save(folder, hf.Blip2ForConditionalGeneration(config), processor)


def build_instructblip(folder: Path) -> None:
    """Save an InstructBLIP: a Q-Former that reads the prompt, too, and Llama."""
    decoder = text(model_type="llama", **ENDS)
    config = hf.InstructBlipConfig(
        **_q_former(decoder, "instructblip_vision_model", "instructblip_qformer")
    )
    processor = hf.InstructBlipProcessor(
        hf.BlipImageProcessor(size=SQUARE),
        llama_tokenizer(SPECIAL),
        llama_tokenizer(SPECIAL),
        QUERIES,
    )
    save(folder, hf.InstructBlipForConditionalGeneration(config), processor)


def build_paligemma(folder: Path) -> None:
    """Save a PaliGemma: Gemma, whose prompt attends to itself in both directions."""
    config = hf.PaliGemmaConfig(
        text_config=text(model_type="gemma", head_dim=12, **ENDS),
        vision_config=tower("siglip_vision_model", vision_use_head=False, projection_dim=48),
        projection_dim=48,
        image_token_index=SPECIAL.index("<image>"),
    )
    images = hf.SiglipImageProcessor(size=SQUARE)
    images.image_seq_length = 4
    save(
        folder,
        hf.PaliGemmaForConditionalGeneration(config),
        hf.PaliGemmaProcessor(images, llama_tokenizer(SPECIAL)),
    )


def build_kosmos_2(folder: Path) -> None:
    """Save a Kosmos-2: latent queries of its tower in the places of 64 tokens."""
    words = llama_tokenizer((*SPECIAL[:3], "<unk>"), named={"unk_token": "<unk>"})
    processor = hf.Kosmos2Processor(hf.CLIPImageProcessor(**CROPPED), words, 16)
    config = hf.Kosmos2Config(
        text_config={
            "vocab_size": len(words),
            "embed_dim": 48,
            "layers": 3,
            "ffn_dim": 64,
            "attention_heads": 4,
            "max_position_embeddings": 2048,
            **ENDS,
        },
        vision_config=tower("kosmos_2_vision_model"),
        latent_query_num=64,
    )
    save(folder, hf.Kosmos2ForConditionalGeneration(config), processor)


def build_fuyu(folder: Path) -> None:
    """Save a Fuyu: patches go straight into Persimmon."""
    words = _fuyu_tokenizer()
    patch: dict[str, Any] = {"height": 14, "width": 14}
    images = hf.FuyuImageProcessor(size={"height": 56, "width": 84}, patch_size=patch)
    config = hf.FuyuConfig(
        text_config=text(model_type="persimmon", **ENDS),
        patch_size=14,
        image_token_id=words.convert_tokens_to_ids("|SPEAKER|"),
    )
    save(folder, hf.FuyuForCausalLM(config), hf.FuyuProcessor(images, words))
