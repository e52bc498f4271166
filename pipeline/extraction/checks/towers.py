"""Whether a vision tower may run its attention in runs of chunks, tried on a few prompts.

And whether what the model computes of the sizes of images may be computed before its pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.batch_equality import Single, compare, read_in_batches
from savs.pipeline.extraction.model.host_inputs import host_inputs
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.pieces import Pieces, images_in
from savs.pipeline.extraction.model.tower_attention import (
    RUNS,
    has_sdpa_tower,
    is_masked,
    set_runs,
)

AUTO, IN_RUNS, LOOP = "auto", "runs", "loop"
"""What may be asked for."""
NOTHING_COMPARED = "nothing was compared"
KEPT, MOVED = "features keep every bit", "features would not keep every bit"
TOWER_WORDS = {
    True: "images or windows of one size attend in one call",
    False: "as transformers runs it",
}


@dataclass(frozen=True, slots=True)
class TowerAttention:
    """How the vision tower runs its attention."""

    runs: bool
    """Whether in runs of chunks; else as transformers does."""
    seen: str
    """Why so."""
    computed: bool = False
    """Whether the model is given what it would compute of the sizes of images."""
    computed_seen: str = NOTHING_COMPARED
    """Why so."""


def find_tower_attention(
    model: LoadedModel,
    prompts: Sequence[Pieces],
    singles: Callable[[], Sequence[Single]],
    asked: str,
    size: int,
) -> TowerAttention:
    """Return how the vision tower shall run, and let it run so.

    On a CPU runs must keep every bit, but for towers that mask: without the masked part the same
    sums are made in another order. Elsewhere kernels differ by the shape of a batch, so features
    may move as far as rounding moves them, see `compare`.

    Parameters
    ----------
    model
        The loaded model.
    prompts
        Some of the user's prompts.
    singles
        Runs each of them by itself, or returns what that gave before.
    asked
        `auto`, `runs` or `loop`. By `auto` runs are not tried on a CPU, where they save time only
        with towers that mask.
    size
        Prompts of a batch at most.

    Raises
    ------
    ModelError
        Runs were asked for, and this tower has none or gives other features by them.
    """
    set_runs(model.model, runs=False)
    if asked == LOOP:
        return TowerAttention(False, NOTHING_COMPARED)
    if asked == AUTO and model.device.type == "cpu" and not is_masked(model.model):
        return TowerAttention(False, "on a CPU it saves no time")
    found = compare_runs(model, prompts, singles, size)
    if asked == IN_RUNS and not found.runs and any(map(images_in, prompts)):
        raise ModelError(
            f"`tower_attention` is {IN_RUNS}, and {model.name} cannot: {found.seen}; set it to"
            f" {AUTO}"
        )
    set_runs(model.model, runs=found.runs)
    return compare_computed(model, prompts, size, found)


def compare_runs(
    model: LoadedModel,
    prompts: Sequence[Pieces],
    singles: Callable[[], Sequence[Single]],
    size: int,
) -> TowerAttention:
    """Return whether batches in runs give what they give in a loop, which stays set.

    The parameters are those of `find_tower_attention`.
    """
    if model.encoder.is_dual or not has_sdpa_tower(model.model):
        return TowerAttention(False, "the model has no vision tower on sdpa that reads any size")
    places = [place for place, pieces in enumerate(prompts) if images_in(pieces)]
    pictured = [prompts[place] for place in places]
    if not pictured:
        return TowerAttention(False, "no prompt with an image was tried")
    calls = RUNS.calls
    set_runs(model.model, runs=True)
    try:
        runs = read_in_batches(model, pictured, size)
    except Exception as error:  # whatever it is, the plain way has not failed by it
        return TowerAttention(False, _reason(error))
    finally:
        set_runs(model.model, runs=False)
    if calls == RUNS.calls:
        return TowerAttention(False, "the tower computes its attention in another way")
    try:
        loop = read_in_batches(model, pictured, size)
        alone = [singles()[place] for place in places]
    except Exception as error:  # of the examples themselves: the run skips them, and says so
        return TowerAttention(False, _reason(error))
    if np.array_equal(loop, runs):
        return TowerAttention(True, KEPT)
    if model.device.type == "cpu" and not is_masked(model.model):
        return TowerAttention(False, MOVED)
    doubled = loop + np.stack([single.doubled - single.heads for single in alone])
    return TowerAttention(*compare(loop, doubled, runs, model.dtype))


def compare_computed(
    model: LoadedModel, prompts: Sequence[Pieces], size: int, found: TowerAttention
) -> TowerAttention:
    """Return what was found, with whether `host_inputs` may be given, in the attention that is set.

    They may where features keep every bit, on any device: these values are whole numbers, and a
    tolerance of 16 bits would let pass those of a tower that computes its own in another way.
    """
    pictured = [pieces for pieces in prompts if images_in(pieces)]
    try:
        if not any(host_inputs(model.encoder, model.inputs([pieces])) for pieces in pictured):
            return replace(found, computed_seen="the model takes none")
        given = read_in_batches(model, pictured, size, computed=True)
        own = read_in_batches(model, pictured, size)
    except Exception as error:  # as above
        return replace(found, computed_seen=_reason(error))
    is_equal = np.array_equal(own, given)
    return replace(found, computed=is_equal, computed_seen=KEPT if is_equal else MOVED)


def _reason(error: Exception) -> str:
    text = str(error).partition(";")[0]
    return text if isinstance(error, ModelError) else f"{type(error).__name__}: {text}"
