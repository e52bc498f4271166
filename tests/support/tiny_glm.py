"""Tiny checkpoints of the GLM families."""

from pathlib import Path

from tiny_parts import HIDDEN, save, text, tokenizer
from transformers import (
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    Glm4vImageProcessor,
    Glm4vProcessor,
    Glm4vVideoProcessor,
)

SPECIAL = (
    "<|endoftext|>",
    "[gMASK]",
    "<sop>",
    "<|user|>",
    "<|assistant|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
    "<|image|>",
    "<|video|>",
)
TEMPLATE = (
    "[gMASK]<sop>\n{% for m in messages %}<|{{ m['role'] }}|>\n"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|begin_of_image|><|image|><|end_of_image|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def build_glm4v(folder: Path) -> None:
    """Save a GLM-4.1V."""
    config = Glm4vConfig(
        text_config=text(
            eos_token_id=0,
            rope_parameters={
                "rope_type": "default",
                "rope_theta": 1e4,
                "mrope_section": [2, 2, 2],
                "partial_rotary_factor": 1.0,
            },
        ),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "out_hidden_size": HIDDEN,
            "intermediate_size": 48,
            "num_heads": 2,
            "image_size": 56,
            "patch_size": 14,
        },
        image_token_id=SPECIAL.index("<|image|>"),
        video_token_id=SPECIAL.index("<|video|>"),
        image_start_token_id=SPECIAL.index("<|begin_of_image|>"),
        image_end_token_id=SPECIAL.index("<|end_of_image|>"),
        video_start_token_id=SPECIAL.index("<|begin_of_video|>"),
        video_end_token_id=SPECIAL.index("<|end_of_video|>"),
    )
    pixels = {"shortest_edge": 28 * 28, "longest_edge": 2 * 112 * 112}  # of two frames
    processor = Glm4vProcessor(
        image_processor=Glm4vImageProcessor(size=pixels),
        tokenizer=tokenizer(SPECIAL, pad="<|endoftext|>", eos="<|endoftext|>"),
        video_processor=Glm4vVideoProcessor(),
        chat_template=TEMPLATE,
    )
    save(folder, Glm4vForConditionalGeneration(config), processor)


BUILDERS = {"glm4v": build_glm4v}
