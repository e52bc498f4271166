"""The form of a prompt where a checkpoint has no chat template: `Question: {prompt} Answer:`.

A form becomes a chat template, so that everything after it is as in other models: images at their
marks, control tokens as plain text, answers, demonstrations.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savs.foundation.files import read_regular_text
from savs.pipeline.errors import ModelError

PROMPT, IMAGE = "{prompt}", "{image}"
EXAMPLE = f"'Question: {PROMPT} Answer:'"
ONE_IMAGE = "this model takes one image, before the text"
"""What a template says of other prompts, where the processor itself puts the image in front."""
ONE_IN_FRONT = (
    "{% set found = namespace(images=0) %}"
    "{% for turn in messages if turn['content'] is not string %}{% for part in turn['content'] %}"
    "{% if part['type'] == 'image' %}{% set found.images = found.images + 1 %}{% endif %}"
    "{% endfor %}{% endfor %}{% if found.images > 1 or"
    " (found.images and messages[0]['content'][0]['type'] != 'image') %}{{ raise_exception("
    + json.dumps(ONE_IMAGE)
    + ") }}{% endif %}"
)
_NAMED = re.compile(r"\{\w*\}")


@dataclass(frozen=True, slots=True)
class PromptForm:
    """A text with `{prompt}` once, and at most one `{image}`, where a prompt's images stand.

    Without that they stand in the prompt, as in its pieces.
    """

    text: str
    answer_space: str | None = None
    """What is between a prompt and its answer; by default a space, unless the text ends in one."""

    def __post_init__(self) -> None:
        names = _NAMED.findall(self.text)
        unknown = [name for name in names if name not in (PROMPT, IMAGE)]
        if unknown or names.count(PROMPT) != 1 or names.count(IMAGE) > 1:
            what = f", found {unknown[0]}" if unknown else ""
            raise ModelError(
                f"`prompt_template` is {self.text!r}, expected {PROMPT} once, and {IMAGE} at most"
                f" once{what}; write it like {EXAMPLE}"
            )

    def chat_template(self, image: str | None, start: str = "") -> str:
        """Return the form as a chat template, in which each turn of the user has it.

        `image` is what the model reads for an image, None if its processor puts it in front;
        `start` is what begins a conversation, in Jinja. ModelError if the form has `{image}`, and
        the processor puts the image in front.
        """
        has_place = IMAGE in self.text
        if image is None and has_place:
            raise ModelError(
                f"`prompt_template` has {IMAGE}, but the processor of this model puts the image in"
                f" front of the text by itself; leave {IMAGE} out"
            )
        parts = self.text.split(PROMPT)
        space = self.answer_space
        if space is None:
            space = "" if parts[1][-1:].isspace() else " "
        mark = _literal(image or "")
        images = "{% for part in turn['content'] if part['type'] == 'image' %}" + mark
        images += "{% endfor %}"
        before, after = (images.join(map(_literal, part.split(IMAGE))) for part in parts)
        return (
            ("" if image is not None else ONE_IN_FRONT)
            + start
            + "{% for turn in messages %}{% if turn['role'] == 'user' %}"
            + before
            + _pieces("" if has_place else mark)
            + after
            + "{% else %}"
            + _literal(space)
            + _pieces("")
            + _literal("\n")
            + "{% endif %}{% endfor %}"
        )


BUILT_IN = {
    # transformers, docstring of Blip2ForConditionalGeneration: "Question: how many cats are there?
    # Answer:"; BLIP-2, arXiv 2301.12597, section 4.1, has the same for OPT
    "blip-2": PromptForm("Question: {prompt} Answer:"),
    # model card of adept/fuyu-8b: "What color is the bus?\n"; the processor puts the token that
    # begins an answer after it
    "fuyu": PromptForm("{prompt}\n"),
    # transformers, docstring of InstructBlipForConditionalGeneration, and projects/instructblip of
    # LAVIS: the question alone, "What is unusual about this image?"
    "instructblip": PromptForm("{prompt}"),
    # model card of microsoft/kosmos-2-patch14-224, "Grounded VQA": "<grounding> Question: What is
    # special about this image? Answer:"
    "kosmos-2": PromptForm("<grounding> Question: {prompt} Answer:"),
    # ai.google.dev/gemma/docs/paligemma/prompt-system-instructions: the image first, then "answer
    # {lang} {question}\n"; the processor ends the prompt with the line break
    "paligemma": PromptForm("{image}answer en {prompt}", answer_space=""),
}
"""Type of a model -> the form of a question in its documentation, which stands above each."""
NEEDS_IMAGE = ("blip-2", "fuyu", "instructblip", "kosmos-2", "paligemma")
"""Types of models that take no prompt without an image: their forward pass or processor does not,
or the processor ends it in another way (Fuyu, without the token that begins an answer)."""
IN_FRONT = ("blip-2", "fuyu", "instructblip", "kosmos-2")
"""Types of models whose processors put the one image in front of the text themselves."""


def find_form(template: str | Path | None, model_type: str, processor: Any) -> PromptForm | None:
    """Return the given form, or a built-in one without a template; ModelError for no form."""
    built_in = BUILT_IN.get(model_type)
    if template is not None:
        form = parse_form(template)
        return built_in if built_in and built_in.text == form.text else form
    return built_in if getattr(processor, "chat_template", None) is None else None


def parse_form(template: str | Path) -> PromptForm:
    """Return a form from its text, or from a file that holds it; see `find_form`."""
    text = str(template)
    if PROMPT in text:
        return PromptForm(text)
    try:
        content = read_regular_text(Path(text))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"`prompt_template` is {text!r}, which has no {PROMPT}, and is no text file"
            f" ({error}); write it like {EXAMPLE}, or give a file with such a text"
        ) from error
    return PromptForm(content.removesuffix("\n"))


def begin_text(tokenizer: Any) -> str:
    """Return what begins a conversation: tokenizers add it to a text, and not to a chat."""
    first = tokenizer.encode("")[:1]
    return "{{ bos_token }}" if first and first[0] == tokenizer.bos_token_id else ""


def _pieces(mark: str) -> str:
    """Return a turn's text, and `mark` for each image, in Jinja."""
    return (
        "{% if turn['content'] is string %}{{ turn['content'] }}{% else %}"
        "{% for part in turn['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
        "{% else %}" + mark + "{% endif %}{% endfor %}{% endif %}"
    )


def _literal(text: str) -> str:
    return "{{ " + json.dumps(text, ensure_ascii=False) + " }}" if text else ""
