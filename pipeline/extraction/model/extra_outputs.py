"""What is kept of the last token beside the heads: the logits of the labels' first tokens."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.chat_template import template_errors
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model.prompts import Pieces

Answers = Mapping[str, int]
"""Label -> the first token of it as the model would write it; empty where no logits are kept."""
NO_ANSWERS: Answers = MappingProxyType({})


def first_tokens(
    encoder: PromptEncoder, labels: Sequence[str], example: Pieces = ("?",)
) -> dict[str, int]:
    """Return each label's first token as it would follow a prompt, such as `example`.

    Raises
    ------
    ModelError
        The tokenizer joins a label's beginning with the end of the prompt.
    """
    encode = encoder.tokenizer.encode
    prompt = _text(encoder, example)
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


def _text(encoder: PromptEncoder, example: Pieces) -> str:
    """Return the text of a prompt, with all that the model reads before its answer."""
    if encoder.code.to_inputs is not None:
        ids = encoder.encode([example])["input_ids"][0]
        return encoder.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    content: Any = [{"type": "text", "text": "?"}]
    is_plain = encoder.tokenizer is encoder.processor
    turn = [{"role": "user", "content": "?" if is_plain else content}]
    apply = encoder.processor.apply_chat_template
    with template_errors():
        return apply(turn, add_generation_prompt=True, tokenize=False)
