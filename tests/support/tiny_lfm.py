"""Tiny checkpoints of the LFM families."""

from pathlib import Path

import transformers as hf
from tiny_parts import save, text, tokenizer

SPECIAL = (
    "<|pad|>",
    "<|startoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<image>",
    "<|image_start|>",
    "<|image_end|>",
    "<|img_thumbnail|>",
    *(f"<|img_row_{row}_col_{column}|>" for row in range(1, 4) for column in range(1, 4)),
)
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}"
    "{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_lfm2_vl(folder: Path) -> None:
    """Save an LFM2-VL: attention in the second and the last of four layers, else convolutions."""
    config = hf.Lfm2VlConfig(
        text_config=text(
            model_type="lfm2",
            num_hidden_layers=4,
            layer_types=["conv", "full_attention"] * 2,
            bos_token_id=1,
            eos_token_id=3,
        ),
        vision_config={
            "model_type": "siglip2_vision_model",
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "patch_size": 7,
            "num_patches": 16,
            "vision_use_head": False,
        },
        image_token_id=SPECIAL.index("<image>"),
        projector_hidden_size=64,
        downsample_factor=2,
    )
    processor = hf.Lfm2VlProcessor(
        image_processor=hf.Lfm2VlImageProcessor(
            size={"height": 28, "width": 28},
            tile_size=28,
            encoder_patch_size=7,
            min_image_tokens=2,
            max_image_tokens=4,
            max_tiles=3,
        ),
        tokenizer=tokenizer(SPECIAL, pad="<|pad|>", bos="<|startoftext|>", eos="<|im_end|>"),
        chat_template=TEMPLATE,
    )
    save(folder, hf.Lfm2VlForConditionalGeneration(config), processor)
