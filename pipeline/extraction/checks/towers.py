"""Whether a vision tower may run its attention in runs of chunks, tried on a few prompts.

And whether what the model computes from the sizes of images may be computed before its pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.batch_equality import Trial, compare, read_in_batches
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
"""Values of the option `tower_attention`."""
NOTHING_COMPARED = "nothing was compared"
SAME_BITS, OTHER_BITS = "features keep every bit", "features would not keep every bit"
TOWER_WORDS = {
    True: "images or windows of one size attend in one call",
    False: "as transformers runs it",
}


@dataclass(frozen=True, slots=True)
class Tower:
    """How the vision tower runs."""

    runs: bool = False
    """Whether its attention runs in runs of chunks; else as transformers does."""
    runs_seen: str = NOTHING_COMPARED
    """What the comparison of both saw, or why there was none."""
    host_inputs: bool = False
    """Whether it is given what it would compute from the sizes of images, see `host_inputs`."""
    host_inputs_seen: str = NOTHING_COMPARED
    """What the comparison of that saw, or why there was none."""


def find_tower(trial: Trial, tower_attention: str, size: int) -> Tower:
    """Return how the vision tower shall run, and let it run so.

    On a CPU runs must keep every bit, but for towers that mask: without the masked part the same
    sums are made in another order. Elsewhere kernels differ by the shape of a batch, so features
    may move as far as rounding moves them, see `compare`.

    Prompts run in batches of `size` at most. By `auto` nothing is tried on a CPU, where runs save
    time only with towers that mask.

    Raises
    ------
    ModelError
        `tower_attention` is `runs`, and this tower has none or gives other features by them.
    """
    model = trial.model
    set_runs(model.model, runs=False)
    if tower_attention == LOOP:
        return Tower()
    if tower_attention == AUTO and model.device.type == "cpu" and not is_masked(model.model):
        return Tower(runs_seen="on a CPU it saves no time")
    tower = compare_runs(trial, size)
    if tower_attention == IN_RUNS and not tower.runs and any(map(images_in, trial.prompts)):
        raise ModelError(
            f"`tower_attention` is {IN_RUNS}, and {model.name} cannot: {tower.runs_seen}; set it to"
            f" {AUTO}"
        )
    set_runs(model.model, runs=tower.runs)
    takes, seen = compare_host_inputs(model, trial.prompts, size)
    return replace(tower, host_inputs=takes, host_inputs_seen=seen)


def compare_runs(trial: Trial, size: int) -> Tower:
    """Return whether batches in runs give what they give in a loop, which stays set."""
    model = trial.model
    if not model.encoder.reads_prompts or not has_sdpa_tower(model.model):
        return Tower(runs_seen="the model has no vision tower on sdpa that reads any size")
    places = [place for place, pieces in enumerate(trial.prompts) if images_in(pieces)]
    pictured = [trial.prompts[place] for place in places]
    if not pictured:
        return Tower(runs_seen="no prompt with an image was tried")
    calls = RUNS.calls
    set_runs(model.model, runs=True)
    try:
        runs = read_in_batches(model, pictured, size)
    except Exception as error:  # whatever it is, the plain way has not failed by it
        return Tower(runs_seen=_reason(error))
    finally:
        set_runs(model.model, runs=False)
    if calls == RUNS.calls:
        return Tower(runs_seen="the tower computes its attention in another way")
    try:
        loop = read_in_batches(model, pictured, size)
        if np.array_equal(loop, runs):
            return Tower(runs=True, runs_seen=SAME_BITS)
        if model.device.type == "cpu" and not is_masked(model.model):
            return Tower(runs_seen=OTHER_BITS)
        alone = [trial.singles[place] for place in places]
    except Exception as error:  # of the examples themselves: the run skips them, and says so
        return Tower(runs_seen=_reason(error))
    # In the place of single examples are batches in a loop, so what rounding does to an example is
    # added to these: as far as one bit of the inputs moves each.
    nudged = loop + np.stack([single.nudged - single.heads for single in alone])
    return Tower(*compare(loop, nudged, runs, model.dtype))


def compare_host_inputs(
    model: LoadedModel, prompts: Sequence[Pieces], size: int
) -> tuple[bool, str]:
    """Return whether `host_inputs` may be given, in the attention that is set, and what was seen.

    They may where features keep every bit, on any device: these values are whole numbers, and a
    tolerance of 16 bits would let pass those of a tower that computes them in another way.
    """
    pictured = [pieces for pieces in prompts if images_in(pieces)]
    try:
        if not any(host_inputs(model.encoder, model.inputs([pieces])) for pieces in pictured):
            return False, "the model takes none"
        with_them = read_in_batches(model, pictured, size, with_host_inputs=True)
        without = read_in_batches(model, pictured, size)
    except Exception as error:  # as above
        return False, _reason(error)
    is_equal = np.array_equal(without, with_them)
    return is_equal, SAME_BITS if is_equal else OTHER_BITS


def _reason(error: Exception) -> str:
    text = str(error).partition(";")[0]
    return text if isinstance(error, ModelError) else f"{type(error).__name__}: {text}"
