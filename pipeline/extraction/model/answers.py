"""The model's own answers that a run keeps with the heads, and labels as tokens of an answer.

`Answers` is for a run, `AnswerQuery` for one batch. A label's tokens are those that the model would
write after the prompt, closed by the end of turn. The end of turn counts: without it a label would
never lose to one that it begins, such as `grass` to `grassland`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jinja2 import TemplateError
from transformers import GenerationConfig

from savs.datasets import Example
from savs.foundation.arrays import Array
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.prompts.media.inputs import Pieces
from savs.pipeline.prompts.media_places import template_errors
from savs.stores.format.layout import GENERATED_CHARACTERS, SPLITS, UNLABELLED

ANSWERS = "answers"
"""Output of `--answers labels`: `(rows, labels)` float32 log-likelihoods."""
ICL = "icl"
"""Output of `icl_shots`: as `answers`, after demonstrations."""
GENERATED = "generated"
"""Output of `--answers generate`: `(rows, GENERATED_CHARACTERS)` int32 code points."""
ASKED_SPLITS = (*SPLITS, UNLABELLED)
"""Splits whose rows are asked: others are texts of classes."""
MOST_GENERATED = 16
"""Tokens that are generated at most."""
CELLS = 4096
"""Positions of a cache that labels run after at once, where no run has measured more."""
TRIED = 8
"""Labels of a check."""
NATS = {"float32": 1e-3, "bfloat16": 3e-1, "float16": 3e-2}
"""Difference of a log-likelihood, a token, that rounding alone explains."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a run keeps of the model's own answers; false if it keeps nothing."""

    tokens: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Label -> its tokens as they follow a prompt, the end of turn last, see `label_tokens`."""
    labels_of: Mapping[str | None, tuple[int, ...]] = field(default_factory=dict)
    """Subtask -> its labels, by their place in `tokens`. Others are not asked about."""
    ends: tuple[int, ...] = ()
    """Tokens that end what the model generates; without any, nothing is generated."""
    demonstrated: Mapping[str, Any] = field(default_factory=dict)
    """What a store says of demonstrations; nothing if there are none."""
    whole: bool = False
    """Run each prompt again with each label, because caches change this model's answers."""
    cells: int = CELLS
    """Rows times positions of a cache after which labels run at once, at most."""

    def __bool__(self) -> bool:
        """Return whether anything is kept."""
        return bool(self.tokens or self.ends)

    def facts(self) -> dict[str, Any]:
        """Return what a store says of its outputs."""
        labels = {label: list(tokens) for label, tokens in self.tokens.items()}
        generated = {"tokens": MOST_GENERATED, "ends": list(self.ends)}
        by_output = {ANSWERS: labels, ICL: dict(self.demonstrated), GENERATED: generated}
        return {name: facts for name, facts in by_output.items() if name in self.room(0)}

    def room(self, rows: int) -> dict[str, Array]:
        """Return the outputs of rows that are not run yet: NaN, and no text."""
        outputs: dict[str, Array] = {}
        if self.tokens:
            outputs[ANSWERS] = np.full((rows, len(self.tokens)), np.nan, np.float32)
        if self.demonstrated:
            outputs[ICL] = outputs[ANSWERS].copy()
        if self.ends:
            outputs[GENERATED] = np.zeros((rows, GENERATED_CHARACTERS), np.int32)
        return outputs

    def context_of(self, split: str, subtask: str | None) -> int:
        """Return the number of the demonstrations of a row, -1 for none: those of training rows."""
        if split != "test" or not self.demonstrated or subtask not in self.labels_of:
            return -1
        return list(self.labels_of).index(subtask)

    def labels_for(self, split: str, subtask: str | None) -> tuple[int, ...]:
        """Return the labels that a row is asked about; none if the row is a text of a class."""
        return self.labels_of.get(subtask, ()) if split in ASKED_SPLITS else ()

    def generates_for(self, split: str) -> bool:
        """Return whether a row's answer is generated; not if the row is a text of a class."""
        return bool(self.ends) and split in ASKED_SPLITS

    def query(self, labels: Sequence[tuple[int, ...]], *, generates: bool = True) -> "AnswerQuery":
        """Return what is asked of a batch with these labels; only if it `generates` a text, too."""
        return AnswerQuery(self if generates else replace(self, ends=()), tuple(labels))

    def tried(self, count: int) -> "AnswerQuery":
        """Return what is asked of a few prompts that are tried: the first labels alone."""
        return self.query([tuple(range(min(TRIED, len(self.tokens))))] * count)


@dataclass(frozen=True, slots=True)
class AnswerQuery:
    """What is asked of the prompts of one batch in addition to their heads; false for nothing."""

    answers: Answers
    labels: tuple[tuple[int, ...], ...]
    """The labels of each prompt, by their place in `Answers.tokens`."""

    def __bool__(self) -> bool:
        """Return whether anything is asked."""
        return any(self.labels) or bool(self.answers.ends)

    @property
    def texts(self) -> list[tuple[int, ...]]:
        """The tokens of all labels of the run."""
        return list(self.answers.tokens.values())

    def most_rows(self, tokens: int) -> int:
        """Return how many labels run at once after prompts of up to some tokens."""
        numbers = {label for labels in self.labels for label in labels}
        longest = max((len(self.texts[label]) for label in numbers), default=0)
        return max(1, self.answers.cells // (tokens + longest))

    def pairs(self) -> list[tuple[int, int]]:
        """Return each prompt with each of its labels, labels of one length next to each other."""
        texts = self.texts
        pairs = [(row, label) for row, labels in enumerate(self.labels) for label in labels]
        return sorted(pairs, key=lambda pair: (len(texts[pair[1]]), pair))


NO_ANSWERS = Answers()
NOTHING = AnswerQuery(NO_ANSWERS, ())


def as_code_points(texts: Sequence[str]) -> Array:
    """Return texts as the output `generated` holds them, cut at `GENERATED_CHARACTERS`.

    Examples
    --------
    >>> as_code_points(["ab", ""])[:, :3].tolist()
    [[97, 98, 0], [0, 0, 0]]
    """
    clean = [text.replace("\0", "") for text in texts]
    whole = np.array(clean, dtype=f"<U{GENERATED_CHARACTERS}")
    return whole.view("<i4").reshape(len(clean), GENERATED_CHARACTERS)


def label_tokens(
    encoder: PromptEncoder, labels: Sequence[str], example: Pieces = ("?",)
) -> dict[str, tuple[int, ...]]:
    """Return each label's tokens as they follow a prompt, such as `example`, and the end of turn.

    Where the chat template shows an answer, white space before the label and the end of turn are
    the template's. Otherwise the label follows at once, and the tokenizer's end of text ends it.
    ModelError if the tokenizer joins a label's beginning with the end of the prompt, a label holds
    one of the model's control tokens or is empty, or nothing is known to end an answer.
    """
    encode = encoder.tokenizer.encode
    prompt = _prompt(encoder, example)
    before = encode(prompt, add_special_tokens=False)
    control = set(encoder.tokenizer.all_special_ids)
    label_ids: dict[str, tuple[int, ...]] = {}
    for label in labels:
        written, end = _answer(encoder, prompt, label)
        tokens = encode(prompt + written, add_special_tokens=False)
        if tokens[: len(before)] != before:
            raise ModelError(
                f"the tokenizer joins label {label!r} with the end of the prompt, so its tokens are"
                " unknown; leave out `answers`"
            )
        answer = tokens[len(before) :]
        if not answer or control.intersection(answer):
            raise ModelError(
                f"label {label!r} has no tokens, or holds a control token of {encoder.name};"
                " rename it, or leave out `answers`"
            )
        label_ids[label] = (*answer, end)
    return label_ids


def end_tokens(encoder: PromptEncoder, generation: Any, example: Pieces = ("?",)) -> list[int]:
    """Return the tokens that end a generated answer; `generation` has the model's settings."""
    known = getattr(generation, "eos_token_id", None)
    listed = [known] if isinstance(known, int) else list(known or [])
    _, end = _answer(encoder, _prompt(encoder, example), "a")
    return list(dict.fromkeys([end, *map(int, listed)]))


def _answer(encoder: PromptEncoder, prompt: str, label: str) -> tuple[str, int]:
    """Return a label as it is written after a prompt, and the token that ends the turn."""
    tokenizer = encoder.tokenizer
    conversation = ""
    if encoder.code.to_inputs is None:
        turns = [_turn(encoder, "user", "?"), _turn(encoder, "assistant", label)]
        with suppress(TemplateError, TypeError, KeyError, ValueError):  # it takes no answer
            conversation = encoder.processor.apply_chat_template(turns, tokenize=False)
    if label and conversation.startswith(prompt):
        space, written, rest = conversation[len(prompt) :].partition(label)
        if written and not space.strip():
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
            " answer; set eos_token in its tokenizer_config.json, or leave out `answers`"
        )
    return int(end)


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


def make_answers(
    run: RunOptions,
    loading: ModelOptions,
    encoder: PromptEncoder,
    asked: Sequence[tuple[str | None, str]],
    prompts: Sequence[Pieces],
    demonstrated: Mapping[str, Any],
) -> Answers:
    """Return what is kept of the model's own answers.

    `asked` are the labels with their subtasks, each pair once; `prompts` are some of the examples',
    see `label_tokens`; `demonstrated` is what a store records of demonstrations. ModelError if the
    tokens of a label are not known.
    """
    example = prompts[0] if prompts else ("?",)
    answers = Answers(demonstrated=demonstrated)
    if "labels" in run.answer_kinds:
        tokens = label_tokens(encoder, list(dict.fromkeys(label for _, label in asked)), example)
        places = {label: place for place, label in enumerate(tokens)}
        subtasks: dict[str | None, list[int]] = {}
        for subtask, label in asked:
            subtasks.setdefault(subtask, []).append(places[label])
        labels_of = {subtask: tuple(sorted(labels)) for subtask, labels in subtasks.items()}
        answers = replace(answers, tokens=tokens, labels_of=labels_of)
    if "generate" in run.answer_kinds:
        generation = None
        with suppress(OSError):  # a checkpoint may have none
            generation = GenerationConfig.from_pretrained(loading.path, **loading.source)
        answers = replace(answers, ends=tuple(end_tokens(encoder, generation, example)))
    return answers


def answer_note(answers: Answers, examples: Sequence[Example]) -> str:
    """Return a line on what answers cost in addition to the prompts."""
    parts = []
    if answers.tokens:
        texts, pairs, total = list(answers.tokens.values()), 0, 0
        for subtask, rows in Counter(example.subtask for example in examples).items():
            labels = answers.labels_of.get(subtask, ())
            pairs += rows * len(labels)
            total += rows * sum(len(texts[label]) - 1 for label in labels)
        each = [f"{number / len(examples):.1f}" for number in (pairs, total)]
        parts.append(f"{each[0]} labels an example, {each[1]} tokens after its prompt")
    if answers.ends:
        parts.append(f"up to {MOST_GENERATED} tokens are generated, one pass each")
    return "answers: " + "; ".join(parts)
