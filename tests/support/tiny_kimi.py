"""Tiny checkpoints of the Kimi families."""

from pathlib import Path

from tiny_parts import HEAD_DIM, save, text, tokenizer
from transformers import (
    Kimi_K25Config,
    Kimi_K25ForConditionalGeneration,
    Kimi_K25ImageProcessor,
    Kimi_K25Processor,
    Kimi_K25VideoProcessor,
)

SPECIAL = (
    "[PAD]",
    "[BOS]",
    "<|im_end|>",
    "<|im_user|>",
    "<|im_assistant|>",
    "<|im_middle|>",
    "<|media_begin|>",
    "<|media_content|>",
    "<|media_pad|>",
    "<|media_end|>",
    "<|kimi_k25_video_placeholder|>",
)
TEMPLATE = (
    "{% for m in messages %}<|im_{{ m['role'] }}|>{{ m['role'] }}<|im_middle|>"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|media_begin|>image<|media_content|><|media_pad|><|media_end|>{% else %}{{ c['text'] }}"
    "{% endif %}{% endfor %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_assistant|>assistant<|im_middle|>{% endif %}"
)


def build_kimi_k25(folder: Path) -> None:
    """Save a Kimi K2.5: latent attention and experts in DeepSeek-V3's decoder."""
    config = Kimi_K25Config(
        text_config=text(
            model_type="deepseek_v3",
            num_key_value_heads=4,
            q_lora_rank=None,
            kv_lora_rank=16,
            qk_rope_head_dim=8,
            qk_nope_head_dim=8,
            v_head_dim=HEAD_DIM,
            head_dim=8,
            moe_intermediate_size=16,
            n_routed_experts=4,
            n_group=1,
            topk_group=1,
            num_experts_per_tok=2,
            first_k_dense_replace=1,
            bos_token_id=1,
        ),
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "pos_emb_height": 8,
            "pos_emb_width": 8,
        },
        projection_hidden_size=32,
        image_token_id=SPECIAL.index("<|media_pad|>"),
        video_token_id=SPECIAL.index("<|kimi_k25_video_placeholder|>"),
        vision_start_token_id=SPECIAL.index("<|media_begin|>"),
        vision_end_token_id=SPECIAL.index("<|media_end|>"),
        tie_word_embeddings=False,
    )
    processor = Kimi_K25Processor(
        image_processor=Kimi_K25ImageProcessor(max_patches=64),
        tokenizer=tokenizer(SPECIAL, pad="[PAD]", eos="<|im_end|>"),
        video_processor=Kimi_K25VideoProcessor(),
        chat_template=TEMPLATE,
    )
    save(folder, Kimi_K25ForConditionalGeneration(config), processor)


BUILDERS = {"kimi_k25": build_kimi_k25}
