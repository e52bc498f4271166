"""The tokens of labels as the model would write them: behind the prompt, closed by the end of turn.

The end of turn counts: without it a label would never lose to one that it begins, such as `grass`
to `grassland`.
"""

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.image_places import template_errors
from savs.pipeline.extraction.model.pieces import Pieces
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder


def label_tokens(
    encoder: PromptEncoder, labels: Sequence[str], example: Pieces = ("?",)
) -> dict[str, tuple[int, ...]]:
    """Return each label's tokens as they follow a prompt, such as `example`, and the end of turn.

    Where the chat template shows an answer, white space before the label and the end of turn are
    the template's. Otherwise the label follows at once, and the tokenizer's end of text ends it.

    Raises
    ------
    ModelError
        The tokenizer joins a label's beginning with the end of the prompt, a label holds one of the
        model's control tokens or is empty, or nothing is known to end an answer.
    """
    encode = encoder.tokenizer.encode
    prompt = _prompt(encoder, example)
    before = encode(prompt, add_special_tokens=False)
    control = set(encoder.tokenizer.all_special_ids)
    found = {}
    for label in labels:
        written, end = _answer(encoder, prompt, label)
        tokens = encode(prompt + written, add_special_tokens=False)
        if tokens[: len(before)] != before:
            raise ModelError(
                f"the tokenizer joins label {label!r} with the end of the prompt, so its tokens are"
                " unknown; leave out --answers"
            )
        own = tokens[len(before) :]
        if not own or control.intersection(own):
            raise ModelError(
                f"label {label!r} has no tokens, or holds a control token of {encoder.name};"
                " rename it, or leave out --answers"
            )
        found[label] = (*own, end)
    return found


def end_tokens(encoder: PromptEncoder, generation: Any, example: Pieces = ("?",)) -> list[int]:
    """Return the tokens that end an answer which the model generates.

    `generation` is the model's generation configuration, None if it has none.
    """
    known = getattr(generation, "eos_token_id", None)
    listed = [known] if isinstance(known, int) else list(known or [])
    _, end = _answer(encoder, _prompt(encoder, example), "a")
    return list(dict.fromkeys([end, *map(int, listed)]))


def _answer(encoder: PromptEncoder, prompt: str, label: str) -> tuple[str, int]:
    """Return a label as it is written behind a prompt, and the token that ends the turn."""
    tokenizer = encoder.tokenizer
    shown = _shown(encoder, label) if encoder.code.to_inputs is None else None
    if shown is not None and label and shown.startswith(prompt):
        space, found, rest = shown[len(prompt) :].partition(label)
        if found and not space.strip():
            ids = tokenizer.encode(rest.lstrip(), add_special_tokens=False)[:1]
            ends = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
            if ids and ids[0] in ends:
                return space + label, int(ids[0])
            return space + label, _end_of_text(encoder)
    return label, _end_of_text(encoder)


def _end_of_text(encoder: PromptEncoder) -> int:
    if (end := encoder.tokenizer.eos_token_id) is None:
        raise ModelError(
            f"neither the chat template nor the tokenizer of {encoder.name} says what ends an"
            " answer; set eos_token in its tokenizer_config.json, or leave out --answers"
        )
    return int(end)


def _shown(encoder: PromptEncoder, label: str) -> str | None:
    """Return a turn with its answer in the chat template; None where that takes no answer."""
    turns = [_turn(encoder, "user", "?"), _turn(encoder, "assistant", label)]
    try:
        return encoder.processor.apply_chat_template(turns, tokenize=False)
    except (TemplateError, TypeError, KeyError, ValueError):
        return None


def _prompt(encoder: PromptEncoder, example: Pieces) -> str:
    """Return the text of a prompt, with all that the model reads before its answer."""
    if encoder.code.to_inputs is not None:
        ids = encoder.encode([example])["input_ids"][0]
        return encoder.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    apply = encoder.processor.apply_chat_template
    with template_errors():
        return apply([_turn(encoder, "user", "?")], add_generation_prompt=True, tokenize=False)


def _turn(encoder: PromptEncoder, role: str, text: str) -> dict[str, Any]:
    is_plain = encoder.tokenizer is encoder.processor
    return {"role": role, "content": text if is_plain else [{"type": "text", "text": text}]}
