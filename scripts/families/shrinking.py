"""A small configuration of any architecture: the same structure, few and narrow layers."""

import copy
from typing import Any

SMALL: dict[str, Any] = {
    "hidden_size": 64, "d_model": 64, "dim": 64, "n_embd": 64, "embed_dim": 64,
    "intermediate_size": 96, "ffn_dim": 96, "d_ff": 96, "mlp_dim": 96, "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32,
    "intermediate_size_mlp": 96, "ffn_hidden_size": 96,
    "num_hidden_layers": 4, "num_layers": 2, "n_layer": 2, "depth": 2, "encoder_layers": 2,
    "decoder_layers": 2, "n_layers": 2, "num_nextn_predict_layers": 0,
    "num_attention_heads": 4, "num_heads": 4, "n_head": 4, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "attention_heads": 4,
    "num_key_value_heads": 2, "num_kv_heads": 2, "head_dim": 16, "global_head_dim": 16,
    "vocab_size": 512, "max_position_embeddings": 512, "image_size": 56, "patch_size": 14,
    "out_hidden_size": 64, "projection_dim": 64, "text_hidden_size": 64,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "moe_num_experts": 4,
    "num_experts_per_tok": 2, "moe_k": 2, "moe_topk": 2, "n_shared_experts": 1,
    "q_lora_rank": 32, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
    "v_head_dim": 16, "sliding_window": 64, "vocab_size_per_layer_input": 512,
    "hidden_size_per_layer_input": 16, "num_kv_shared_layers": 0, "laurel_rank": 8,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
"""Attribute, wherever it is in a configuration -> its small value."""
PER_LAYER = ("layer_types", "mlp_layer_types", "layers_block_type")
"""Lists with one value a layer."""


ABSENT: dict[str, dict[str, Any]] = {
    "cohere_compass": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}}
    },
    "deepseek_ocr2": {
        "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
        "num_experts_per_tok": 2,
    },
    "hunyuan_vl": {"head_dim": 16},
    "qwen4_exp": {
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 16,
        "indexer_budget": 64,
        "indexer_compress_ratio": 4,
        "output_gate_type": "swish",
    },
    "step3p7": {"sliding_window": 64},
}
"""Family -> what only checkpoints have in the configuration of their language models."""


def shrink(config: Any) -> Any:
    """Return a small copy of a configuration; parts that it does not know stay as they are."""
    small = copy.deepcopy(config)
    _shrink(small)
    for name, value in ABSENT.get(config.model_type, {}).items():
        setattr(small.get_text_config(), name, value)
    return small


def _shrink(config: Any) -> None:
    for name, value in list(vars(config).items()):
        if hasattr(value, "to_dict"):
            _shrink(value)
        elif name == "rope_parameters" and isinstance(value, dict) and "rope_type" in value:
            half = int(SMALL["head_dim"] * value.get("partial_rotary_factor", 1)) // 2
            sections = [half // 4, half - half // 4 - half // 2, half // 2]
            setattr(config, name, value | {"mrope_section": sections})  # absent: a large default
        elif name in SMALL and value is not None:
            setattr(config, name, _like(value, SMALL[name]))
        elif name.endswith("token_id") and isinstance(value, int) and value >= SMALL["vocab_size"]:
            setattr(config, name, 500 + len(name) % 12)
    values = vars(config)  # what differs between layers is not there, and fails as an attribute
    if values.get("kv_lora_rank") and values.get("num_attention_heads"):  # latent attention
        rope = values.get("rope_parameters") or {}
        config.num_key_value_heads = values["num_attention_heads"]
        config.head_dim = int(values["qk_rope_head_dim"] / rope.get("partial_rotary_factor", 1))
    layers = getattr(config, "num_hidden_layers", None)
    for name in PER_LAYER:
        kinds = getattr(config, name, None)
        if isinstance(kinds, list) and layers and len(kinds) != layers:
            distinct = list(dict.fromkeys(kinds))
            setattr(config, name, [distinct[i % len(distinct)] for i in range(layers)])


def _like(old: Any, new: Any) -> Any:
    """Return the small value in the form of the old one: a list stays a list."""
    return [new] * min(len(old), 2) if isinstance(old, list | tuple) else new
