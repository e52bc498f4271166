"""Ways to run a model, tried on a few of the user's own prompts.

A run could share images, or use FlashAttention, or put examples into batches. Each of these is a
way. It is taken if it gives what the plain run gives: each prompt by itself.
"""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TypeVar

import numpy as np
import torch

from savs.datasets import Example
from savs.datasets.media_kinds.decoders.videos import videos_of
from savs.datasets.media_kinds.medium import IMAGE_COLUMN
from savs.datasets.media_kinds.videos import VIDEOS
from savs.datasets.rows.media_names import kind_of_name
from savs.foundation.arrays import Array
from savs.pipeline.errors import ModelError, OwnCodeError
from savs.pipeline.extraction.line.feed import MediaOf
from savs.pipeline.extraction.line.prepare import pieces_of
from savs.pipeline.extraction.model.answers import (
    ANSWERS,
    NO_ANSWERS,
    NOTHING,
    AnswerQuery,
    Answers,
)
from savs.pipeline.extraction.model.host_inputs import host_inputs
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model.reading import Read
from savs.pipeline.extraction.model.tower_attention import as_loop
from savs.pipeline.prompts.input_names import PIXELS, in_type
from savs.pipeline.prompts.media.catalogue import shape_of
from savs.pipeline.prompts.media.inputs import Pieces
from savs.stores.format.layout import to_float32

TOLERANCES = {"float32": 1e-4, "bfloat16": 2.5e-1, "float16": 2.5e-2}
"""Relative L2 distance of a batched from a single feature that rounding alone explains. It gave up
to 8e-6 in float32, 1.7e-1 in bfloat16 and 1.1e-2 in float16, on the shipped model and on tiny
random ones of twenty architectures; wrong padding, positions or images give distances near 1."""
CHAOS = 10
"""A head may move this many times as far as rounding moves it: some models amplify that, whatever
the batch, see `read_nudged`."""
FEATURES = (PIXELS, "input_features", "input_values")
"""What inputs of images and sounds are called, or begin with."""
SAME = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 2e-3}
"""Relative L2 distance of two examples that no vote can tell apart, as means over the same image
under two questions: which of them is nearer is rounding."""
FEW = 0.05
"""Share of heads, and of their votes, that may change. Wrong batching changes most of them."""
DEAD = 1e-6
"""A head whose features are all shorter than this says nothing, and is not compared."""
NOTHING_COMPARED = "nothing was compared"
T = TypeVar("T")
COMPARED = 4
"""Examples that are tried."""
SIZED = 200
"""Examples whose sounds are looked at to find short and long ones among them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A few of the user's own prompts."""

    prompts: Sequence[Pieces]
    seconds: float
    """Time that one of them takes to be decoded and encoded: the median; 0 without prompts."""


def sample(encoder: PromptEncoder, examples: Sequence[Example], media: MediaOf) -> Sample:
    """Return a few prompts of different lengths, as in every batch of one shape, see `shape_of`.

    OwnCodeError if code of the user's fails on all that are tried.

    Where names tell that some show videos and others do not, up to half are of each: two shapes. Of
    sounds the smallest and the largest file are among them: models may treat short ones otherwise.
    """
    named: dict[bool, list[Example]] = {}
    for example in sorted(examples, key=lambda e: (len(e.media), len(e.prompt))):
        named.setdefault(VIDEOS in map(kind_of_name, example.media), []).append(example)
    kinds: dict[bool, list[Pieces]] = {}
    faults: list[OwnCodeError] = []
    seconds: list[float] = []
    by_size = (_by_size(rows, media) for rows in named.values())
    for example in chain.from_iterable(_spread(rows, COMPARED) for rows in by_size):
        started = time.perf_counter()
        try:
            read = encoder.text_read(example.prompt, example.media)
            pieces = pieces_of(replace(example, prompt=read), media(example), encoder)
            encoder.encode([pieces])
        except OwnCodeError as error:
            faults.append(error)
            continue
        except Exception:  # the run itself skips it, and says so
            continue
        seconds.append(time.perf_counter() - started)
        kinds.setdefault(bool(videos_of(pieces)), []).append(pieces)
    if faults and not kinds:
        raise faults[0]
    prompts = [
        pieces
        for of_kind in kinds.values()
        for pieces in _spread(_alike(of_kind), COMPARED // len(kinds))
    ]
    return Sample(prompts, statistics.median(seconds) if seconds else 0.0)


def _by_size(examples: Sequence[Example], media: MediaOf) -> Sequence[Example]:
    """Return examples of sounds by the bytes of their files, some of many; others as they are."""
    if set(examples[0].columns) <= {IMAGE_COLUMN}:
        return examples
    some = _spread(examples, SIZED)
    return sorted(some, key=lambda e: sum(media(e).size(name) or 0 for name in e.media))


def _spread(items: Sequence[T], count: int) -> list[T]:
    """Return some of a list at equal distances, both ends among them; all of a shorter one."""
    places = (round(step * (len(items) - 1) / (count - 1)) for step in range(count))
    return [items[place] for place in dict.fromkeys(places)]


def _alike(prompts: Sequence[Pieces]) -> list[Pieces]:
    """Return the prompts of the shape that most have."""
    [(often, _)] = Counter(map(shape_of, prompts)).most_common(1)
    return [pieces for pieces in prompts if shape_of(pieces) == often]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of a comparison."""

    same: bool
    seen: str
    """What was compared and found, for the user."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The way that is taken, and why; a store records it."""

    name: str
    seen: str
    """What the comparison saw, or why there was none."""


@dataclass(frozen=True, slots=True)
class Way:
    """One of the ways to choose from."""

    name: str
    attempt: Callable[[], Verdict]
    """Sets the model to run so, runs it, and compares."""
    undo: Callable[[], object] = lambda: None
    """Sets the model back after an attempt that failed."""
    refusal: str = ""
    """Begins the reason where the way is not taken. Of ways with one refusal the last is named."""


class UntriedError(Exception):
    """No way can be tried; the text says why."""


def choose(default: str, ways: Iterable[Way], *, untried: str | None = None) -> Choice:
    """Return the first way that gives the same, which stays set; else `default`.

    Where nothing can be compared, that is `untried`, or else the default, too.
    """
    refused: dict[str, str] = {}
    try:
        for way in ways:
            verdict = _try(way)
            if verdict.same:
                refused.pop(way.refusal, None)
                return Choice(way.name, "; ".join([verdict.seen, *refused.values()]))
            reason = f"{way.refusal}: {verdict.seen}" if way.refusal else verdict.seen
            refused[way.refusal] = reason
        if not refused:
            raise UntriedError(NOTHING_COMPARED)
    except UntriedError as error:
        return Choice(default if untried is None else untried, str(error))
    return Choice(default, "; ".join(refused.values()))


def _try(way: Way) -> Verdict:
    try:
        verdict = way.attempt()
    except UntriedError:
        way.undo()
        raise
    except Exception as error:  # whatever it is, the plain way has not failed by it
        verdict = Verdict(False, error_line(error))
    if not verdict.same:
        way.undo()
    return verdict


@contextmanager
def plain_runs() -> Iterator[None]:
    """Turn what examples raise in the plain way into UntriedError.

    It is no fault of another way; the run itself skips such examples, or fails, and says so.
    """
    try:
        yield
    except Exception as error:
        raise UntriedError(f"no prompt could be tried: {error_line(error)}") from error


def error_line(error: Exception) -> str:
    """Return what was raised in a line; of a ModelError the fault alone, without the remedy."""
    text = str(error).partition("\n")[0]
    return (
        text.partition(";")[0]
        if isinstance(error, ModelError)
        else f"{type(error).__name__}: {text}"
    )


@dataclass(frozen=True, slots=True)
class Single:
    """One example run by itself."""

    heads: Array
    """All heads stacked, `(heads, head_dim)` float32, see `stacked`."""
    nudged: Array
    """The same after `read_nudged`: what differs is rounding."""
    tokens: int
    answers: Array
    """`(labels,)` log-likelihoods of the first labels; none by default."""


def run_single(model: LoadedModel, pieces: Pieces, answers: Answers = NO_ANSWERS) -> Single:
    """Run one prompt by itself, and nudged."""
    inputs = model.inputs([pieces])
    tokens = model.count_tokens(inputs)
    read = model.read(inputs, answers.tried(1))
    nudged = stacked(model, read_nudged(model, pieces))[:, 0]
    return Single(stacked(model, read)[:, 0], nudged, tokens, answers_of(read)[0])


def read_nudged(model: LoadedModel, pieces: Pieces, query: AnswerQuery = NOTHING) -> Read:
    """Run a prompt with its own copy, and embeddings, pixels and sounds off by one bit.

    What that changes is what rounding does in this model: kernels of a larger batch, or with a mask
    of padding, add up in another order, which a batch of two need not show.
    """
    dtype = model.model.dtype
    inputs = dict(model.inputs([pieces, pieces]))
    for name, value in inputs.items():
        if name.startswith(FEATURES) and torch.is_tensor(value) and value.is_floating_point():
            inputs[name] = _nudged(in_type(name, value, dtype))
    embeddings = model.model.get_input_embeddings() if model.encoder.reads_prompts else None
    if embeddings is None:
        return model.read(inputs, query)
    handle = embeddings.register_forward_hook(lambda _, __, output: _nudged(output))
    try:
        return model.read(inputs, query)
    finally:
        handle.remove()


def _nudged(values: torch.Tensor) -> torch.Tensor:
    """Return values of which about half are larger by their last bit, the others smaller."""
    signs = torch.randint(2, values.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return values * (1 + torch.finfo(values.dtype).eps * signs).to(values)


@dataclass(eq=False)
class Trial:
    """Some of the user's prompts that a model is tried on."""

    model: LoadedModel
    prompts: Sequence[Pieces]
    answers: Answers = NO_ANSWERS
    """Those whose first labels run with each prompt by itself."""

    @cached_property
    def singles(self) -> list[Single]:
        """Each prompt by itself, with the vision tower as transformers runs it."""
        with as_loop(self.model.model):
            return [run_single(self.model, pieces, self.answers) for pieces in self.prompts]

    def run_alone(self) -> None:
        """Run prompts by themselves before a way is tried: it has no part in what fails here."""
        with plain_runs():
            _ = self.singles

    def in_batches(self, size: int) -> Verdict:
        """Compare prompts in batches of a size, each of one shape, with single examples."""
        _ = self.singles  # first: where they fail, no batch runs
        return self.compare(read_in_batches(self.model, self.prompts, size))

    def compare(self, other: Array) -> Verdict:
        """Compare `(prompts, heads, head_dim)` of another run with single examples."""
        alone = np.stack([single.heads for single in self.singles])
        nudged = np.stack([single.nudged for single in self.singles])
        return compare(alone, nudged, other, self.model.dtype)


def stacked(model: LoadedModel, read: Read) -> Array:
    """Return `(heads, batch, head_dim)` float32 of all layers, narrow heads padded with zeros.

    Vectors of other sites are cut into pieces, as wide as the widest head of the narrowest site.
    """
    width = min(max(grid.head_dim for grid in grids) for grids in model.grids.values())
    layers = []
    for heads in read.heads:
        pieces = -(-heads.shape[2] // width)
        values = to_float32(heads, model.dtype)
        padded = np.pad(values, ((0, 0), (0, 0), (0, pieces * width - heads.shape[2])))
        cut = padded.reshape(*heads.shape[:2], pieces, width).swapaxes(1, 2)
        layers.append(cut.reshape(-1, heads.shape[1], width))
    return np.concatenate(layers)


def answers_of(read: Read) -> Array:
    """Return `(batch, labels)` log-likelihoods of the labels that were tried, float32."""
    values = read.outputs.get(ANSWERS, np.zeros((len(read.heads[0][0]), 0)))
    return values[:, ~np.isnan(values).all(axis=0)]


def read_in_batches(
    model: LoadedModel, prompts: Sequence[Pieces], size: int, *, with_host_inputs: bool = False
) -> Array:
    """Return `(prompts, heads, head_dim)` float32 of prompts that run in batches of one shape."""
    read: dict[int, Array] = {}
    for batch in batches_of(prompts, size):
        inputs = model.inputs([prompts[i] for i in batch])
        more = host_inputs(model.encoder, inputs) if with_host_inputs else {}
        heads = stacked(model, model.read({**inputs, **more}))
        read |= dict(zip(batch, heads.swapaxes(0, 1), strict=True))
    return np.stack([read[place] for place in range(len(prompts))])


def compare(alone: Array, nudged: Array, other: Array, dtype: str) -> Verdict:
    """Return whether examples run in another way give what they give alone.

    All are `(examples, heads, head_dim)`; `nudged` says how far rounding alone moves them.
    """
    # Bits cannot be asked for: kernels of other shapes add up in another order. So a head may move
    # as far as the type explains, or `CHAOS` times as far as one bit of the input moves it. Wrong
    # padding or positions move most heads, not a few: hence shares.
    apart = distances(alone, other).max(axis=0)
    rounding = distances(alone, nudged).max(axis=0)
    moved = float((apart > np.maximum(TOLERANCES[dtype], CHAOS * rounding)).mean())
    same = SAME[dtype]
    lost = votes_lost(alone, other, same) - votes_lost(alone, nudged, same)
    return Verdict(
        moved <= FEW and lost <= FEW,
        f"{moved:.1%} of the heads move beyond rounding ({FEW:.0%} may; the largest relative"
        f" distance is {apart.max():.1e} in {dtype}, where one bit of the inputs makes"
        f" {rounding.max():.1e}), {max(lost, 0):.1%} of votes change",
    )


def compare_bits(alone: Array, other: Array) -> Verdict:
    """Return whether two runs give the same bits."""
    same = np.array_equal(alone, other)
    return Verdict(same, f"features {'keep' if same else 'would not keep'} every bit")


def distance(single: Array, other: Array) -> float:
    """Return the greatest relative L2 distance between two examples' heads, see `distances`."""
    return float(distances(single, other).max(initial=0.0))


def distances(single: Array, other: Array) -> Array:
    """Return the relative L2 distance of each head, 0 for dead ones.

    Both are `(..., heads, head_dim)`; values that are not finite are infinitely far.
    """
    length = np.linalg.norm(single, axis=-1)
    apart = np.nan_to_num(np.linalg.norm(single - other, axis=-1), nan=np.inf)
    return np.where(length > DEAD, apart / np.maximum(length, DEAD), 0.0)


def votes_lost(alone: Array, other: Array, same: float = 0.0) -> float:
    """Return the share of features that are nearer to another example's than to their own.

    Both are `(examples, heads, head_dim)`. Examples count as others whose relative distance is more
    than `same`.
    """
    to_itself = np.linalg.norm(other - alone, axis=2)
    least = same * np.linalg.norm(alone, axis=2)
    lost = np.zeros(to_itself.shape, bool)
    for shift in range(1, len(alone)):  # each example against every other one
        rolled = np.roll(alone, shift, axis=0)
        is_other = np.linalg.norm(alone - rolled, axis=2) > least
        lost |= is_other & (np.linalg.norm(other - rolled, axis=2) < to_itself)
    return float(lost.mean())


def batches_of(prompts: Sequence[Pieces], size: int) -> list[list[int]]:
    """Return the places of prompts that run together: of one shape, `size` at most."""
    shapes = list(map(shape_of, prompts))
    alike = [[i for i, s in enumerate(shapes) if s == shape] for shape in sorted(set(shapes))]
    return [group[i : i + size] for group in alike for i in range(0, len(group), size)]
