"""Whether batches change features, tried on a few prompts.

What is kept must be what single examples give. Where batches change that, they are not used.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from savs.datasets.media.sounds import Sound, sounds_of
from savs.foundation.arrays import Array
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.ways import (
    NOTHING_COMPARED,
    UntriedError,
    Verdict,
    Way,
    plain_runs,
)
from savs.pipeline.extraction.model.answers import (
    ANSWERS,
    NO_ANSWERS,
    NOTHING,
    AnswerQuery,
    Answers,
)
from savs.pipeline.extraction.model.devices import is_out_of_memory
from savs.pipeline.extraction.model.host_inputs import host_inputs
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.reading import Read
from savs.pipeline.extraction.model.tower_attention import as_loop
from savs.pipeline.prompts.pieces import (
    PIXELS,
    Pieces,
    images_in,
    in_type,
    map_images,
    shape_of,
)
from savs.stores.format.layout import to_float32

TOLERANCES = {"float32": 1e-4, "bfloat16": 2.5e-1, "float16": 2.5e-2}
"""Relative L2 distance of a batched from a single feature that rounding alone explains. It gave up
to 8e-6 in float32, 1.7e-1 in bfloat16 and 1.1e-2 in float16, on the shipped model and on tiny
random ones of twenty architectures; wrong padding, positions or images give distances near 1."""
CHAOS = 10
"""A head may move this many times as far as rounding moves it: some models amplify that, whatever
the batch, see `read_nudged`."""
NATS = {"float32": 1e-3, "bfloat16": 3e-1, "float16": 3e-2}
"""Difference of a log-likelihood, a token, that rounding alone explains."""
FEATURES = (PIXELS, "input_features", "input_values")
"""What inputs of images and sounds are called, or begin with."""
SAME = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 2e-3}
"""Relative L2 distance of two examples that no vote can tell apart, as means over the same image
under two questions: which of them is nearer is rounding."""
FEW = 0.05
"""Share of heads, and of their votes, that may change. Wrong batching changes most of them."""
DEAD = 1e-6
"""A head whose features are all shorter than this says nothing, and is not compared."""
TOGETHER = "together"
"""Name of the way that puts examples into batches."""


@dataclass(frozen=True, slots=True)
class Check:
    """One claim about a model, and whether it holds."""

    name: str
    passed: bool | None
    """None if the claim does not apply to this model."""
    what: str


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


def distance(single: Array, other: Array) -> float:
    """Return the greatest relative L2 distance between two examples' heads, see `distances`."""
    return float(distances(single, other).max(initial=0.0))


def check_batches(trial: Trial, size: int) -> Check:
    """Check that prompts in batches of a size give what they give by themselves.

    As in an extraction, a batch has one shape, see `shape_of`. A head moves where its distance from
    the single example is beyond rounding; its vote changes where the batched feature is nearer to
    another example than to its own.
    """
    verdict = _in_batches(trial, size)
    return Check(f"batches of {size} equal single examples", verdict.same, verdict.seen)


def batch_ways(trial: Trial) -> Iterator[Way]:
    """Yield the way in which all prompts of one shape run together."""
    if max(Counter(map(shape_of, trial.prompts)).values(), default=0) < 2:
        raise UntriedError(NOTHING_COMPARED)
    trial.run_alone()
    yield Way(TOGETHER, partial(_all_together, trial))


def _all_together(trial: Trial) -> Verdict:
    try:
        return _in_batches(trial, len(trial.prompts))
    except Exception as error:
        if isinstance(error, ValueError) or is_out_of_memory(error):
            raise UntriedError(NOTHING_COMPARED) from error  # the run cuts such a batch, or fails
        raise


def _in_batches(trial: Trial, size: int) -> Verdict:
    _ = trial.singles  # first: where they fail, no batch runs
    return trial.compare(read_in_batches(trial.model, trial.prompts, size))


def read_in_batches(
    model: LoadedModel, prompts: Sequence[Pieces], size: int, *, with_host_inputs: bool = False
) -> Array:
    """Return `(prompts, heads, head_dim)` float32 of prompts that run in batches of one shape.

    If `with_host_inputs`, the model is given `host_inputs`, too.
    """
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


def check_reading(model: LoadedModel, pieces: Pieces, single: Single) -> Check:
    """Check the heads against the whole input of every output projection in a full forward pass."""
    name = "heads are the projection's input"
    if not model.encoder.has_heads:
        return Check(name, None, f"{model.encoder.kind_name} has outputs and no heads")
    seen: dict[int, torch.Tensor] = {}
    handles = [
        point.module.register_forward_pre_hook(partial(_keep, seen, point.grid.layer))
        for point in model.hook_points
    ]
    inputs = model.placed(model.inputs([pieces]))
    try:
        with torch.inference_mode():
            model.model(**inputs, use_cache=False)
    except Exception:  # how some model returns its logits is no matter of the heads
        if len(seen) < len(model.hook_points):
            raise
    finally:
        for handle in handles:
            handle.remove()
    place, worst = 0, 0.0
    for point in model.hook_points:
        count, width = len(point.grid.heads), point.grid.head_dim
        last = seen[point.grid.layer][0, -1].float().cpu().numpy()
        if last.size != count * width:
            what = f"layer {point.grid.layer}: {count} heads x {width} are not {last.size} values"
            return Check(name, False, what)
        ours = single.heads[place : place + count, :width]
        worst = max(worst, distance(last.reshape(count, width), ours))
        place += count
    limit = TOLERANCES[model.dtype]
    what = f"{place} heads, greatest distance {worst:.1e}"
    return Check(name, bool(worst <= limit), what)


def _keep(
    seen: dict[int, torch.Tensor], layer: int, _module: Any, inputs: tuple[torch.Tensor, ...]
) -> None:
    seen[layer] = inputs[0].detach()


def check_media(noun: str, single: Single, changed: Single | None) -> Check:
    """Check that another image, or sound, of the same size gives other features."""
    name = f"the {noun} reaches the heads"
    if changed is None:
        article = "an" if noun == "image" else "a"
        return Check(name, None, f"no prompt with {article} {noun} was run")
    moved = distance(single.heads, changed.heads)
    return Check(name, moved > 0, f"another {noun} moves a head by up to {moved:.1e}")


def check_values(singles: Sequence[Single]) -> list[Check]:
    """Check that features are finite, and count the heads that say nothing."""
    values = np.stack([single.heads for single in singles])
    finite = bool(np.isfinite(values).all())
    lengths = np.linalg.norm(values, axis=2).max(axis=0)
    dead = int((lengths <= DEAD).sum())
    same = int((np.ptp(values, axis=0).max(axis=1) <= DEAD).sum()) if len(singles) > 1 else 0
    return [
        Check(
            "features are finite",
            finite,
            f"{values.size:,} values" if finite else "NaN or infinity; give `dtype` float32",
        ),
        Check(
            "heads differ between prompts",
            same < len(lengths),
            f"{len(lengths)} heads, {dead} dead, {same} the same for every prompt",
        ),
    ]


def prove(model: LoadedModel, prompts: Sequence[Pieces], sizes: Sequence[int]) -> list[Check]:
    """Run all checks on some prompts, alone and in batches.

    Of the prompts there are at least two, of different lengths: text only, one image, several,
    sounds. Batches have the `sizes`.

    Raises
    ------
    ModelError
        A prompt cannot be run by itself.
    """
    trial = Trial(model, prompts)
    singles = trial.singles
    by_length = sorted(range(len(prompts)), key=lambda i: singles[i].tokens)
    longest = by_length[-1]
    checks = [check_reading(model, prompts[longest], singles[longest])]
    checks += check_values(singles)
    for noun, media_in in (("image", images_in), ("sound", sounds_of)):
        # the shortest with one: attention windows may end before the start of a long one
        number = next((i for i in by_length if media_in(prompts[i])), None)
        changed = None if number is None else run_single(model, inverted(prompts[number]))
        if noun == "image" or any(map(sounds_of, prompts)):
            checks.append(check_media(noun, singles[number or 0], changed))
    for size in sizes:
        try:
            checks.append(check_batches(trial, size))
        except (ModelError, ValueError, RuntimeError) as error:
            checks.append(Check(f"batches of {size} equal single examples", False, str(error)))
    return checks


def inverted(pieces: Pieces) -> Pieces:
    """Return a prompt with its images' colours inverted, and its sounds played backwards."""
    recoloured = map_images(pieces, lambda image: image.point([255 - v for v in range(256)] * 3))
    return tuple(
        replace(piece, samples=piece.samples[::-1].copy()) if isinstance(piece, Sound) else piece
        for piece in recoloured
    )
