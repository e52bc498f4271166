"""In-context learning: labelled examples as chat turns before the question.

They are drawn, put into the chat template and read by the model; all questions of a subtask share
them. A question runs with a copy of their cache, without what its own prompt begins with (a system
text), and its labels after that. A few are compared with whole conversations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch

from savs.datasets import Example, RowError
from savs.datasets.example import of_subtask
from savs.datasets.splits.shots import Shots
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.line.feed import MediaOf
from savs.pipeline.extraction.line.prepare import pieces_of
from savs.pipeline.extraction.model.answers import NATS, AnswerQuery, Answers
from savs.pipeline.extraction.model.continuation import (
    Continuation,
    begin,
    positions_and_next,
)
from savs.pipeline.extraction.model.devices import is_out_of_memory
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.source import Splits
from savs.pipeline.prompts.input_names import IDS, MASK, NEXT_POSITIONS, POSITIONS
from savs.pipeline.prompts.media.inputs import Pieces

NO_CONTEXT = -1
"""Of a prompt that is not asked after demonstrations."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The demonstrations of each subtask, in the order in which they are shown."""

    shots: int
    """Of each class."""
    examples: Mapping[str | None, Sequence[Example]]

    def facts(self) -> dict[str, Any]:
        """Return what a store says of them."""
        ids = [[str(key), [e.id for e in examples]] for key, examples in self.examples.items()]
        return {"shots": self.shots, "demonstrations": ids}


def draw_demonstrations(run: RunOptions, examples: Splits, seed: int) -> Drawn | None:
    """Return shuffled demonstrations of each class, if any; RowError if a class has too few."""
    if run.icl_shots is None:
        return None
    shots = Shots(each_class=run.icl_shots, seed=seed)
    try:
        drawn = shots.draw(examples["train"])
    except RowError as error:
        raise RowError(str(error).replace("`shots`", "`icl_shots`")) from error
    subtasks: dict[str | None, dict[str, Example]] = {}
    for example in drawn:
        subtasks.setdefault(example.subtask, {})[example.id] = example
    return Drawn(
        run.icl_shots,
        {
            subtask: [rows[name] for name in shots.shuffle(rows, f"in context of {subtask}")]
            for subtask, rows in subtasks.items()
        },
    )


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """The demonstrations of a subtask, as the model has read them."""

    prompt: Continuation
    """A batch of one row, to be continued with questions."""
    head: int
    """Tokens that a prompt by itself begins with, and after demonstrations does not."""

    @property
    def tokens(self) -> int:
        """Their length."""
        return self.prompt.mask.shape[1]

    def answer(self, arguments: Mapping[str, Any], query: AnswerQuery) -> torch.Tensor:
        """Return `(batch, labels)` log-likelihoods of labels after questions of one length.

        `arguments` are what the forward of the model takes for the questions alone, on its device,
        padded on the left.
        """
        with torch.inference_mode():
            return self._ask(arguments).likelihoods(query)

    def _ask(self, arguments: Mapping[str, Any]) -> Continuation:
        """Run questions after the demonstrations."""
        # A question by itself begins with `head` tokens (a system text) that it lacks in the
        # conversation. They are cut off, with the padding that all rows have alike, and what is
        # left stands as many positions later as the demonstrations are longer than that head.
        shape = arguments[IDS].shape
        start = int(shape[1] - arguments[MASK][0].sum()) + self.head
        inputs = {
            name: value[:, start:] if torch.is_tensor(value) and value.shape[:2] == shape else value
            for name, value in arguments.items()
        }
        demonstrations = self.prompt.take([0] * shape[0])
        if demonstrations.next_positions is not None:
            positions = positions_and_next(demonstrations.model, arguments)
            assert positions is not None  # as of the demonstrations
            shift = demonstrations.next_positions - self.head
            inputs[POSITIONS] = positions[0][:, :, start:] + shift[:, :, None]
            inputs[NEXT_POSITIONS] = positions[1] + shift
        return demonstrations.then(inputs)


def read_demonstrations(
    model: LoadedModel, drawn: Drawn, media: MediaOf, todo: Splits, answers: Answers
) -> tuple[list[Demonstrations], list[str]]:
    """Return the demonstrations of each subtask as the model has read them, and lines for the user.

    Each is compared: a question after it must give what the whole conversation gives. `todo` are
    the examples of this run. ModelError if they do not fit the context or the memory, or the model
    gives other answers after them. MediaError if an image of a demonstration cannot be read.
    """
    if model.encoder.code.to_inputs is not None:
        raise ModelError("`icl_shots` needs the chat template; it cannot be used with to_inputs")
    contexts, lines = [], []
    for subtask in answers.labels_of:  # numbered in this order, see `Answers.context_of`
        examples = drawn.examples[subtask]
        questions = [e for e in todo.get("test", []) if e.subtask == subtask]
        longest = max(questions, key=lambda e: (len(e.prompt), e.id), default=examples[0])
        pieces = [pieces_of(e, media(e), model.encoder) for e in (*examples, longest)]
        turns = [(p, str(e.label)) for p, e in zip(pieces, examples, strict=False)]
        where, labels = of_subtask(subtask), list(answers.tokens)
        names = [labels[place] for place in answers.labels_of[subtask]]
        tokens = {label: answers.tokens[label] for label in names}
        subtask_answers = replace(answers, tokens=tokens, ends=())
        try:
            demonstrations, line = _read(model, turns, pieces[-1], subtask_answers, where)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise ModelError(
                f"the {len(examples)} demonstrations{where} do not fit the memory of {model.device}"
                f" ({error}); lower `icl_shots` or `max_pixels`"
            ) from error
        contexts.append(demonstrations)
        lines.append(line)
    return contexts, lines


def alike(lengths: Sequence[int], contexts: Sequence[int], most: int) -> list[slice]:
    """Return the rows of a batch that are answered together: adjacent and of one length.

    Rows without demonstrations are left out.

    Examples
    --------
    >>> alike([5, 5, 5, 6, 6, 6], [0, 0, 0, 0, 1, -1], most=2)
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None), slice(4, 5, None)]
    """
    slices = []
    for (_, context), run in groupby(
        range(len(lengths)), key=lambda row: (lengths[row], contexts[row])
    ):
        rows = list(run)
        if context != NO_CONTEXT:
            slices += [
                slice(rows[place], rows[min(place + most, len(rows)) - 1] + 1)
                for place in range(0, len(rows), most)
            ]
    return slices


def _read(
    model: LoadedModel,
    turns: Sequence[tuple[Pieces, str]],
    question: Pieces,
    answers: Answers,
    where: str,
) -> tuple[Demonstrations, str]:
    encoder = model.encoder
    try:
        before = encoder.encode_conversation(turns)
        whole = encoder.encode_conversation(turns, question)
        alone = encoder.encode([question])
    except ModelError:
        raise
    except ValueError as error:
        raise ModelError(
            f"the processor of {model.name} takes no conversation of the demonstrations{where} and"
            f" a question ({error}); leave out `icl_shots`"
        ) from error
    # Sharing is right only if the conversation's tokens are those of the demonstrations, then those
    # that the question has by itself after its head: a template may also write turns differently.
    ids = [inputs[IDS][0].tolist() for inputs in (before, whole, alone)]
    rest = ids[1][len(ids[0]) :]
    if ids[1] != ids[0] + rest or not rest or ids[2][-len(rest) :] != rest:
        raise ModelError(
            f"the chat template of {model.name} writes a question after demonstrations otherwise"
            " than by itself, so they cannot be shared; leave out `icl_shots`"
        )
    line = _require_room(model, len(ids[0]), len(turns), len(rest), answers, where)
    with torch.inference_mode():
        continuation = begin(model.model, model.placed(before), whole=False)
        if continuation.cache is None:
            raise ModelError(
                f"{model.name} does not tell positions after a cache, so demonstrations cannot be"
                " shared; leave out `icl_shots`"
            )
        demonstrations = Demonstrations(continuation, len(ids[2]) - len(rest))
        query = answers.tried(1)
        ours = demonstrations.answer(model.placed(alone), query)
        theirs = begin(model.model, model.placed(whole), whole=True).likelihoods(query)
    apart = float((ours - theirs).nan_to_num(0).abs().max())
    if apart > NATS[model.dtype] * max(map(len, answers.tokens.values())):
        other = "" if model.dtype == "float32" else "try `dtype` float32, or "
        raise ModelError(
            f"after shared demonstrations{where}, log-likelihoods differ from those of whole"
            f" conversations by {apart:.1e} in {model.dtype}, more than rounding; {other}leave out"
            " `icl_shots`"
        )
    return demonstrations, f"{line}; log-likelihoods differ from whole conversations by {apart:.1e}"


def _require_room(
    model: LoadedModel, tokens: int, count: int, question: int, answers: Answers, where: str
) -> str:
    """Return how long the demonstrations are and how many would fit; ModelError for too many."""
    context = _context(model)
    needed = question + max(map(len, answers.tokens.values()))
    length = f"in-context learning{where}: {count} demonstrations have {tokens:,} tokens"
    if context is None:
        return f"{length}, which run once"
    most = max(0, (context - needed) * count // tokens)
    if tokens + needed > context:
        each = len(answers.tokens)
        raise ModelError(
            f"{length}, and a question up to {needed:,} more; the context of {model.name} holds"
            f" {context:,}, about {most} demonstrations: give `icl_shots` {most // each} at most"
            f" for {each} classes, or lower `max_pixels`"
        )
    return f"{length}, which run once; about {most} would fit the context of {context:,}"


def _context(model: LoadedModel) -> int | None:
    """Return the tokens that the model's positions allow, None if that is not known."""
    config = model.model.config.get_text_config()
    of_model = getattr(config, "max_position_embeddings", None)
    of_tokenizer = model.encoder.tokenizer.model_max_length
    limits = [n for n in (of_model, of_tokenizer) if isinstance(n, int) and 0 < n < 10**9]
    return min(limits, default=None)
