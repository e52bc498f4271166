"""What is kept of the last token beside the heads: the logits of the labels' first tokens."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.prompts import template_errors

Answers = Mapping[str, int]
"""Label -> the first token of it as the model would write it; empty where no logits are kept."""
NO_ANSWERS: Answers = MappingProxyType({})


def first_tokens(processor: Any, labels: Sequence[str]) -> dict[str, int]:
    """Return each label's first token as it would follow the generation prompt.

    Raises
    ------
    ModelError
        The tokenizer joins a label's beginning with the end of the prompt.
    """
    content: Any = [{"type": "text", "text": "?"}]
    turn = [{"role": "user", "content": content if hasattr(processor, "tokenizer") else "?"}]
    with template_errors():
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
