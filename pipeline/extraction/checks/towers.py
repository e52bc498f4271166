"""Whether a vision tower may run its attention in runs of chunks, tried on a few prompts.

And whether what the model computes from the sizes of images may be computed before its pass.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.batch_equality import (
    Trial,
    compare,
    compare_bits,
    read_in_batches,
)
from savs.pipeline.extraction.checks.ways import (
    NOTHING_COMPARED,
    Choice,
    UntriedError,
    Verdict,
    Way,
)
from savs.pipeline.extraction.model.host_inputs import host_inputs
from savs.pipeline.extraction.model.tower_attention import (
    RUNS,
    as_loop,
    has_sdpa_tower,
    is_masked,
    set_runs,
)
from savs.pipeline.prompts.pieces import Pieces, images_in

AUTO, IN_RUNS, LOOP = "auto", "runs", "loop"
"""Values of the option `tower_attention`; the last two are ways of the tower."""
GIVEN, COMPUTED = "given", "computed"
"""Whether the tower is given what it would compute from the sizes of images."""
TOWER_WORDS = {
    IN_RUNS: "images or windows of one size attend in one call",
    LOOP: "as transformers runs it",
}


def tower_ways(trial: Trial, option: str, size: int) -> Iterator[Way]:
    """Yield the way in which the attention of the vision tower runs in runs of chunks.

    `option` is `tower_attention`. By `auto` nothing is tried on a CPU, where runs save time only
    with towers that mask. Prompts run in batches of `size` at most.
    """
    model = trial.model
    set_runs(model.model, runs=False)
    if why := _refusal(trial, option):
        raise UntriedError(why)
    if not model.encoder.reads_prompts or not has_sdpa_tower(model.model):
        raise UntriedError("the model has no vision tower on sdpa that reads any size")
    places = [place for place, pieces in enumerate(trial.prompts) if images_in(pieces)]
    if not places:
        raise UntriedError("no prompt with an image was tried")
    yield Way(
        IN_RUNS,
        partial(_in_runs, trial, places, size),
        partial(set_runs, model.model, runs=False),
    )


def _refusal(trial: Trial, option: str) -> str:
    """Return why a faster tower is not tried, if it is not."""
    if option == LOOP:
        return NOTHING_COMPARED
    is_slow = trial.model.device.type == "cpu" and not is_masked(trial.model.model)
    return "on a CPU it saves no time" if option == AUTO and is_slow else ""


def _in_runs(trial: Trial, places: Sequence[int], size: int) -> Verdict:
    """Compare batches in runs with those in a loop.

    On a CPU they must keep every bit, but for towers that mask: without the masked part the same
    sums are made in another order. Elsewhere kernels differ by the shape of a batch, so features
    may move as far as rounding moves them.
    """
    model, pictured = trial.model, [trial.prompts[place] for place in places]
    calls = RUNS.calls
    set_runs(model.model, runs=True)
    runs = read_in_batches(model, pictured, size)
    if calls == RUNS.calls:
        return Verdict(False, "the tower computes its attention in another way")
    with as_loop(model.model):
        loop = read_in_batches(model, pictured, size)
    bits = compare_bits(loop, runs)
    if bits.same or (model.device.type == "cpu" and not is_masked(model.model)):
        return bits
    trial.run_alone()
    alone = [trial.singles[place] for place in places]
    # In the place of single examples are batches in a loop, so what rounding does to an example is
    # added to these: as far as one bit of the inputs moves each.
    nudged = loop + np.stack([single.nudged - single.heads for single in alone])
    return compare(loop, nudged, runs, model.dtype)


def require_runs(trial: Trial, option: str, tower: Choice) -> None:
    """Raise ModelError if the user wants runs, and this tower has none or changes features."""
    if option == IN_RUNS != tower.name and any(map(images_in, trial.prompts)):
        raise ModelError(
            f"`tower_attention` is {IN_RUNS}, and {trial.model.name} cannot: {tower.seen}; set it"
            f" to {AUTO}"
        )


def host_ways(trial: Trial, option: str, size: int) -> Iterator[Way]:
    """Yield the way in which `host_inputs` are given, in the attention that is set.

    It is tried where that of the tower is. Features must keep every bit, on any device: these
    values are whole numbers, and a tolerance of 16 bits would let pass those of a tower that
    computes them in another way.
    """
    if _refusal(trial, option):
        raise UntriedError(NOTHING_COMPARED)
    pictured = [pieces for pieces in trial.prompts if images_in(pieces)]
    yield Way(GIVEN, partial(_given, trial, pictured, size))


def _given(trial: Trial, pictured: Sequence[Pieces], size: int) -> Verdict:
    model = trial.model
    if not any(host_inputs(model.encoder, model.inputs([pieces])) for pieces in pictured):
        return Verdict(False, "the model takes none")
    with_them = read_in_batches(model, pictured, size, with_host_inputs=True)
    return compare_bits(read_in_batches(model, pictured, size), with_them)
