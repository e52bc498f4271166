"""What may be kept of the last token beside the heads: answer logits and the last hidden state."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from savs.pipeline.errors import ModelError

TOP = 64
"""Tokens of greatest logit that are kept beside those of the labels."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """What is kept of a forward pass beside the heads."""

    answers: Mapping[str, int] = field(default_factory=dict)
    """Label -> the first token of it as the model would write it."""
    hidden: int | None = None
    """Size of the last hidden state, if it is kept."""

    @property
    def wanted(self) -> bool:
        """Whether the forward pass must run to its end."""
        return bool(self.answers) or self.hidden is not None

    def of(self, logits: torch.Tensor, hidden: torch.Tensor) -> dict[str, np.ndarray[Any, Any]]:
        """Return what is kept of `(batch, vocabulary)` logits and `(batch, size)` hidden states."""
        kept = {}
        if self.answers:
            values = logits.float()
            top = values.topk(min(TOP, values.shape[1]), dim=1)
            tokens = torch.tensor(list(self.answers.values()), device=values.device)
            kept["answers"] = values[:, tokens].cpu().numpy()
            kept["top_logits"] = top.values.cpu().numpy()
            kept["top_tokens"] = top.indices.to(torch.int32).cpu().numpy()
        if self.hidden is not None:
            kept["hidden"] = stored(hidden)
        return kept

    def to_json(self) -> dict[str, Any]:
        """Return what a store's identity says of them."""
        found: dict[str, Any] = {"answers": dict(self.answers)} if self.answers else {}
        return found if self.hidden is None else found | {"hidden": self.hidden}


NO_OUTPUTS = Outputs()


def stored(values: torch.Tensor) -> np.ndarray[Any, Any]:
    """Return a tensor as it is stored: bfloat16 as its bits in uint16."""
    bits = values.contiguous().cpu()
    return (bits.view(torch.uint16) if bits.dtype == torch.bfloat16 else bits).numpy()


@contextmanager
def last_hidden_state(model: Any) -> Iterator[list[torch.Tensor]]:
    """Catch what goes into the output embeddings at the last position, `(batch, size)`."""
    caught: list[torch.Tensor] = []
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(
        lambda _m, inputs: caught.append(inputs[0][:, -1].clone())
    )
    try:
        yield caught
    finally:
        hook.remove()


def first_tokens(processor: Any, labels: Sequence[str]) -> dict[str, int]:
    """Return each label's first token as it would follow the generation prompt.

    Raises
    ------
    ModelError
        The tokenizer joins a label's beginning with the end of the prompt.
    """
    content: Any = [{"type": "text", "text": "?"}]
    turn = [{"role": "user", "content": content if hasattr(processor, "tokenizer") else "?"}]
    prompt = processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
    encode = getattr(processor, "tokenizer", processor).encode
    before = encode(prompt, add_special_tokens=False)
    found = {}
    for label in labels:
        tokens = encode(prompt + label, add_special_tokens=False)
        if tokens[: len(before)] != before or len(tokens) == len(before):
            raise ModelError(
                f"the tokenizer joins label {label!r} with the end of the prompt, so its first"
                " token is unknown; leave out --answers"
            )
        found[label] = tokens[len(before)]
    return found
