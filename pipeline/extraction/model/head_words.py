"""Words that a head writes: its direct contribution to the logits of the next token."""

from typing import Any

import torch

from savs.foundation.arrays import Array
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.stores import Head

NORMS = ("norm", "final_layernorm", "ln_f", "final_layer_norm")
"""What transformers calls the norm behind a decoder's last layer."""


def head_words(model: LoadedModel, head: Head, feature: Array, count: int = 10) -> tuple[str, ...]:
    """Return the tokens whose logits a head's output raises most, greatest first.

    The output goes through its slice of the output projection, the scale of the final norm, and the
    output embeddings. What later layers make of it is left out, so this is a hint, no cause.

    Parameters
    ----------
    model
        With all its heads.
    head
        Layer and head.
    feature
        `(head_dim,)` output of the head, or a mean of several.
    count
        How many tokens.

    Raises
    ------
    ModelError
        The model's parts are not found where they are in most architectures.
    """
    point = next(p for p in model.hook_points if p.grid.layer == head[0])
    start = point.grid.heads.index(head[1]) * point.grid.head_dim
    weight: Any = point.projection.weight
    embeddings = model.model.get_output_embeddings()
    scale = _final_scale(model)
    if embeddings is None or scale is None:
        raise ModelError(f"{model.name} has no final norm or no output embeddings to read words by")
    with torch.inference_mode():
        slice_ = weight[:, start : start + len(feature)].float()
        written = slice_ @ torch.as_tensor(feature, device=slice_.device)
        logits = embeddings.weight.float() @ (written * scale).to(embeddings.weight.device)
        found = logits.topk(count).indices.tolist()
    return tuple(model.encoder.tokenizer.decode([token]) for token in found)


def _final_scale(model: LoadedModel) -> torch.Tensor | None:
    """Return the scale of the final norm; Gemma's norms add one to theirs."""
    decoder = model.model.get_decoder()
    for name in NORMS:
        norm: Any = getattr(decoder, name, None)
        if isinstance(getattr(norm, "weight", None), torch.Tensor):
            scale = norm.weight.float()
            return scale + 1 if "Gemma" in type(norm).__name__ else scale
    return None
