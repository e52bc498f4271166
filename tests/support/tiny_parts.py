"""What the tiny random checkpoints of all families share: sizes, tokenizer, saving."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

LAYERS, HEADS, HIDDEN = 3, 4, 48
HEAD_DIM = HIDDEN // HEADS
WIDTHS = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
"""Of a tiny vision tower."""
GRID = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2}
"""The same by the names of towers of grids of patches."""
ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
TEXT = "{{ c['text'] }}"
SQUARE: dict[str, Any] = {"height": 28, "width": 28}
CROPPED: dict[str, Any] = {"size": {"shortest_edge": 28}, "crop_size": SQUARE}


def words(line: str) -> list[str]:
    """Return the special tokens of a family, which a text separates by spaces."""
    return line.split()


def tokenizer(
    special: Sequence[str],
    *,
    pad: str,
    eos: str,
    bos: str | None = None,
    named: dict[str, str] | None = None,
) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer without merges: one token a byte.

    Special tokens have the ids 0, 1, 2 ... in their order. With `bos` it adds that token, as the
    tokenizers of such families do; `named` become attributes that some processors read.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    given: dict[str, Any] = dict(named or {})
    if bos is not None:
        given["bos_token"] = bos
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=None, special_tokens=[(bos, vocabulary[bos])]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=eos,
        pad_token=pad,
        additional_special_tokens=list(special),
        padding_side="right",  # as several published checkpoints have it
        **given,
    )


def llama_tokenizer(special: Sequence[str], **more: Any) -> PreTrainedTokenizerFast:
    """Return a tokenizer with the names of Llama's special tokens."""
    return tokenizer(special, pad="<pad>", bos="<s>", eos="</s>", **more)


def text(**more: Any) -> dict[str, Any]:
    """Return the configuration of a tiny language decoder."""
    return {
        "vocab_size": 320,
        "hidden_size": HIDDEN,
        "intermediate_size": 64,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 0,
        **more,
    }


def tower(model_type: str, **more: Any) -> dict[str, Any]:
    """Return the configuration of a tiny vision tower: 28 x 28 px in patches of 14 x 14."""
    return {"model_type": model_type, **WIDTHS, "image_size": 28, "patch_size": 14, **more}


def template(
    image: str,
    start: str,
    end: str,
    ask: str = "",
    *,
    video: str = "",
    audio: str = "",
    text: str = TEXT,
) -> str:
    """Return a chat template: a message is between `start` and `end`, the answer begins with `ask`.

    It puts `image`, `video`, `audio` and `text` at the places of these; it knows no `video` and no
    `audio` without.
    """
    sounds = "{% elif c['type'] == 'audio' %}" + audio if audio else ""
    videos = "{% elif c['type'] == 'video' %}" + video if video else ""
    asked = "{% if add_generation_prompt %}" + ask + "{% endif %}" if ask else ""
    return (
        "{% for m in messages %}" + start + "{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}"
        + image
        + videos
        + sounds
        + "{% else %}"
        + text
        + "{% endif %}"
        "{% endfor %}" + end + "{% endfor %}" + asked
    )


def save(folder: Path, model: Any, processor: Any) -> None:
    """Save a checkpoint, its weights wide enough that heads differ."""
    with torch.no_grad():
        for weight in model.parameters():  # the usual 0.02 leaves heads that barely differ
            if weight.ndim > 1:
                inputs = weight[0].numel() if weight.ndim == 4 else weight.shape[-1]  # of images
                weight.normal_(std=inputs**-0.5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """Return an image of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
