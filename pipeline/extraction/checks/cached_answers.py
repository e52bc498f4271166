"""Whether the model's own answers may run after the cache of their prompts, tried on a few.

What is kept must be what whole passes of prompt and label give.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby

import numpy as np

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.batch_equality import (
    CHAOS,
    NATS,
    Trial,
    answers_of,
    read_nudged,
    stacked,
)
from savs.pipeline.extraction.checks.ways import UntriedError, Verdict, Way, error_line
from savs.pipeline.extraction.model.answers import Answers
from savs.pipeline.extraction.model.reading import Read
from savs.pipeline.prompts.pieces import Pieces, shape_of

CACHED, WHOLE = "cached", "whole"
"""After the cache of their prompts, or each with its whole prompt."""
NO_ANSWERS_KEPT = "none"
ANSWER_WORDS = {
    CACHED: "answers run after the cache of their prompts",
    WHOLE: "answers run with their whole prompts, one pass a label",
}


def cache_ways(trial: Trial, answers: Answers, *, together: bool) -> Iterator[Way]:
    """Yield the way in which answers run after the cache of their prompts.

    Prompts of one shape, see `shape_of`, are adjacent in the trial, and run `together` if they do
    so in the run.

    Raises
    ------
    ModelError
        The model fails where it shall give logits.
    """
    model, prompts, tried = trial.model, trial.prompts, answers
    if not answers.tokens:  # what is generated runs after a cache, too: some label shows it
        tried = replace(answers, tokens={"tried": answers.ends[:1] * 3})
    tried = replace(tried, ends=())
    trial.run_alone()
    if not prompts:
        raise UntriedError("no prompt was tried")
    plain = replace(tried, whole=True)
    try:
        wholes = [model.read(model.inputs([p]), plain.tried(1)) for p in prompts]
        nudged = [read_nudged(model, p, plain.tried(2)) for p in prompts]
    except Exception as error:
        raise ModelError(
            f"{model.name} gives heads, and no logits for its own answers ({error_line(error)});"
            " leave out `answers`"
        ) from error
    parts = [list(group) for _, group in groupby(prompts, shape_of)]
    if not together:
        parts = [[pieces] for pieces in prompts]
    yield Way(CACHED, partial(_after_caches, trial, tried, parts, wholes, nudged))


def _after_caches(
    trial: Trial,
    tried: Answers,
    parts: Sequence[Sequence[Pieces]],
    wholes: Sequence[Read],
    nudged: Sequence[Read],
) -> Verdict:
    """Compare with whole passes, and with what rounding does to these."""
    model = trial.model
    reads = [model.read(model.inputs(part), tried.tried(len(part))) for part in parts]
    heads = trial.compare(np.concatenate([stacked(model, read).swapaxes(0, 1) for read in reads]))
    if not heads.same:
        return Verdict(False, f"heads together with answers differ: {heads.seen}")
    whole = np.concatenate([answers_of(read) for read in wholes])
    other = np.concatenate([answers_of(read) for read in reads])
    rounding = np.abs(whole - np.stack([answers_of(read)[0] for read in nudged])).max()
    apart = float(np.nan_to_num(np.abs(whole - other), nan=np.inf).max())
    tokens = max(map(len, tried.tokens.values()))
    limit = max(NATS[model.dtype] * tokens, CHAOS * float(rounding))
    return Verdict(
        apart <= limit, f"log-likelihoods differ from those of whole passes by {apart:.1e} at most"
    )
