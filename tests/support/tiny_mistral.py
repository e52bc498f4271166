"""Tiny checkpoints of the Mistral families, with a Pixtral tower."""

from pathlib import Path
from typing import Any

import transformers as hf
from tiny_parts import save, text, tokenizer, tower

SPECIAL = ("<pad>", "<s>", "</s>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]")
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[INST]"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}[IMG]{% else %}{{ c['text'] }}"
    "{% endif %}{% endfor %}[/INST]{% endfor %}"
)


def _config() -> dict[str, Any]:
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return {
        "text_config": text(model_type="mistral", head_dim=20, **ids),
        "vision_config": tower("pixtral", image_size=56, head_dim=16),
        "image_token_index": SPECIAL.index("[IMG]"),
        "vision_feature_layer": -1,
    }


def _processor(merge: int) -> hf.PixtralProcessor:
    return hf.PixtralProcessor(
        image_processor=hf.PixtralImageProcessor(
            size={"longest_edge": 56}, patch_size={"height": 14, "width": 14}
        ),
        tokenizer=tokenizer(SPECIAL, pad="<pad>", bos="<s>", eos="</s>"),
        patch_size=14,
        spatial_merge_size=merge,
        chat_template=TEMPLATE,
    )


def build_mistral3(folder: Path) -> None:
    """Save a Mistral Small 3.1: images of any shape, a token at the end of each of their rows."""
    config = hf.Mistral3Config(**_config(), spatial_merge_size=2)
    save(folder, hf.Mistral3ForConditionalGeneration(config), _processor(2))


def build_pixtral(folder: Path) -> None:
    """Save a Pixtral: a LLaVA with its tower and Mistral's prompt form."""
    config = hf.LlavaConfig(**_config(), vision_feature_select_strategy="full")
    save(folder, hf.LlavaForConditionalGeneration(config), _processor(1))
