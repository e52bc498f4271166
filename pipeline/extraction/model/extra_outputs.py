"""What may be kept of the last token beside the heads: logits of the labels' first tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from savs.foundation.arrays import Array
from savs.pipeline.errors import ModelError


@dataclass(frozen=True, slots=True)
class Outputs:
    """What is kept of a forward pass beside the heads."""

    answers: Mapping[str, int] = field(default_factory=dict)
    """Label -> the first token of it as the model would write it."""

    @property
    def wanted(self) -> bool:
        """Whether the forward pass must run to its end."""
        return bool(self.answers)

    def of(self, logits: torch.Tensor) -> dict[str, Array]:
        """Return what is kept of `(batch, vocabulary)` logits."""
        tokens = torch.tensor(list(self.answers.values()), device=logits.device)
        return {"answers": logits.float()[:, tokens].cpu().numpy()}

    def to_json(self) -> dict[str, Any]:
        """Return what a store's identity says of them."""
        return {"answers": dict(self.answers)} if self.answers else {}


NO_OUTPUTS = Outputs()


def stored(values: torch.Tensor) -> Array:
    """Return a tensor as it is stored: bfloat16 as its bits in uint16."""
    bits = values.contiguous().cpu()
    return (bits.view(torch.uint16) if bits.dtype == torch.bfloat16 else bits).numpy()


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
