"""The model's own answers: log-likelihoods of whole labels, and what it generates.

log p(label, end of turn | prompt) is the sum over the label's tokens. The first token is read off
the prompt's own pass; the others run after its cache, as rows of one batch. Suffixes are padded on
the right, where no token before the padding sees it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch

from savs.pipeline.extraction.model.answers import (
    ANSWERS,
    GENERATED,
    MOST_GENERATED,
    AnswerQuery,
    as_code_points,
)
from savs.pipeline.extraction.model.caches import (
    following,
    has_axes,
    image_positions,
    knows_positions,
    new_cache,
    widened,
)
from savs.pipeline.extraction.model.devices import is_out_of_memory, moved
from savs.pipeline.extraction.model.pieces import IDS, MASK, NEXT_POSITIONS, POSITIONS, TYPES

PREFIXED = ("paligemma",)
"""Types of models whose `TYPES` say what may be seen from before: a prompt is 0, its answer 1."""
Pair = tuple[int, int]
"""A row of a batch and a label, by its place among all."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A batch of prompts that the model has read."""

    arguments: Mapping[str, Any]
    """What the pass was given."""
    cache: Any
    """Keys and values of the prompts; None if each answer runs its prompt again."""
    next_positions: torch.Tensor | None
    """`(axes, batch)` where the next token stands; None if the model counts by itself."""
    logits: torch.Tensor
    """`(batch, vocabulary)` after the prompts."""

    @property
    def mask(self) -> torch.Tensor:
        """`(batch, tokens)`, 0 at padding."""
        return self.arguments[MASK]


def begin(model: Any, arguments: Mapping[str, Any], *, whole: bool) -> Begun:
    """Run prompts, padded on the left, and keep what answers continue from.

    `arguments` are what the forward of the model takes, on its device, and `NEXT_POSITIONS` where
    they are known. If `whole`, no cache is kept: each answer runs with its prompt.
    """
    inputs = dict(arguments)
    after = inputs.pop(NEXT_POSITIONS, None)
    if whole or not knows_positions(model, inputs):
        if after is not None:  # of prompts alone; those with an answer have more
            del inputs[POSITIONS]
        outputs = model(**inputs, use_cache=False, logits_to_keep=1)
        return Begun(inputs, None, None, outputs.logits[:, -1])
    cache = new_cache(model)
    if after is None and (positions := positions_and_next(model, inputs)) is not None:
        inputs[POSITIONS], after = positions
    outputs = model(**inputs, **following(cache), logits_to_keep=1)
    return Begun(inputs, cache, after, outputs.logits[:, -1])


def read_answers(
    model: Any, begun: Begun, query: AnswerQuery, decode: Callable[[Sequence[int]], str]
) -> dict[str, torch.Tensor]:
    """Return the outputs of a batch, see `Answers.room`; a log-likelihood that is NaN is -inf."""
    outputs: dict[str, torch.Tensor] = {}
    if query.answers.tokens:
        outputs[ANSWERS] = likelihoods(model, begun, query)
    if query.answers.ends:
        texts = [decode(tokens) for tokens in _generated(model, begun, query.answers.ends)]
        outputs[GENERATED] = torch.from_numpy(as_code_points(texts).copy())
    return outputs


def likelihoods(model: Any, begun: Begun, query: AnswerQuery) -> torch.Tensor:
    """Return `(batch, labels)` float32 log-likelihoods; NaN for labels that are not asked.

    One that is NaN itself is -inf.
    """
    # log p(t1 ... tn | prompt) = log p(t1 | prompt) + the sum of log p(ti | prompt, t1 ... ti-1).
    # The prompt's own pass has the first term for every label at once; only t1 ... tn-1 need run.
    first = begun.logits.float()
    first = first - first.logsumexp(dim=1, keepdim=True)
    texts, pairs = query.texts, query.pairs()
    sums = torch.full((len(first), len(texts)), torch.nan, device=first.device)
    width = begun.mask.shape[1] + max((len(texts[label]) for _, label in pairs), default=0)

    def rest(part: Sequence[Pair]) -> torch.Tensor:
        return _after_cache(model, begun, part, texts)

    if begun.cache is None:  # a pass a label, of the whole batch
        pieces = [(pairs, _with_prompt(model, begun, pairs, texts))] if pairs else []
    else:
        pieces = in_pieces(pairs, max(1, query.answers.cells // width), rest)
    for part, values in pieces:
        places = [(row, label, texts[label][0]) for row, label in part]
        rows, labels, begins = moved(torch.tensor(places).T, sums.device)
        sums[rows, labels] = (first[rows, begins] + values).nan_to_num(nan=-torch.inf)
    return sums


def in_pieces(
    pairs: Sequence[Pair], most: int, run: Callable[[Sequence[Pair]], torch.Tensor]
) -> list[tuple[Sequence[Pair], torch.Tensor]]:
    """Run pairs, at most `most` at once; fewer where the memory does not hold them."""
    pieces = []
    place = 0
    while place < len(pairs):
        part = pairs[place : place + most]
        try:
            pieces.append((part, run(part)))
        except RuntimeError as error:
            if len(part) == 1 or not is_out_of_memory(error):
                raise
            most = len(part) // 2
        else:
            place += len(part)
    return pieces


def _after_cache(
    model: Any, begun: Begun, part: Sequence[Pair], texts: Sequence[tuple[int, ...]]
) -> torch.Tensor:
    """Return `(pairs,)` log-likelihoods of all tokens but the first, after the prompts' cache."""
    labels = [texts[label] for _, label in part]
    # Logits at token i are of token i + 1. Labels are padded on the right, where causal attention
    # lets no token before the padding see it, and `summed` leaves the padding's logits out.
    ids, targets = padded([text[:-1] for text in labels]), padded([text[1:] for text in labels])
    logits = _continue_prompts(model, begun, [row for row, _ in part], ids)
    counts = torch.tensor([len(text) - 1 for text in labels])
    return summed(logits, moved(targets, logits.device), moved(counts, logits.device))


def _with_prompt(
    model: Any, begun: Begun, part: Sequence[Pair], texts: Sequence[tuple[int, ...]]
) -> torch.Tensor:
    """Return the same of whole passes: the batch with each label, one after the other."""
    values: dict[Pair, torch.Tensor] = {}
    for label in dict.fromkeys(label for _, label in part):
        text = texts[label]
        ids = torch.tensor([text[:-1]]).expand(len(begun.logits), -1)
        logits = model(
            **extended(model, begun.arguments, moved(ids, begun.logits.device)),
            use_cache=False,
            logits_to_keep=len(text) - 1,
        ).logits[:, 1 - len(text) :]  # some models return those of all positions
        targets = moved(torch.tensor([text[1:]]), logits.device).expand(len(logits), -1)
        counts = torch.full((len(logits),), len(text) - 1, device=logits.device)
        for row, value in enumerate(summed(logits, targets, counts)):
            values[row, label] = value
    return torch.stack([values[pair] for pair in part])


def _continue_prompts(
    model: Any,
    begun: Begun,
    rows: Sequence[int],
    ids: torch.Tensor,
    cache: Any = None,
    seen: int = 0,
) -> torch.Tensor:
    """Return `(rows, tokens, vocabulary)` logits of tokens after prompts.

    Without a `cache` of those rows, that of the prompts is widened; one that is given grows, and
    has `seen` tokens after the prompts.
    """
    device = begun.mask.device
    places = moved(torch.tensor(rows), device)
    ids = moved(ids, device)
    kind = answer_type(model)
    more_inputs: dict[str, Any] = {
        name: torch.full_like(ids, kind) for name in TYPES if name in begun.arguments
    }
    grown = cache if cache is not None else widened(begun.cache, rows, device)
    more = torch.ones((len(rows), seen + ids.shape[1]), dtype=begun.mask.dtype, device=device)
    if begun.next_positions is not None:
        start = moved(begun.next_positions, device)[:, places, None] + seen
        more_inputs[POSITIONS] = start + torch.arange(ids.shape[1], device=device)
    return model(
        input_ids=ids,
        attention_mask=torch.cat([begun.mask[places], more], dim=1),
        **following(grown),
        **more_inputs,
    ).logits


def answer_type(model: Any) -> int:
    """Return the type of an answer's tokens."""
    return int(model.config.model_type in PREFIXED)


def positions_and_next(
    model: Any, arguments: Mapping[str, Any]
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return `(axes, batch, tokens)` positions of prompts, and `(axes, batch)` of what follows.

    None if the model counts by itself. What follows stands after the text, not after the
    greatest position: a long video may end later than the text that follows it.
    """
    if not has_axes(model):
        return None
    positions = image_positions(model, extended(model, arguments, arguments[IDS][:, -1:]))
    return None if positions is None else (positions[:, :, :-1], positions[:, :, -1])


def extended(model: Any, arguments: Mapping[str, Any], ids: torch.Tensor) -> dict[str, Any]:
    """Return what a pass takes with `(batch, n)` more tokens of text after each prompt."""
    shape = arguments[IDS].shape
    inputs = dict(arguments)
    for name, value in arguments.items():
        if not torch.is_tensor(value) or value.shape[:2] != shape:
            continue
        if name == IDS:
            more = ids
        elif name == MASK:
            more = torch.ones_like(ids)
        elif name in TYPES:
            more = torch.full_like(ids, answer_type(model))
        else:  # such as what images a token may see: as the last token of the prompt
            more = value[:, -1:].expand(-1, ids.shape[1], *value.shape[2:])
        inputs[name] = torch.cat([value, more.to(value.dtype)], dim=1)
    return inputs


def _generated(model: Any, begun: Begun, ends: Sequence[int]) -> list[list[int]]:
    """Return the tokens that the model finds likeliest one after the other, the end left out.

    The cache grows: nothing else may use it afterwards.
    Equal logits go to the token with the lower number.
    """
    rows = list(range(len(begun.logits)))
    cache = begun.cache
    logits = begun.logits
    tokens = torch.empty((len(rows), 0), dtype=torch.long, device=logits.device)
    stop = moved(torch.tensor(list(ends)), logits.device)
    for step in range(MOST_GENERATED):
        tokens = torch.cat([tokens, logits.float().argmax(dim=1, keepdim=True)], dim=1)
        if step == MOST_GENERATED - 1 or torch.isin(tokens, stop).any(dim=1).all():
            break
        if cache is None:
            inputs = extended(model, begun.arguments, tokens)
            logits = model(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1]
        else:
            logits = _continue_prompts(model, begun, rows, tokens[:, -1:], cache, step)[:, -1]
    return [list(takewhile(lambda token: token not in ends, row)) for row in tokens.tolist()]


def padded(texts: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return `(texts, longest)` tokens, padded on the right by each text's last token."""
    width = max(map(len, texts))
    return torch.tensor([[*text, *[text[-1]] * (width - len(text))] for text in texts])


def summed(logits: torch.Tensor, targets: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return `(rows,)` sums of the log-likelihoods of the first `counts` targets of each row.

    `logits` are `(rows, tokens, vocabulary)`, `targets` `(rows, tokens)`.
    """
    values = logits.float()
    each = values.gather(2, targets[:, :, None])[:, :, 0] - values.logsumexp(dim=2)
    is_counted = torch.arange(targets.shape[1], device=logits.device) < counts[:, None]
    return each.where(is_counted, 0).sum(dim=1)
