"""Text after prompts that a model has read: labels, generated tokens, questions.

A label and a generated token continue their prompt, a question its demonstrations, prompts about
the same images their prefix. Each time rows of a cache are taken, some of them several times, and
a pass over more tokens extends them. Rows are padded on the right, where no token before the
padding sees it: padding on the left, after a prefix, is silently wrong where attention has a
sliding window.
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any

import torch
from transformers import DynamicCache

from savs.pipeline.extraction.model.answers import (
    ANSWERS,
    GENERATED,
    MOST_GENERATED,
    AnswerQuery,
    as_code_points,
)
from savs.pipeline.extraction.model.devices import is_out_of_memory, moved
from savs.pipeline.prompts.input_names import (
    GRID,
    IDS,
    KINDS,
    MASK,
    MEAN_SECONDS,
    NEXT_POSITIONS,
    POSITIONS,
    TYPES,
)

PREFIXED = ("paligemma",)
"""Types of models whose `TYPES` separate prompt and answer: a prompt is 0, its answer 1."""
OF_VIDEOS = ("video_grid_thw", MEAN_SECONDS)
"""Inputs from which models with several axes know the positions of video tokens."""
Pair = tuple[int, int]
"""Index of a prompt and of one of its labels."""
Values = Sequence[tuple[Sequence[Pair], torch.Tensor]]
"""Pairs that ran together, and `(pairs,)` values."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """A batch of prompts that a model has read, to be continued."""

    model: Any
    arguments: Mapping[str, Any]
    """Keyword arguments of the forward pass. The mask has a column for each token so far."""
    cache: Any
    """Keys and values; None if whole prompts run again with what follows."""
    next_positions: torch.Tensor | None = None
    """`(axes, batch)` position of the next token; None if the model counts by itself."""
    logits: torch.Tensor | None = None
    """`(batch, vocabulary)` of the next token; None where no answer begins."""

    @property
    def mask(self) -> torch.Tensor:
        """`(batch, tokens)`, 0 at padding."""
        return self.arguments[MASK]

    def take(self, rows: Sequence[int]) -> "Continuation":
        """Return some rows, in this order, each as often as it is named.

        Their cache is a copy: a pass that extends it leaves this one as it is.
        """
        index = moved(torch.tensor(rows), self.mask.device)
        arguments = {
            name: self.arguments[name][index] for name in (MASK, *TYPES) if name in self.arguments
        }
        after = None if self.next_positions is None else self.next_positions[:, index]
        return Continuation(self.model, arguments, _taken(self.cache, index), after)

    def longer(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments, but for the cache, of a pass over `(batch, tokens)` more.

        `inputs` are on the device. Token types and positions that they lack are those of text.
        Without a cache the pass runs the prompts again, and all of `inputs` must be text.
        """
        ids = inputs[IDS]
        if self.cache is None:
            return extended(self.model, self.arguments, ids)
        more = torch.ones_like(ids, dtype=self.mask.dtype)
        kind = answer_type(self.model)
        arguments = {
            **{name: torch.full_like(ids, kind) for name in TYPES if name in self.arguments},
            **inputs,
            MASK: torch.cat([self.mask, more], dim=1),
        }
        if self.next_positions is not None and POSITIONS not in inputs:
            steps = torch.arange(ids.shape[1], device=ids.device)
            arguments[POSITIONS] = self.next_positions[:, :, None] + steps
        return arguments

    def then(self, inputs: Mapping[str, Any]) -> "Continuation":
        """Read more after each prompt, see `longer`, and return the prompts with it.

        The cache grows: nothing else may use it afterwards. `NEXT_POSITIONS` must be in `inputs` if
        `POSITIONS` are.
        """
        arguments = self.longer(inputs)
        after = arguments.pop(NEXT_POSITIONS, None)
        if after is None and self.next_positions is not None:
            after = self.next_positions + inputs[IDS].shape[1]
        return Continuation(self.model, arguments, self.cache, after).run()

    def run(self) -> "Continuation":
        """Run the pass of `arguments`, which fills the cache, and return its logits, too."""
        logits = self.model(**self.arguments, **use(self.cache), logits_to_keep=1).logits
        return replace(self, logits=logits[:, -1])

    def answers(
        self, query: AnswerQuery, decode: Callable[[Sequence[int]], str]
    ) -> dict[str, torch.Tensor]:
        """Return the outputs of a batch, see `Answers.room`. The cache grows, see `then`."""
        outputs: dict[str, torch.Tensor] = {}
        if query.answers.tokens:
            outputs[ANSWERS] = self.likelihoods(query)
        if query.answers.ends:
            texts = [decode(tokens) for tokens in self.generated(query.answers.ends)]
            outputs[GENERATED] = torch.from_numpy(as_code_points(texts).copy())
        return outputs

    def likelihoods(self, query: AnswerQuery) -> torch.Tensor:
        """Return `(batch, labels)` float32 log-likelihoods of whole labels.

        NaN stands for labels that are not asked, and -inf for a value that is NaN.
        """
        # log p(t1 ... tn | prompt) = log p(t1 | prompt) + sum of log p(ti | prompt, t1 ... ti-1).
        # The prompt's own pass has the first term for every label; only t1 ... tn-1 need run.
        assert self.logits is not None
        first = self.logits.float()
        first = first - first.logsumexp(dim=1, keepdim=True)
        run, pairs = partial(self._label_sums, first, query.texts), query.pairs()
        if self.cache is not None:
            pieces = in_pieces(pairs, query.most_rows(self.mask.shape[1]), run)
        else:  # a pass a label, of the whole batch
            labels = dict.fromkeys(label for _, label in pairs)
            parts = [[pair for pair in pairs if pair[1] == label] for label in labels]
            pieces = [(part, run(part)) for part in parts]
        return _table(pieces, (len(first), len(query.texts)), first.device)

    def likelihoods_after(
        self,
        rows: Sequence[int],
        suffixes: Mapping[str, Sequence[Sequence[int]]],
        query: AnswerQuery,
    ) -> torch.Tensor:
        """Return `likelihoods` of prompts that are some rows with a suffix of text.

        `suffixes` maps ids, and token types where they are known, to those of each prompt. A suffix
        runs with each label: in one pass for all, padding would stand between suffix and label.
        """
        longest = self.mask.shape[1] + max(map(len, suffixes[IDS]))
        run = partial(self._suffix_sums, rows, suffixes, query.texts)
        pieces = in_pieces(query.pairs(), query.most_rows(longest), run)
        return _table(pieces, (len(rows), len(query.texts)), self.mask.device)

    def generated(self, ends: Sequence[int]) -> list[list[int]]:
        """Return the likeliest tokens, one after the other, without the end; see `then`."""
        prompts, tokens = self, self._likeliest()
        stop = moved(torch.tensor(list(ends)), tokens.device)
        while tokens.shape[1] < MOST_GENERATED and not torch.isin(tokens, stop).any(dim=1).all():
            prompts = prompts.then({IDS: moved(tokens[:, -1:], self.mask.device)})
            tokens = torch.cat([tokens, prompts._likeliest()], dim=1)
        return [list(takewhile(lambda token: token not in ends, row)) for row in tokens.tolist()]

    def _likeliest(self) -> torch.Tensor:
        """Return `(batch, 1)` next tokens; equal logits go to the token with the lower number."""
        assert self.logits is not None
        return self.logits.float().argmax(dim=1, keepdim=True)

    def _label_sums(
        self, first: torch.Tensor, texts: Sequence[Sequence[int]], part: Sequence[Pair]
    ) -> torch.Tensor:
        """Return the log-likelihood of each pair; `first` has those of first tokens.

        Without a cache all pairs have the same label.
        """
        # Logits at token i are of token i + 1. `summed` leaves out those of the padding.
        rows, labels = [row for row, _ in part], [texts[label] for _, label in part]
        ids = moved(padded([text[:-1] for text in labels]), self.mask.device)
        if self.cache is not None:
            taken = self.take(rows)
            logits = self.model(**taken.longer({IDS: ids}), **use(taken.cache)).logits
        else:  # images cannot be taken row by row
            width = ids.shape[1]
            whole = self.longer({IDS: ids[:1].expand(len(self.mask), -1)})
            logits = self.model(**whole, **use(None), logits_to_keep=width).logits
            # some models return logits of all positions
            logits = logits[moved(torch.tensor(rows), logits.device), -width:]
        begins = [text[0] for text in labels]
        where = moved(torch.tensor([rows, begins]), first.device)
        return first[where[0], where[1]] + summed(logits, [text[1:] for text in labels])

    def _suffix_sums(
        self,
        rows: Sequence[int],
        suffixes: Mapping[str, Sequence[Sequence[int]]],
        texts: Sequence[Sequence[int]],
        part: Sequence[Pair],
    ) -> torch.Tensor:
        """Return the log-likelihood of each pair of a suffix and a label."""
        labels, kind = [texts[label] for _, label in part], answer_type(self.model)
        inputs = {}
        for name, values in suffixes.items():
            more = [text[:-1] if name == IDS else [kind] * (len(text) - 1) for text in labels]
            whole = [[*values[row], *own] for (row, _), own in zip(part, more, strict=True)]
            inputs[name] = moved(padded(whole, fill=0), self.mask.device)
        starts = torch.tensor([len(suffixes[IDS][row]) - 1 for row, _ in part])
        steps = torch.arange(max(map(len, labels)))
        ends = (starts[:, None] + steps).clamp(max=inputs[IDS].shape[1] - 1)
        positions, which = ends.unique(return_inverse=True)
        taken = self.take([rows[row] for row, _ in part])
        arguments = taken.longer(inputs) | use(taken.cache)
        logits = self.model(**arguments, logits_to_keep=positions).logits
        each = torch.arange(len(part), device=logits.device)[:, None]
        return summed(logits[each, moved(which, logits.device)], labels)


def unread(model: Any, arguments: Mapping[str, Any], *, whole: bool = False) -> Continuation:
    """Return prompts before their own pass: with an empty cache, or none if `whole`.

    `arguments` are those of the forward pass, on its device, and `NEXT_POSITIONS` if known.
    """
    inputs = dict(arguments)
    after = inputs.pop(NEXT_POSITIONS, None)
    if whole or (has_axes(model) and KINDS not in inputs):  # else a pass cannot continue
        if after is not None:  # of prompts alone; those with an answer have more
            del inputs[POSITIONS]
        return Continuation(model, inputs, None)
    if after is None and (both := positions_and_next(model, inputs)) is not None:
        inputs[POSITIONS], after = both
    return Continuation(model, inputs, DynamicCache(config=model.config.get_text_config()), after)


def begin(model: Any, arguments: Mapping[str, Any], *, whole: bool) -> Continuation:
    """Run prompts, padded on the left, see `unread`; if `whole`, each answer runs them again."""
    return unread(model, arguments, whole=whole).run()


def use(cache: Any) -> dict[str, Any]:
    """Return the arguments of a forward pass that extends a cache, or runs without one."""
    return {"use_cache": False} if cache is None else {"cache": cache, "use_cache": True}


def _taken(cache: Any, rows: torch.Tensor) -> Any:
    """Return a copy of some rows of a cache; the cache itself stays as it is."""
    copied = copy.copy(cache)
    copied.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in copied.layers:
        for name, value in list(vars(layer).items()):
            if type(value) is dict:  # states of linear attention
                setattr(layer, name, value.copy())
            elif torch.is_tensor(value) and value.dim() == 0:  # tokens so far, counted in place
                setattr(layer, name, value.clone())
    copied.reorder_cache(rows)  # makes new tensors
    return copied


def has_axes(model: Any) -> bool:
    """Return whether images have positions of several axes, which are computed before a pass."""
    return hasattr(getattr(model, "model", model), "get_rope_index")


def image_positions(model: Any, inputs: Any) -> torch.Tensor | None:
    """Return `(axes, batch, tokens)` positions of prompts, where images have several axes."""
    if not has_axes(model):
        return None
    inner = getattr(model, "model", model)
    known = inspect.signature(inner.get_rope_index).parameters
    videos = {name: inputs[name] for name in OF_VIDEOS if name in known and name in inputs}
    positions, _ = inner.get_rope_index(
        inputs[IDS],
        inputs[KINDS],
        image_grid_thw=inputs.get(GRID),
        attention_mask=inputs[MASK],
        **videos,
    )
    return positions


def positions_and_next(
    model: Any, arguments: Mapping[str, Any]
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return `(axes, batch, tokens)` positions of prompts, and `(axes, batch)` of the next token.

    None if the model counts by itself. The next token stands after the text, not after the greatest
    position: a long video may end later than the text that follows it.
    """
    if not has_axes(model):
        return None
    positions = image_positions(model, extended(model, arguments, arguments[IDS][:, -1:]))
    return None if positions is None else (positions[:, :, :-1], positions[:, :, -1])


def answer_type(model: Any) -> int:
    """Return the type of an answer's tokens."""
    return int(model.config.model_type in PREFIXED)


def extended(model: Any, arguments: Mapping[str, Any], ids: torch.Tensor) -> dict[str, Any]:
    """Return the arguments of a pass over prompts and `(batch, n)` more tokens of text."""
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


def in_pieces(
    pairs: Sequence[Pair], most: int, run: Callable[[Sequence[Pair]], torch.Tensor]
) -> Values:
    """Run pairs, at most `most` at once; fewer where the memory does not hold them."""
    pieces = []
    start = 0
    while start < len(pairs):
        part = pairs[start : start + most]
        try:
            pieces.append((part, run(part)))
        except RuntimeError as error:
            if len(part) == 1 or not is_out_of_memory(error):
                raise
            most = len(part) // 2
        else:
            start += len(part)
    return pieces


def _table(pieces: Values, shape: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Return `(prompts, labels)` values: NaN without a pair, -inf for NaN."""
    table = torch.full(shape, torch.nan, device=device)
    for part, values in pieces:
        rows, labels = moved(torch.tensor(part).T, device)
        table[rows, labels] = values.nan_to_num(nan=-torch.inf)
    return table


def padded(texts: Sequence[Sequence[int]], fill: int | None = None) -> torch.Tensor:
    """Return `(texts, longest)` tokens, padded on the right; by default with each last token."""
    width = max(map(len, texts))
    rows = [[*text, *[text[-1] if fill is None else fill] * (width - len(text))] for text in texts]
    return torch.tensor(rows)


def summed(logits: torch.Tensor, texts: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the log-likelihood of each text, from `(texts, longest, vocabulary)` logits."""
    targets = moved(padded(texts), logits.device)
    counts = moved(torch.tensor([len(text) for text in texts]), logits.device)
    values = logits.float()
    each = values.gather(2, targets[:, :, None])[:, :, 0] - values.logsumexp(dim=2)
    is_counted = torch.arange(targets.shape[1], device=logits.device) < counts[:, None]
    return each.where(is_counted, 0).sum(dim=1)
