"""Tiny checkpoints of the Idefics families."""

from pathlib import Path
from typing import Any

import transformers as hf
from chat_templates import IDEFICS2, SMOLVLM
from tiny_parts import HIDDEN, save, text, tokenizer, tower

START = {
    "idefics2": "<|begin_of_text|>",
    "idefics3": "<|begin_of_text|>",
    "smolvlm": "<|im_start|>",
}
SPECIAL = (
    "<pad>",
    "<|begin_of_text|>",
    "<|im_start|>",
    "<end_of_utterance>",
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
)
IDS = {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}
SIZES = {"size": {"longest_edge": 56}, "max_image_size": {"longest_edge": 28}}


def _tokenizer(family: str) -> hf.PreTrainedTokenizerFast:
    return tokenizer(SPECIAL, pad="<pad>", bos=START[family], eos="<end_of_utterance>")


def _config(tower_type: str) -> dict[str, Any]:
    return {
        "text_config": text(model_type="llama", **IDS),
        "vision_config": tower(tower_type, patch_size=7),
        "image_token_id": SPECIAL.index("<image>"),
        "scale_factor": 2,
        "pad_token_id": 0,
    }


def build_idefics2(folder: Path) -> None:
    """Save an Idefics2: a perceiver with layers of its own between tower and Mistral decoder."""
    config = hf.Idefics2Config(
        text_config=text(model_type="mistral", **IDS),
        vision_config={**tower("idefics2_vision"), "image_size": 56},
        perceiver_config={
            "hidden_size": HIDDEN,
            "resampler_n_latents": 4,
            "resampler_depth": 1,
            "resampler_n_heads": 2,
            "resampler_head_dim": 8,
            "num_key_value_heads": 1,
        },
        image_token_id=SPECIAL.index("<image>"),
    )
    processor = hf.Idefics2Processor(
        image_processor=hf.Idefics2ImageProcessor(
            size={"shortest_edge": 28, "longest_edge": 56}, do_image_splitting=False
        ),
        tokenizer=_tokenizer("idefics2"),
        image_seq_len=4,
        chat_template=IDEFICS2,
    )
    save(folder, hf.Idefics2ForConditionalGeneration(config), processor)


def build_idefics3(folder: Path) -> None:
    """Save an Idefics3: images cut into tiles whose rows and columns are named in the text."""
    processor = hf.Idefics3Processor(
        image_processor=hf.Idefics3ImageProcessor(**SIZES),
        tokenizer=_tokenizer("idefics3"),
        image_seq_len=4,
        chat_template=SMOLVLM.replace("<|im_start|>", START["idefics3"]),
    )
    model = hf.Idefics3ForConditionalGeneration(hf.Idefics3Config(**_config("idefics3_vision")))
    save(folder, model, processor)


def build_smolvlm(folder: Path) -> None:
    """Save a SmolVLM; its processor needs the package num2words."""
    processor = hf.SmolVLMProcessor(
        image_processor=hf.SmolVLMImageProcessor(**SIZES),
        tokenizer=_tokenizer("smolvlm"),
        video_processor=hf.SmolVLMVideoProcessor(**SIZES, num_frames=2, fps=1),
        image_seq_len=4,
        chat_template=SMOLVLM,
    )
    model = hf.SmolVLMForConditionalGeneration(hf.SmolVLMConfig(**_config("smolvlm_vision")))
    save(folder, model, processor)
